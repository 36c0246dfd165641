"""Tables, a figure and a grid of pictures from the measures: what `docs/results.md` shows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from realisid_core.metrics.pose import ANGLES, BLENDSHAPES

from ..world import render
from .runs import AUTOENCODER, MEASURES, TRUE, folder_name, read_measures
from .tasks import PROTOCOLS, task

Rows = np.ndarray  # of one name and protocol, a structured array with a field for each measure
SIZES = [name for name, protocol in PROTOCOLS.items() if protocol.people == 1]
SIZE_NAMES = [name.removeprefix("one person, ") for name in SIZES]
TWO, THREE = "two people, 1/4", "three people, 1/5"
SHIPPED = "miniature"  # the name that others are compared with
GRID_PEOPLE, GRID_CELL, GRID_LABEL = 10, 128, 100


def report(folder: Path, seed: int) -> None:
    """Write `tables.md`, `sizes.png` and `grid.jpg` into the folder of an evaluation; print the tables."""
    measured = {path.name: _by_protocol(path / MEASURES) for path in sorted(folder.iterdir()) if path.is_dir()}
    measured = {name: protocols for name, protocols in measured.items() if protocols}
    tables = "\n\n".join(made(measured) for made in (identity, place, pose, people, colours, changes))
    (folder / "tables.md").write_text(tables + "\n", encoding="utf-8")
    print(tables)
    plot(measured, folder / "sizes.png")
    grid(folder, list(measured), seed, folder / "grid.jpg")


def _by_protocol(path: Path) -> dict[str, Rows]:
    rows = read_measures(path)
    fields = [(name, float) for name in rows[0] if name != "protocol"] if rows else []
    result = {}
    for protocol in PROTOCOLS:
        chosen = [tuple(float(row[name]) for name, _ in fields) for row in rows if row["protocol"] == protocol]
        if chosen:
            result[protocol] = np.array(chosen, dtype=fields)
    return result


def table(title: str, columns: list[str], measured: dict, cells: Callable[[dict], list[str]]) -> str:
    """Markdown: a line for each name in `measured`, its cells made of what was measured."""
    lines = [f"**{title}**", "", f"| | {' | '.join(columns)} |", "|" + " --- |" * (len(columns) + 1)]
    lines += [f"| {name} | {' | '.join(cells(protocols))} |" for name, protocols in measured.items()]
    return "\n".join(lines)


def _mean(protocols: dict[str, Rows], protocol: str, field: str) -> float:
    rows = protocols.get(protocol)
    return float("nan") if rows is None or np.isnan(rows[field]).all() else float(np.nanmean(rows[field]))


def _with_error(protocols: dict[str, Rows], protocol: str, field: str) -> str:
    rows = protocols.get(protocol)
    if rows is None:
        return "–"
    values = rows[field][~np.isnan(rows[field])]
    return f"{values.mean():.3f} ± {values.std() / max(len(values), 1) ** 0.5:.3f}"


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.1%}"


def identity(measured: dict) -> str:
    """Similarity by relative size; `stranger` is the similarity with somebody who is not in the picture."""

    def cells(protocols: dict) -> list[str]:
        first, last = (_mean(protocols, size, "similarity") for size in (SIZES[0], SIZES[-1]))
        stranger = np.nanmean([_mean(protocols, size, "stranger") for size in SIZES])
        values = [_with_error(protocols, size, "similarity") for size in SIZES]
        return [*values, _percent(1 - last / first), f"{stranger:.3f}"]

    columns = [*SIZE_NAMES, "lost from 1/4 to 1/7", "with a stranger"]
    return table("Identity similarity, by the face's relative size", columns, measured, cells)


def place(measured: dict) -> str:
    """Whether there is a face where it was asked for, and nobody else."""

    def cells(protocols: dict) -> list[str]:
        overlaps = [_mean(protocols, name, "overlap") for name in PROTOCOLS]
        counts = [_right_number(protocols, names) for names in (SIZES, [TWO], [THREE])]
        return [f"{np.nanmean(overlaps):.3f}", *map(_percent, counts)]

    columns = ["overlap of YuNet's box (mean IoU)", "one person", "two people", "three people"]
    return table("Where the faces are, and whether their number is right", columns, measured, cells)


def _right_number(protocols: dict, names: list[str]) -> float:
    found = [rows["people"][rows["person"] == 0] == 0 for name in names if (rows := protocols.get(name)) is not None]
    return float(np.concatenate(found).mean()) if found else float("nan")


def pose_error(protocols: dict, size: str) -> tuple[float, float]:
    """Mean error of head angles in degrees, and of blendshapes."""
    return tuple(
        float(np.mean([_mean(protocols, size, field) for field in fields])) for fields in (ANGLES, tuple(BLENDSHAPES))
    )


def pose(measured: dict) -> str:
    """How far angles and blendshapes are from the donor's."""

    def cells(protocols: dict) -> list[str]:
        return ["{:.1f}° / {:.3f}".format(*pose_error(protocols, size)) if size in protocols else "–" for size in SIZES]

    return table("Mean error of head angles / of blendshapes against the donor's", SIZE_NAMES, measured, cells)


def people(measured: dict) -> str:
    """Two and three people against one of the same size."""

    def cells(protocols: dict, together: str, alone: str) -> list[str]:
        if (rows := protocols.get(together)) is None:
            return ["–"] * 3
        one, several = (_mean(protocols, name, "similarity") for name in (alone, together))
        own = rows["similarity"] > rows["neighbour"]
        overlapping = rows["task"] % 2 == 1
        parts = (own, own[~overlapping], own[overlapping]) if PROTOCOLS[together].overlapping else (own,)
        return [f"{several:.3f}", _percent(1 - several / one), " / ".join(_percent(part.mean()) for part in parts)]

    def line(protocols: dict) -> list[str]:
        return cells(protocols, TWO, SIZES[0]) + cells(protocols, THREE, SIZES[1])

    less = "less than one person's by"
    columns = ["two people", less, "closer to their own reference: all / boxes apart / overlapping",
               "three people", less, "closer to their own reference"]  # fmt: skip
    return table("Identity similarity of several people", columns, measured, line)


def colours(measured: dict) -> str:
    """How often the colours are those that the prompt names; shirts of two people where their boxes are apart."""

    def cells(protocols: dict) -> list[str]:
        two = protocols.get(TWO)
        two = float("nan") if two is None else float(np.nanmean(two["shirt"][two["task"] % 2 == 0]))
        one, background = (
            float(np.nanmean([_mean(protocols, name, field) for name in names]))
            for field, names in (("shirt", SIZES), ("background", PROTOCOLS))
        )
        return [_percent(one), _percent(two), _percent(background)]

    columns = ["shirt, one person", "shirts, two people", "background"]
    return table("Colours that the prompt names", columns, measured, cells)


def changes(measured: dict) -> str:
    """What other names change in the shipped one's similarity, picture by picture, in parts of its mean."""
    shipped = measured.get(SHIPPED, {})

    def cells(protocols: dict) -> list[str]:
        return [_change(shipped.get(name), protocols.get(name)) for name in PROTOCOLS]

    others = {name: protocols for name, protocols in measured.items() if name not in (SHIPPED, TRUE, AUTOENCODER)}
    return table(f"Change of identity similarity against {SHIPPED}", list(PROTOCOLS), others, cells)


def _change(before: Rows | None, after: Rows | None) -> str:
    if before is None or after is None:
        return "–"
    before, after = ({(row["task"], row["person"]): row["similarity"] for row in rows} for rows in (before, after))
    faces = sorted(before.keys() & after.keys())
    difference = np.array([after[face] - before[face] for face in faces]) / np.mean([before[face] for face in faces])
    return f"{difference.mean():+.1%} ± {difference.std() / len(faces) ** 0.5:.1%}"


def plot(measured: dict, path: Path) -> None:
    """Identity similarity and errors of angles and blendshapes over the relative size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    for name, protocols in measured.items():
        style = {"marker": "o", "linestyle": "--" if name == TRUE else "-", "label": name}
        axes[0].plot(SIZE_NAMES, [_mean(protocols, size, "similarity") for size in SIZES], **style)
        for axis, values in zip(
            axes[1:], zip(*(pose_error(protocols, size) for size in SIZES), strict=True), strict=True
        ):
            axis.plot(SIZE_NAMES, values, **style)
    for axis, title in zip(
        axes, ("identity similarity", "error of head angles, °", "error of blendshapes"), strict=True
    ):
        axis.set_title(title)
        axis.set_xlabel("relative size of the face")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def grid(folder: Path, names: list[str], seed: int, path: Path) -> None:
    """A column a person: the reference photo, the pose's donor, then pictures of each name at the ends of the sizes."""
    asked = [task(PROTOCOLS[SIZES[0]], number, seed) for number in range(GRID_PEOPLE)]
    lines = {"reference": [render(t.references[0], 2 * GRID_CELL).image for t in asked]}
    lines["pose from"] = [render(t.donors[0], 2 * GRID_CELL).image for t in asked]
    for protocol in (SIZES[0], SIZES[-1], TWO):
        for name in names:
            paths = [folder / name / folder_name(protocol) / f"{number:05d}.png" for number in range(GRID_PEOPLE)]
            if all(path.exists() for path in paths):
                lines["\n".join([name, *protocol.split(", ")])] = [np.asarray(Image.open(path)) for path in paths]
    _joined(lines).save(path, quality=88)


def _joined(lines: dict[str, list[np.ndarray]]) -> Image.Image:
    """The pictures in a line each, with its name before it."""
    joined = Image.new("RGB", (GRID_LABEL + GRID_CELL * GRID_PEOPLE, GRID_CELL * len(lines)), "white")
    pen, font = ImageDraw.Draw(joined), ImageFont.load_default(14)
    for row, (name, line) in enumerate(lines.items()):
        y = row * GRID_CELL
        pen.multiline_text((6, y + GRID_CELL / 2), name, fill="black", font=font, anchor="lm")
        for column, pixels in enumerate(line):
            small = Image.fromarray(pixels).resize((GRID_CELL, GRID_CELL), Image.Resampling.LANCZOS)
            joined.paste(small, (GRID_LABEL + column * GRID_CELL, y))
    return joined
