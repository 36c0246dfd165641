"""`python dev.py demo`: the example portraits in, the pictures of every example workflow out, one sheet of them all."""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from headless.client import Client, Result, Workflow, WorkflowError
from headless.contact_sheet import Row, Tile, contact_sheet
from headless.server import PACK, running_server
from realisid_core.bootstrap import host_path

WORKFLOWS = PACK / "workflows" / "api"
OUTPUT = (PACK if os.access(PACK, os.W_OK) else Path(os.environ["REALISID_DEV"])) / "output"
FIRST = "perception"
LEFT_OUT = {"Perception", "Start here", "Single steps"}  # draws nothing; are "One person" and "Two people" again


def main() -> int:
    parser = argparse.ArgumentParser(prog="python dev.py demo", description=__doc__)
    parser.add_argument("workflow", nargs="*", help="names in workflows/api; default: all that need no download")
    parser.add_argument("--gpu", action="store_true", help="let ComfyUI choose the device (else: the CPU)")
    options = parser.parse_args()
    files = [WORKFLOWS / f"{name}.json" for name in options.workflow] or runs_anywhere()

    print("Starting ComfyUI …", flush=True)
    with tempfile.TemporaryDirectory() as home:
        device = [] if options.gpu else ["--cpu"]
        with running_server(host_path(), Path(home), *device) as server:
            client = Client(server.address)
            for portrait in sorted((PACK / "portraits").glob("*.jpg")):
                client.upload(portrait)
            rows = [run(client, file, f"[{index}/{len(files)}]") for index, file in enumerate(files, 1)]

    done = [row for row in rows if row]
    if done:
        sheet = OUTPUT / "contact_sheet.png"
        contact_sheet("RealisID for ComfyUI", done).save(sheet)
        print(f"\n{sum(len(row.tiles) for row in done)} pictures in {OUTPUT}\nAll on one sheet: {sheet}")
        results(done).save(OUTPUT / "results.jpg", quality=85, optimize=True)
    return 0 if len(done) == len(rows) else 1


def runs_anywhere() -> list[Path]:
    """The workflows that need no model but what ships with the pack, faces first."""
    return [WORKFLOWS / f"{FIRST}.json", *sorted(WORKFLOWS.glob("*_miniature.json"))]


def run(client: Client, file: Path, number: str) -> Row | None:
    """Queue one workflow, save its pictures; None (and the reason on the console) if it failed."""
    workflow = json.loads(file.read_text(encoding="utf-8"))
    line = StatusLine(f"{number} {file.stem:<28}")
    started = time.monotonic()
    try:
        result = client.run(workflow, lambda node, done, total: line.show(step(workflow, node, done, total)))
    except WorkflowError as failure:
        line.end("failed")
        for node, message in failure.errors.items():
            print(f"      {title(workflow, node)}: {message}", file=sys.stderr)
        return None
    seconds = time.monotonic() - started
    tiles = save(result, workflow, file.stem)
    line.end(f"{len(tiles)} pictures, {seconds:.1f} s")
    return Row(title_of(file.stem), f"{seconds:.1f} s", tiles)


def results(rows: list[Row]) -> Image.Image:
    """The README's picture: who was asked for, and what came out."""
    portraits = [Tile(file.stem, Image.open(file)) for file in sorted((PACK / "portraits").glob("world_*.jpg"))]
    drawn = [Tile(row.title, row.tiles[-1].image) for row in rows if row.title not in LEFT_OUT]
    return contact_sheet(
        "RealisID for ComfyUI", [Row("Who", "", portraits), Row("What the miniature draws", "", drawn)]
    )


def title_of(name: str) -> str:
    return name.removesuffix("_miniature").replace("_", " ").capitalize()


def save(result: Result, workflow: Workflow, name: str) -> list[Tile]:
    """Write what the nodes saved or previewed to the output folder, in the order of the workflow's nodes."""
    OUTPUT.mkdir(exist_ok=True)
    tiles = []
    for node in workflow:
        for image in result.images(node):
            image.save(OUTPUT / f"{name}_{len(tiles) + 1:02}.png")
            tiles.append(Tile(title(workflow, node), image))
    return tiles


def title(workflow: Workflow, node: str) -> str:
    described = workflow.get(node, {})
    return described.get("_meta", {}).get("title") or described.get("class_type", "workflow")


def step(workflow: Workflow, node: str, done: int, total: int) -> str:
    return f"{title(workflow, node)} {done}/{total}" if total else title(workflow, node)


class StatusLine:
    """One console line that is rewritten as work goes on; where there is no terminal, only its end is printed."""

    def __init__(self, label: str):
        self.label = label
        self.live = sys.stdout.isatty()

    def show(self, text: str) -> None:
        if self.live:
            print(f"\r\033[K{self.label} {text}", end="", flush=True)

    def end(self, text: str) -> None:
        clear = "\r\033[K" if self.live else ""
        print(f"{clear}{self.label} {text}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
