"""The report of one or several evaluations: `report.md`, `report.csv` and one static page, `report.html`."""

import base64
import csv
import html
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .reading import rows_of

DRAWS = 2000  # of the bootstrap
METRICS = {  # a column's title, and which way is better
    "similarity": ("identity similarity", "↑"),
    "found": ("faces found", "↑"),
    "overlap": ("overlap with the box", "↑"),
    "multi_sim": ("MultiSim", "↑"),
    "excess_mixing": ("excess mixing", "↓"),
    "closest_to_own": ("closest to own", "↑"),
    "yaw": ("yaw error, °", "↓"),
    "pitch": ("pitch error, °", "↓"),
    "roll": ("roll error, °", "↓"),
    "expression": ("expression error", "↓"),
    "clip_t": ("CLIP-T", "↑"),
    "clip_i": ("CLIP-I", "↑"),
    "aesthetic": ("aesthetic score", "↑"),
}
GRID_PEOPLE, GRID_PICTURES, CELL = 8, 6, 128


@dataclass(frozen=True)
class Figure:
    """A mean, its 95 % interval, and of how many values."""

    mean: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


def bootstrap(values: np.ndarray, groups: np.ndarray, seed: int = 0) -> Figure:
    """The mean of `values` [N] and the 95 % percentile interval over people: all pictures of a person come together.

    Args:
        groups: [N], whose each value is.
    """
    people, whose = np.unique(groups, return_inverse=True)
    sums, counts = (np.bincount(whose, weights, len(people)) for weights in (values, np.ones(len(values))))
    drawn = np.random.default_rng(seed).integers(len(people), size=(DRAWS, len(people)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return Figure(float(values.mean()), float(low), float(high), len(values))


def figures(folder: Path) -> dict[str, Figure]:
    """Every metric that was read. A face that was not found has similarity 0: a lost face is never a good one."""
    rows, result = rows_of(folder / "measures.csv"), {}
    for row in rows:
        if row["found"] == "0":
            row["similarity"] = "0"
    for metric in METRICS:
        chosen = [(float(row[metric]), row["name"]) for row in rows if row[metric] not in ("", "nan")]
        if chosen:
            result[metric] = bootstrap(np.array([v for v, _ in chosen]), np.array([n for _, n in chosen]))
    return result


def report(folders: list[Path], output: Path, published: dict[str, dict[str, float]], table: str = "") -> None:
    """Write the three files.

    Raises ValueError: a folder that nothing was read of.
    """
    measured = {folder.name: figures(folder) for folder in folders}
    empty = [name for name, found in measured.items() if not found]
    if empty:
        raise ValueError(f"{empty[0]} has no measures yet. Run `measure` on it first.")
    output.mkdir(parents=True, exist_ok=True)
    lines = _markdown(folders, measured, published, table)
    (output / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with open(output / "report.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("method", "metric", "mean", "low", "high", "count"))
        for name, found in measured.items():
            writer.writerows((name, m, f.mean, f.low, f.high, f.count) for m, f in found.items())
        for name, found in published.items():
            writer.writerows((f"{name} (published)", m, value, "", "", "") for m, value in found.items())
    (output / "report.html").write_text(_page(lines, folders, measured), encoding="utf-8")


def _markdown(folders: list[Path], measured: dict, published: dict, table: str) -> list[str]:
    columns = [m for m in METRICS if any(m in found for found in (*measured.values(), *published.values()))]
    lines = ["# Evaluation", ""]
    for folder in folders:
        counts = _counts(folder)
        judge = (folder / "judge.txt").read_text(encoding="utf-8")
        lines.append(
            f"- **{folder.name}**: {counts['drawn']} of {counts['asked']} pictures drawn, {counts['failed']} failed; "
            f"judge: {judge}."
        )
    lines += ["", "Means with 95 % bootstrap intervals over people. A face that was not found has similarity 0.", ""]
    lines += [f"| | {' | '.join(' '.join(METRICS[m]) for m in columns)} |", "|" + " --- |" * (len(columns) + 1)]
    for name, found in measured.items():
        lines.append(f"| {name} | {' | '.join(str(found.get(m, '–')) for m in columns)} |")
    for name, found in published.items():
        lines.append(f"| {name} (published) | {' | '.join(str(found.get(m, '–')) for m in columns)} |")
    if published:
        lines += ["", f"Published: {table}. Other people, seeds and judges: compare the order of methods, not figures."]
    return lines


def _counts(folder: Path) -> dict[str, int]:
    asked = {task["number"] for task in json.loads((folder / "tasks.json").read_text(encoding="utf-8"))}
    drawn = {number for number in asked if (folder / "pictures" / f"{number:05d}.png").exists()}
    return {"asked": len(asked), "drawn": len(drawn), "failed": len(asked - drawn)}


def _page(lines: list[str], folders: list[Path], measured: dict) -> str:
    """One file: pictures and plots are inside of it."""
    body = []
    for line in lines:
        if line.startswith("# "):
            body.append(f"<h1>{html.escape(line[2:])}</h1>")
        elif line.startswith("| ---") or line.startswith("|" + " --- |"):
            continue
        elif line.startswith("|"):
            cells = "".join(f"<td>{html.escape(cell.strip())}</td>" for cell in line.strip("|").split("|"))
            body.append(f"<tr>{cells}</tr>")
        elif line:
            body.append(f"<p>{html.escape(line.removeprefix('- ').replace('**', ''))}</p>")
    text = "\n".join(body).replace("</p>\n<tr>", "</p>\n<table><tr>").replace("</tr>\n<p>", "</tr></table>\n<p>")
    text += "</table>" if text.endswith("</tr>") else ""
    text += "\n<h2>Plots</h2>\n" + _plots(measured)
    for folder in folders:
        data = io.BytesIO()
        _grid(folder).save(data, "JPEG", quality=85)
        picture = base64.b64encode(data.getvalue()).decode()
        title = html.escape(folder.name)
        text += f'\n<h2>{title}</h2>\n<img alt="Pictures of {title}" src="data:image/jpeg;base64,{picture}">'
    style = "body{font:15px sans-serif;margin:2em;max-width:1200px}td{padding:.2em .7em;border-top:1px solid #ccc}"
    style += "img{max-width:100%}table{border-collapse:collapse}"
    head = f'<meta charset="utf-8"><title>Evaluation</title><style>{style}</style>'
    return f'<!DOCTYPE html>\n<html lang="en">{head}\n{text}'


def _plots(measured: dict[str, dict[str, Figure]]) -> str:
    """A panel for each metric: means and intervals, as SVG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    metrics = [m for m in METRICS if any(m in found for found in measured.values())]
    size = (3 * min(4, len(metrics)), 2.6 * -(-len(metrics) // 4))
    figure, axes = pyplot.subplots(-(-len(metrics) // 4), min(4, len(metrics)), figsize=size, squeeze=False)
    for axis in axes.flat[len(metrics) :]:
        axis.axis("off")
    for axis, metric in zip(axes.flat, metrics, strict=False):
        for place, (_, found) in enumerate(measured.items()):
            if metric in found:
                one = found[metric]
                spread = [[max(0, one.mean - one.low)], [max(0, one.high - one.mean)]]
                axis.errorbar([place], [one.mean], yerr=spread, fmt="o", capsize=4)
        axis.set_xticks(range(len(measured)), list(measured), rotation=20)
        axis.set_xlim(-0.5, len(measured) - 0.5)
        axis.set_title(" ".join(METRICS[metric]), fontsize=10)
    figure.tight_layout()
    text = io.StringIO()
    figure.savefig(text, format="svg")
    pyplot.close(figure)
    return text.getvalue()[text.getvalue().index("<svg") :]


def _grid(folder: Path) -> Image.Image:
    """A line a person: the reference, then pictures of them."""
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    people: dict[str, list[dict]] = {}
    for task in tasks:
        people.setdefault(task["names"][0], []).append(task)
    shown = list(people.values())[:GRID_PEOPLE]
    grid = Image.new("RGB", (CELL * (1 + GRID_PICTURES), CELL * len(shown)), "white")
    for row, own in enumerate(shown):
        paths = [Path(own[0]["references"][0])]
        paths += [folder / "pictures" / f"{task['number']:05d}.png" for task in own[:GRID_PICTURES]]
        for column, path in enumerate(paths):
            if path.exists():
                picture = Image.open(path).convert("RGB")
                picture.thumbnail((CELL, CELL))
                grid.paste(picture, (column * CELL, row * CELL))
    return grid
