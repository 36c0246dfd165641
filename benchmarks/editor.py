"""A drag of 500 pointer moves on the location-box editor with eight people, each with a face of 512² pixels and a pose:
how many frames a second the page keeps.

    COMFYUI_PATH=... python benchmarks/editor.py [--frontend STATIC_FOLDER]

Starts ComfyUI and a headless Chromium; prints frames a second and the slow frames for both renderers. A pointer on a
real screen moves about 60 times a second; the moves here come as fast as the browser takes them.
"""

import argparse
import itertools
import os
import shutil
import sys
import tempfile
from pathlib import Path

PACK = Path(__file__).resolve().parent.parent
sys.path.append(str(PACK))

from playwright.sync_api import Page, sync_playwright  # noqa: E402

from headless.server import running_server  # noqa: E402
from realisid_core.bootstrap import host_path  # noqa: E402

MOVES = 500
EVERYBODY = 8
BROWSERS = ["chromium", "chromium-browser", "google-chrome"]
READY = "() => Boolean(window.app?.extensionManager?.setting && LiteGraph.registered_node_types.RealisID_LocationBoxes)"
PLACE = """() => {
    app.graph.clear()
    const node = window.node = LiteGraph.createNode('RealisID_LocationBoxes')
    node.pos = [60, 60]
    app.graph.add(node)
    const place = i => ({ x: (i % 4) / 4, y: i < 4 ? 0.1 : 0.6, size: 0.2, name: `Name ${i}` })
    const boxes = Array.from({ length: 8 }, (_, i) => place(i))
    node.widgets.find(widget => widget.name === 'boxes').value = JSON.stringify({ version: 1, boxes })
    app.canvas.ds.scale = 1
    app.canvas.ds.offset = [250, 20]
    app.canvas.setDirty(true, true)
}"""
PEOPLE = """async files => {
    const addresses = await Promise.all(files.map(async ([name, bytes]) => {
        const body = new FormData()
        body.append('image', new File([new Uint8Array(bytes)], name, { type: 'image/jpeg' }))
        const stored = await (await app.api.fetchApi('/upload/image', { method: 'POST', body })).json()
        return app.api.apiURL(`/view?${new URLSearchParams({ filename: stored.name, type: 'input' })}`)
    }))
    // Nine contours of 14 points, as many as a pose has.
    const pose = Array.from({ length: 9 }, (_, line) => Array.from({ length: 14 }, (_, at) =>
        [100 + 60 * at, 100 + 90 * line + (at % 3) * 10]).flat())
    const faceOf = at => addresses[at % addresses.length]
    const persons = Array.from({ length: 8 }, (_, at) => ({ number: at + 1, face: faceOf(at), pose }))
    const { bindings } = await import('/extensions/comfyui-realisid/boxes_binding.js')
    ;[...bindings].find(binding => binding.node === node).editor.showPersons(persons)
    const faces = [...document.querySelectorAll('.rb-face:not([hidden])')]
    await Promise.all(faces.map(face => face.decode()))
    return faces.length
}"""
WATCH = """() => {
    window.frames_at = []
    const note = time => { frames_at.push(time); window.watching = requestAnimationFrame(note) }
    window.watching = requestAnimationFrame(note)
}"""


def measure(page: Page, nodes2: bool) -> tuple[float, float]:
    """Frames a second over the drag, and the 99th percentile of a frame's milliseconds."""
    page.evaluate("on => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)", nodes2)
    page.evaluate(PLACE)
    page.wait_for_timeout(2000)
    faces = [[file.name, list(file.read_bytes())] for file in sorted((PACK / "portraits").glob("*.jpg"))]
    if page.evaluate(PEOPLE, faces) != EVERYBODY:
        raise SystemExit("The stage does not show everybody's face.")
    stage = page.locator(".rb-stage").bounding_box()
    x, y, side = stage["x"], stage["y"], stage["width"]
    page.mouse.move(x + 0.1 * side, y + 0.2 * side)
    page.mouse.down()
    page.evaluate(WATCH)
    page.mouse.move(x + 0.8 * side, y + 0.7 * side, steps=MOVES)
    times = page.evaluate("() => { cancelAnimationFrame(watching); return frames_at }")
    page.mouse.up()
    gaps = [after - before for before, after in itertools.pairwise(times)]
    return 1000 * len(gaps) / (times[-1] - times[0]), sorted(gaps)[int(0.99 * len(gaps))]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--frontend", help="static folder of another comfyui-frontend-package")
    frontend = arguments.parse_args().frontend
    options = ["--front-end-root", str(Path(frontend).resolve())] if frontend else []
    executable = next(filter(None, map(shutil.which, BROWSERS)))
    with (
        tempfile.TemporaryDirectory() as home,
        running_server(host_path(), Path(home), "--cpu", *options) as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        # A new user is greeted with the template browser, in front of everything.
        greeted = f"{server.address}/settings/Comfy.TutorialCompleted"
        page.request.post(greeted, data="true", headers={"Content-Type": "application/json"})
        page.goto(server.address)
        page.wait_for_function(READY, timeout=60_000)
        page.wait_for_timeout(2000)
        for renderer, nodes2 in (("classic canvas", False), ("Nodes 2.0", True)):
            rate, slow = measure(page, nodes2)
            load = os.getloadavg()[0] / (os.cpu_count() or 1)
            print(
                f"{renderer}: {rate:.0f} frames a second over {MOVES} moves, 99 % of them within {slow:.0f} ms "
                f"(load {load:.1f} a core)"
            )
        browser.close()


if __name__ == "__main__":
    main()
