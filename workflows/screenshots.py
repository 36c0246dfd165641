"""The templates as ComfyUI's page draws them, to look at their layout: `python -m workflows.screenshots FOLDER`."""

import argparse
import io
import json
import shutil
import tempfile
from pathlib import Path

from PIL import Image

from headless.client import Client
from headless.server import PACK, running_server
from realisid_core.bootstrap import host_path

FOLDER = Path(__file__).parent
SCREEN = {"width": 1920, "height": 1080}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
READY = "() => window.app?.extensionManager?.setting && LiteGraph.registered_node_types.RealisID_LocationBoxes"
SETTINGS = {
    "Comfy.TutorialCompleted": True,  # else the template browser greets a new user
    "Comfy.VueNodes.Enabled": False,
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.Graph.CanvasMenu": False,
    "Comfy.Workflow.ShowMissingModelsWarning": False,
    "LiteGraph.Canvas.MinFontSizeForLOD": 0,
}
SET = """async settings => {
    for (const [name, value] of Object.entries(settings)) await app.extensionManager.setting.set(name, value)
}"""
FOCUS = "() => app.extensionManager.command.execute('Workspace.ToggleFocusMode')"
SHOW = "graph => app.loadGraphData(graph)"
FIT = """([width, height]) => {
    const groups = app.graph.groups.map(({pos, size}) => [pos[0], pos[1], pos[0] + size[0], pos[1] + size[1]])
    const edge = (side, choose) => choose(...groups.map(group => group[side]))
    const [left, top, right, bottom] = [edge(0, Math.min), edge(1, Math.min), edge(2, Math.max), edge(3, Math.max)]
    const scale = Math.min(width / (right - left), height / (bottom - top)) * 0.98
    app.canvas.ds.scale = scale
    app.canvas.ds.offset = [width / scale / 2 - (left + right) / 2, height / scale / 2 - (top + bottom) / 2]
    app.canvas.setDirty(true, true)
}"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workflows.screenshots", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pictures go, one PNG a template")
    parser.add_argument("--only", default="", help="templates whose name has this in it")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory() as home,
        running_server(host_path(), Path(home), "--cpu") as server,
        sync_playwright() as playwright,
    ):
        for portrait in sorted((PACK / "portraits").glob("*.jpg")):
            Client(server.address).upload(portrait)
        executable = next(filter(None, map(shutil.which, BROWSERS)))
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": SCREEN["width"], "height": SCREEN["height"]})
        page.goto(server.address)
        page.wait_for_function(READY)
        page.evaluate(SET, SETTINGS)
        page.reload()
        page.wait_for_function(READY)
        page.wait_for_timeout(2000)  # the start-up graph arrives a moment after the app is ready
        page.evaluate(FOCUS)
        for file in sorted(file for file in FOLDER.glob("*.json") if options.only in file.stem):
            page.evaluate(SHOW, json.loads(file.read_text(encoding="utf-8")))
            page.evaluate(FIT, [SCREEN["width"], SCREEN["height"]])
            page.wait_for_timeout(2000)  # photos load
            screen = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            screen.save(options.folder / f"{file.stem}.png")


if __name__ == "__main__":
    main()
