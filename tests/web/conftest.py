"""A browser on the running server: the location-box editor in each frontend and each renderer."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

BROWSERS = ["chromium", "chromium-browser", "google-chrome"]
NODE = "RealisID_LocationBoxes"
PACK = Path(__file__).resolve().parents[2]
READY = f"() => Boolean(window.app?.extensionManager?.setting && window.LiteGraph?.registered_node_types?.{NODE})"


def newer_frontend() -> Path | None:
    """The static folder of a newer comfyui-frontend-package, tested besides the one that the host has installed."""
    named = os.environ.get("REALISID_FRONTEND")
    places = [Path(named)] if named else (PACK / ".dev").glob("frontend-*/comfyui_frontend_package/static")
    return next((place for place in places if (place / "index.html").is_file()), None)


@pytest.fixture(scope="session")
def browser():
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    sync_api = pytest.importorskip("playwright.sync_api", reason="SKIPPED: the editor's tests need playwright.")
    if executable is None:
        pytest.skip(f"SKIPPED: the editor's tests need a browser, one of {', '.join(BROWSERS)}.")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def addresses(server, tmp_path_factory):
    """Where each frontend is served."""
    from realisid_bootstrap import host_path
    from realisid_pack.headless.server import running_server

    newer = newer_frontend()
    if newer is None:
        yield {"installed": server.address}
        return
    home = tmp_path_factory.mktemp("newer")
    with running_server(host_path(), home, "--cpu", "--front-end-root", str(newer)) as second:
        yield {"installed": server.address, "newer": second.address}


MODES = [(frontend, renderer) for frontend in ("installed", "newer") for renderer in ("classic", "nodes2")]


@pytest.fixture(scope="module", params=MODES, ids="-".join)
def page(request, browser, addresses):
    """The app, loaded, with nothing on the canvas. Whatever the pack prints as an error fails the module's tests."""
    frontend, renderer = request.param
    if frontend not in addresses:
        pytest.skip(
            "SKIPPED: no newer frontend; unpack its wheel into .dev/frontend-<version> or set REALISID_FRONTEND."
        )
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(f"{error}\n{error.stack}"))
    page.on(
        "console",
        lambda message: message.type == "error" and page.complaints.append(f"{message.text} {message.location}"),
    )
    # A new user is greeted with the template browser, in front of everything.
    greeted = f"{addresses[frontend]}/settings/Comfy.TutorialCompleted"
    page.request.post(greeted, data="true", headers={"Content-Type": "application/json"})
    page.goto(addresses[frontend])
    page.wait_for_function(READY, timeout=60_000)
    page.evaluate("on => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)", renderer == "nodes2")
    time.sleep(1.5)  # the start-up graph arrives a moment after the app is ready
    yield page
    assert not [complaint for complaint in page.complaints if "/extensions/comfyui-realisid/" in complaint]
    page.close()


# Makes `node` the one under test, whatever others the page still holds.
ADOPT = """() => { window.adopt = (node) => {
    document.querySelector('#tested')?.removeAttribute('id')
    window.node = node
    node.widgets.find(widget => widget.name === 'boxes').element.id = 'tested'
}}"""


class Stage:
    """The editor on a fresh node, addressed in pixels of its 1000×800 frame."""

    frame = (1000, 800)

    def __init__(self, page):
        self.page = page
        page.mouse.move(1, 1)
        page.evaluate(ADOPT)
        page.evaluate(
            """([type, width, height]) => {
                const root = app.rootGraph ?? app.graph
                app.canvas.setGraph(root)
                root.clear()
                const node = LiteGraph.createNode(type)
                node.pos = [60, 60]
                root.add(node)
                for (const [side, value] of Object.entries({ width, height })) {
                    const widget = node.widgets.find(w => w.name === side)
                    widget.value = value
                    widget.callback?.(value)
                }
                adopt(node)
                app.canvas.ds.scale = 1
                app.canvas.ds.offset = [250, 20]
                app.canvas.setDirty(true, true)
            }""",
            [NODE, *self.frame],
        )
        self.settle()
        self.set([])

    def locate(self, selector: str):
        return self.page.locator(f"#tested {selector}")

    def settle(self) -> None:
        """Wait until the stage stands still on the screen."""
        self.page.wait_for_function(
            """() => {
                const rect = document.querySelector('#tested .rb-stage')?.getBoundingClientRect()
                const place = rect && [rect.x, rect.y, rect.width].join()
                const still = rect?.width > 0 && place === window.placeBefore
                window.placeBefore = place
                return still
            }""",
            polling=100,
        )

    def text(self) -> str:
        return self.page.evaluate("node.widgets.find(w => w.name === 'boxes').value")

    def boxes(self) -> list[dict]:
        return json.loads(self.text())["boxes"]

    def pixels(self) -> list[tuple[float, float, float]]:
        """(left, top, side) of every box."""
        width, height = self.frame
        return [(box["x"] * width, box["y"] * height, box["size"] * max(self.frame)) for box in self.boxes()]

    def set(self, boxes: list[tuple] | str) -> str:
        """Give the widget a value from outside: boxes as (left, top, side[, name]) in pixels, or a text as it is."""
        width, height = self.frame
        text = boxes
        if not isinstance(boxes, str):
            keys = ("x", "y", "size", "name")
            entries = [
                dict(zip(keys, (b[0] / width, b[1] / height, b[2] / max(self.frame), *b[3:]), strict=False))
                for b in boxes
            ]
            text = json.dumps({"version": 1, "boxes": entries})
        self.page.evaluate("text => node.widgets.find(w => w.name === 'boxes').value = text", text)
        return text

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where the frame's pixel lies on the screen."""
        rect = self.locate(".rb-stage").bounding_box()
        return rect["x"] + x / self.frame[0] * rect["width"], rect["y"] + y / self.frame[1] * rect["height"]

    def drag(self, start: tuple, end: tuple, key: str | None = None) -> None:
        mouse = self.page.mouse
        mouse.move(*self.at(*start))
        if key:
            self.page.keyboard.down(key)
        mouse.down()
        mouse.move(*self.at(*end), steps=4)
        mouse.up()
        if key:
            self.page.keyboard.up(key)

    def click(self, x: float, y: float) -> None:
        self.page.mouse.click(*self.at(x, y))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def selected(self) -> int | None:
        pressed = self.page.evaluate("[...document.querySelectorAll('#tested .rb-chip')].map(c => c.ariaPressed)")
        return pressed.index("true") if "true" in pressed else None

    def says(self) -> str:
        return self.locate(".rb-status").inner_text()


@pytest.fixture
def stage(page) -> Stage:
    return Stage(page)
