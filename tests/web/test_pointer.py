"""What mouse, pen and fingers do on the stage, and what they do by mistake."""

import pytest
from stage import BOXES, close


def touch(stage, kind: str, *points: tuple) -> None:
    places = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
    stage.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})


@pytest.fixture
def fingers(stage):
    stage.session = stage.page.context.new_cdp_session(stage.page)
    stage.session.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})
    yield
    stage.session.send("Emulation.setTouchEmulationEnabled", {"enabled": False})


class TestPointer:
    def test_draws_a_square_with_the_drags_longer_side(self, stage):
        stage.drag((100, 100), (330, 200), key="Alt")
        close(stage.pixels(), [(100, 100, 230)])

    def test_draws_towards_the_upper_left_too(self, stage):
        stage.drag((600, 500), (480, 380), key="Alt")
        close(stage.pixels(), [(480, 380, 120)])

    def test_snaps_to_a_round_size_and_says_so(self, stage):
        stage.drag((100, 100), (100 + 1000 / 6 + 6, 200))
        assert stage.boxes()[0]["size"] == pytest.approx(1 / 6, abs=1e-5)
        assert "1/6" in stage.says() and "small" not in stage.says()

    def test_says_that_a_face_is_small(self, stage):
        stage.drag((100, 100), (220, 150), key="Alt")
        assert "small face" in stage.says()

    def test_moves(self, stage):
        stage.set([(100, 100, 200), (600, 400, 200)])
        stage.drag((200, 200), (320, 260))
        close(stage.pixels(), [(220, 160, 200), (600, 400, 200)])

    def test_moves_past_the_frame_but_never_out_of_it(self, stage):
        stage.set([(100, 100, 200)])
        stage.drag((200, 200), (-400, 200))
        left, _, side = stage.pixels()[0]
        assert left < 0 < left + side

    @pytest.mark.parametrize(
        ("corner", "to", "expected"),
        [
            ((300, 300), (400, 350), (100, 100, 300)),
            ((100, 100), (50, 70), (50, 50, 250)),
            ((300, 100), (370, 90), (100, 30, 270)),
            ((100, 300), (60, 340), (60, 100, 240)),
        ],
        ids=["south-east", "north-west", "north-east", "south-west"],
    )
    def test_resizes_by_every_corner(self, stage, corner, to, expected):
        stage.set([(100, 100, 200)])
        stage.drag(corner, to, key="Alt")
        close(stage.pixels(), [expected], tolerance=6)

    def test_escape_gives_up_a_drag(self, stage):
        before = stage.set([(100, 100, 200)])
        stage.page.mouse.move(*stage.at(200, 200))
        stage.page.mouse.down()
        stage.page.mouse.move(*stage.at(400, 300))
        stage.press("Escape")
        stage.page.mouse.up()
        assert stage.text() == before

    def test_a_click_selects_again_deeper_and_beside_all_none(self, stage):
        before = stage.set([(100, 100, 500), (200, 200, 150)])
        stage.click(275, 275)
        assert stage.selected() == 1
        stage.click(275, 275)
        assert stage.selected() == 0
        stage.click(900, 700)
        assert stage.selected() is None
        assert stage.text() == before

    def test_works_by_touch(self, stage):
        session = stage.page.context.new_cdp_session(stage.page)
        session.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
        points = [stage.at(100, 100), stage.at(150, 140), stage.at(335, 260)]
        for kind, point in zip(["touchStart", "touchMove", "touchMove"], points, strict=True):
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": point[0], "y": point[1]}]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        session.send("Emulation.setTouchEmulationEnabled", {"enabled": False})
        close(stage.pixels(), [(100, 100, 235)], tolerance=20)

    def test_works_with_a_pen(self, stage):
        session = stage.page.context.new_cdp_session(stage.page)
        for kind, point in [("mousePressed", (100, 100)), ("mouseMoved", (200, 200)), ("mouseReleased", (330, 300))]:
            x, y = stage.at(*point)
            pen = {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "pointerType": "pen", "clickCount": 1}
            session.send("Input.dispatchMouseEvent", pen)
        close(stage.pixels(), [(100, 100, 230)], tolerance=20)

    def test_corners_can_be_caught_at_half_zoom(self, stage):
        stage.set([(100, 100, 300)])
        stage.click(250, 250)
        width = stage.locate(".rb-stage").bounding_box()["width"]
        stage.page.evaluate("() => { app.canvas.ds.scale = 0.5; app.canvas.setDirty(true, true) }")
        smaller = "width => document.querySelector('#tested .rb-stage').getBoundingClientRect().width < 0.6 * width"
        stage.page.wait_for_function(smaller, arg=width)
        stage.settle()
        x, y = stage.at(400, 400)
        stage.page.mouse.move(x + 5, y + 5)
        stage.page.mouse.down()
        stage.page.mouse.move(*stage.at(520, 520), steps=3)
        stage.page.mouse.up()
        close(stage.pixels(), [(100, 100, 420)], tolerance=12)


class TestStrayGestures:
    def test_a_pinch_zooms_the_canvas_and_leaves_no_box(self, stage, fingers):
        one, other = stage.at(400, 400), stage.at(600, 500)
        touch(stage, "touchStart", one)
        touch(stage, "touchMove", (one[0] + 12, one[1]))
        touch(stage, "touchStart", (one[0] + 12, one[1]), other)
        for step in range(1, 4):
            touch(stage, "touchMove", (one[0] - 10 * step, one[1]), (other[0] + 10 * step, other[1]))
        touch(stage, "touchEnd")
        assert stage.boxes() == []
        assert stage.page.evaluate("app.canvas.ds.scale") > 1.2

    def test_a_pinch_moves_no_box(self, stage, fingers):
        before = stage.set(BOXES)
        one, other = stage.at(200, 200), stage.at(700, 500)
        touch(stage, "touchStart", one)
        touch(stage, "touchStart", one, other)
        touch(stage, "touchMove", (one[0] - 30, one[1]), (other[0] + 30, other[1]))
        touch(stage, "touchEnd", (one[0] - 30, one[1]))
        touch(stage, "touchMove", (one[0] - 60, one[1]))
        touch(stage, "touchEnd")
        assert stage.text() == before

    def test_a_hand_that_shakes_draws_nothing(self, stage):
        x, y = stage.at(500, 400)
        stage.page.mouse.move(x, y)
        stage.page.mouse.down()
        stage.page.mouse.move(x + 5, y + 4)
        stage.page.mouse.up()
        assert stage.boxes() == []

    @pytest.mark.parametrize("end", [(3000, 2500), (-2000, -1500), (3000, 450), (450, -900)])
    def test_a_box_drawn_out_of_the_stage_ends_at_the_pictures_edge(self, stage, end):
        stage.drag((400, 400), end, key="Alt")
        (left, top, side) = stage.pixels()[0]
        assert left >= -0.1 and top >= -0.1
        assert left + side <= 1000.1 and top + side <= 800.1
        assert side > 300

    def test_a_corner_pulled_out_of_the_stage_ends_at_the_pictures_edge(self, stage):
        stage.set([(500, 300, 200)])
        stage.drag((700, 500), (4000, 3500), key="Alt")
        (left, top, side) = stage.pixels()[0]
        assert (left, top, side) == pytest.approx((500, 300, 500), abs=1)

    def test_space_evenly_keeps_rows_apart(self, stage):
        stage.set([(50, 60, 200), (420, 90, 200), (100, 500, 150), (300, 480, 150), (700, 520, 150)])
        stage.locate(".rb-layout").select_option("space")
        lefts = [left for left, _, _ in stage.pixels()]
        assert lefts == pytest.approx([200, 600, 137.5, 425, 712.5], abs=0.1)
