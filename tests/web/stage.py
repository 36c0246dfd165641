"""The location-box editor on a page, addressed in pixels of the picture that is to be made."""

import json

import pytest

NODE = "RealisID_LocationBoxes"
NEAR = 4  # pixels of the 1000×800 frame: about one of the screen
BOXES = [(100, 100, 200, "Ada"), (600, 400, 200, "Bo")]

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
                node.id = window.numbers = (window.numbers ?? 0) + 100  // Nodes 2.0 keeps the places of old ones
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
        self.page.evaluate("() => { window.stood = 0 }")
        self.page.wait_for_function(
            """() => {
                const rect = document.querySelector('#tested .rb-stage')?.getBoundingClientRect()
                const place = rect && [rect.x, rect.y, rect.width].join()
                window.stood = rect?.width > 0 && place === window.placeBefore ? window.stood + 1 : 0
                window.placeBefore = place
                return window.stood > 2  // frames
            }""",
            polling="raf",
        )

    def frames(self, count: int = 3) -> None:
        """Let the page draw so many frames: by then it has done what a key or a change of the graph asks of it."""
        self.page.evaluate(
            """count => new Promise(done => {
                const next = () => count-- > 0 ? requestAnimationFrame(next) : done()
                next()
            })""",
            count,
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


def close(found, expected, tolerance=NEAR):
    assert len(found) == len(expected), found
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=tolerance)


def entries(stage: Stage) -> list[tuple]:
    return [
        (box.get("name", ""), round(box["x"], 3), round(box["y"], 3), round(box["size"], 3)) for box in stage.boxes()
    ]
