"""Every gesture on the location-box editor ends in the right value."""

import json

import pytest

NEAR = 4  # pixels of the 1000×800 frame: about one of the screen


def close(found, expected, tolerance=NEAR):
    assert len(found) == len(expected), found
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=tolerance)


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


class TestKeys:
    def select(self, stage, *boxes):
        stage.set([*boxes])
        left, top, side = boxes[0][:3]
        stage.click(left + side / 2, top + side / 2)

    def test_arrows_nudge_and_shift_is_coarse(self, stage):
        self.select(stage, (100, 100, 200))
        stage.press("ArrowRight", "ArrowDown", "Shift+ArrowDown", "Shift+ArrowLeft")
        close(stage.pixels(), [(85, 117, 200)], tolerance=0.1)

    def test_delete_removes_the_box_and_not_the_node(self, stage):
        self.select(stage, (100, 100, 200, "Ada"), (600, 400, 200, "Bo"))
        stage.press("Delete")
        assert [box["name"] for box in stage.boxes()] == ["Bo"]
        stage.press("Delete")
        assert stage.boxes() == []
        assert stage.page.evaluate("app.graph.nodes.length") == 1

    def test_undo_and_redo(self, stage):
        self.select(stage, (100, 100, 200))
        start = stage.text()
        stage.press("Shift+ArrowRight", "Delete")
        stage.press("Control+z")
        moved = stage.text()
        close(stage.pixels(), [(116, 100, 200)], tolerance=0.1)
        stage.press("Control+z")
        assert stage.text() == start
        stage.press("Control+y")
        assert stage.text() == moved
        stage.press("Control+Shift+z")
        assert stage.boxes() == []
        stage.page.wait_for_timeout(150)  # the graph's own undo, were it to answer too, would by now have
        assert stage.boxes() == []

    def test_duplicates(self, stage):
        self.select(stage, (100, 100, 200, "Ada"))
        stage.press("Control+d")
        assert [box["name"] for box in stage.boxes()] == ["Ada", "Ada"]
        assert stage.selected() == 1

    def test_tab_cycles_and_escape_leaves(self, stage):
        self.select(stage, (100, 100, 100), (300, 100, 100), (500, 100, 100))
        seen = []
        for _ in range(4):
            stage.press("Tab")
            seen.append(stage.selected())
        stage.press("Shift+Tab")
        assert [*seen, stage.selected()] == [1, 2, 0, 1, 0]
        stage.press("Escape")
        assert stage.selected() is None
        assert stage.page.evaluate("document.activeElement.dataset.action") == "add"

    def test_enter_goes_to_the_name(self, stage):
        self.select(stage, (100, 100, 200))
        stage.press("Enter")
        stage.page.keyboard.type("Grace")
        stage.press("Enter", "ArrowRight")
        assert stage.boxes()[0]["name"] == "Grace"
        close(stage.pixels(), [(101, 100, 200)], tolerance=0.1)

    def test_the_whole_job_needs_no_pointer(self, stage):
        stage.locate("[data-action=add]").focus()
        stage.press("Enter", "Tab", "Tab", "Tab")
        for _ in range(6):
            if "rb-grip" in stage.page.evaluate("document.activeElement.className"):
                break
            stage.press("Tab")
        stage.press("ArrowLeft", "Delete")
        assert stage.boxes() == []


class TestButtonsAndFields:
    def test_add_and_clear(self, stage):
        for _ in range(8):
            stage.locate("[data-action=add]").click()
        assert len(stage.boxes()) == 8
        assert stage.locate("[data-action=add]").is_disabled()
        stage.locate("[data-action=clear]").click()
        assert stage.boxes() == []
        stage.locate("[data-action=undo]").click()
        assert len(stage.boxes()) == 8

    def test_the_eighth_box_can_be_drawn(self, stage):
        stage.set([(10 + 120 * i, 10, 100) for i in range(7)])
        stage.drag((200, 400), (400, 600), key="Alt")
        close(stage.pixels()[7:], [(200, 400, 200)])

    def test_a_ninth_box_is_refused_with_a_reason(self, stage):
        before = stage.set([(10 + 120 * i, 10, 100) for i in range(8)])
        stage.drag((200, 400), (400, 600))
        assert stage.text() == before
        assert "At most 8" in stage.says()

    def test_names_and_order(self, stage):
        stage.set([(100, 100, 200, "Ada"), (600, 400, 200, "Bo")])
        stage.click(700, 500)
        stage.locate(".rb-name").fill("Boris")
        stage.locate("[data-action=earlier]").click()
        assert [box["name"] for box in stage.boxes()] == ["Boris", "Ada"]
        stage.locate("[data-action=later]").click()
        assert [box["name"] for box in stage.boxes()] == ["Ada", "Boris"]

    def test_exact_numbers(self, stage):
        stage.set([(100, 100, 200)])
        stage.click(200, 200)
        for number, value in enumerate(["40", "60.5", "300"]):
            field = stage.locate(".rb-number input").nth(number)
            field.fill(value)
            field.press("Enter")
        close(stage.pixels(), [(-10, 10.5, 300)], tolerance=0.1)
        ratio = stage.locate(".rb-number input").nth(3)
        ratio.fill("6.2")
        ratio.press("Enter")
        assert stage.boxes()[0]["size"] == pytest.approx(1 / 6.2, abs=1e-4)

    def test_a_number_that_is_being_typed_belongs_to_the_box_selected_before(self, stage):
        stage.set([(100, 100, 200), (600, 400, 200)])
        stage.click(200, 200)
        stage.locate(".rb-number input").nth(0).fill("40")
        stage.click(700, 500)
        close(stage.pixels(), [(40, 100, 200), (600, 400, 200)], tolerance=0.1)

    @pytest.mark.parametrize("count", [1, 5, 8])
    def test_layouts(self, stage, count):
        stage.locate(".rb-layout").select_option(f"people {count}")
        boxes = stage.pixels()
        assert len(boxes) == count
        assert sum(left + side / 2 - 500 for left, _, side in boxes) == pytest.approx(0, abs=1)

    def test_arrangements(self, stage):
        stage.set([(100, 100, 200), (400, 180, 100)])
        stage.locate(".rb-layout").select_option("mirror")
        close(stage.pixels(), [(700, 100, 200), (500, 180, 100)], tolerance=0.1)
        stage.locate(".rb-layout").select_option("space")
        gap = (1000 - 300) / 3
        close(stage.pixels(), [(100 + 2 * gap, 100, 200), (gap, 180, 100)], tolerance=0.1)
        stage.locate(".rb-layout").select_option("centre")
        close(stage.pixels(), [(100 + 2 * gap, 300, 200), (gap, 380, 100)], tolerance=0.1)

    def test_everything_has_a_name(self, stage):
        stage.set([(100, 100, 200, "Ada")])
        nameless = stage.page.evaluate(
            """[...document.querySelectorAll('#tested :is(button, input, select)')]
                .filter(e => !e.ariaLabel && !e.textContent.trim()).map(e => e.outerHTML)"""
        )
        assert nameless == []
        assert "Ada: 1/5" in stage.locate(".rb-grip").get_attribute("aria-label")


class TestValue:
    TEXT = '[ {"x":0.123456789, "y": 0.2, "size": 0.25, "name":"\\u674e", "mine": 1} ]'

    def test_goes_to_the_stage_and_back_unchanged(self, stage):
        stage.set(self.TEXT)
        stage.click(250, 300)
        assert stage.locate(".rb-label").inner_text() == "李"
        assert stage.text() == self.TEXT

    def test_is_what_the_server_gets(self, stage):
        stage.set(self.TEXT)
        prompt = stage.page.evaluate("async () => (await app.graphToPrompt()).output")
        assert [node["inputs"]["boxes"] for node in prompt.values()] == [self.TEXT]

    @pytest.mark.parametrize("text", ["{oops", '{"version": 9, "boxes": []}', '[{"x": 5, "y": 0, "size": 0.2}]'])
    def test_when_broken_shows_an_empty_stage_and_why_and_is_kept(self, stage, text):
        stage.set(text)
        assert stage.locate(".rb-box").count() == 0
        assert "stage is empty" in stage.says()
        assert stage.text() == text
        stage.drag((100, 100), (400, 400))
        assert len(stage.boxes()) == 1
        assert "empty" not in stage.says()

    def test_survives_saving_and_reloading(self, stage):
        stage.drag((100, 100), (330, 200))
        text = stage.text()
        stage.page.evaluate(
            """async () => {
                await app.loadGraphData(JSON.parse(JSON.stringify(app.graph.serialize())))
                adopt(app.graph.nodes[0])
            }"""
        )
        stage.locate(".rb-box").wait_for()
        assert stage.text() == text

    def test_survives_copy_and_paste(self, stage):
        stage.drag((100, 100), (330, 200))
        stage.page.evaluate(
            "() => { app.canvas.selectNode(node); app.canvas.copyToClipboard(); app.canvas.pasteFromClipboard() }"
        )
        texts = stage.page.evaluate("app.graph.nodes.map(n => n.widgets.find(w => w.name === 'boxes').value)")
        assert texts == [stage.text()] * 2
        stage.page.evaluate("() => { app.graph.nodes[1].pos = [600, 60]; app.canvas.setDirty(true, true) }")
        stage.settle()
        stage.drag((500, 500), (700, 700))
        texts = stage.page.evaluate("app.graph.nodes.map(n => n.widgets.find(w => w.name === 'boxes').value)")
        assert len({*texts}) == 2, "the copies share their boxes"

    def test_follows_the_graphs_own_undo(self, stage):
        stage.page.evaluate("app.extensionManager.workflow.activeWorkflow.changeTracker.checkState()")
        stage.drag((100, 100), (330, 200))
        stage.drag((500, 500), (700, 600))
        stage.page.evaluate("app.extensionManager.workflow.activeWorkflow.changeTracker.undo()")
        stage.page.evaluate("() => adopt(app.graph.nodes[0])")
        assert len(stage.boxes()) == 1

    def test_lives_inside_a_subgraph(self, stage):
        stage.drag((100, 100), (330, 200))
        text = stage.text()
        prompt = stage.page.evaluate(
            """async () => {
                app.canvas.selectNode(node)
                const { node: outer } = app.graph.convertToSubgraph(new Set([node]))
                app.canvas.openSubgraph(outer.subgraph, outer)
                adopt(outer.subgraph.nodes[0])
                return (await app.graphToPrompt()).output
            }"""
        )
        assert [node["inputs"]["boxes"] for node in prompt.values()] == [text]
        stage.locate(".rb-box").wait_for()
        stage.settle()
        stage.drag((500, 400), (750, 600))
        assert len(stage.boxes()) == 2


class TestSurroundings:
    def test_the_stage_has_the_pictures_shape(self, stage):
        rect = stage.locate(".rb-stage").bounding_box()
        assert rect["width"] / rect["height"] == pytest.approx(1000 / 800, rel=0.01)
        stage.page.evaluate("() => { const w = node.widgets[0]; w.value = 600; w.callback?.(600) }")
        rect = stage.locate(".rb-stage").bounding_box()
        assert rect["width"] / rect["height"] == pytest.approx(600 / 800, rel=0.01)

    def test_a_connected_photo_lies_behind_and_its_faces_become_boxes(self, stage, server, portraits, addresses):
        self.connect(stage, portraits["astronaut"])
        stage.page.wait_for_function("document.querySelector('#tested .rb-backdrop').naturalWidth > 0")
        stage.locate("[data-action=photo]").click()
        stage.locate(".rb-box").wait_for()
        # The astronaut's face is at 181,62–268,172 of 512×512, a photo centred in a frame of 1000×800.
        scale = 800 / 512
        (left, top, side) = stage.pixels()[0]
        middle = (left + side / 2, top + side / 2)
        assert middle == pytest.approx((100 + 224.5 * scale, 117 * scale), abs=20)
        assert side == pytest.approx(110 * scale, rel=0.25)
        stage.locate("[data-action=backdrop]").click()
        assert not stage.locate(".rb-backdrop").is_visible()

    def test_a_photo_shows_where_a_picture_of_another_shape_was_hidden(self, stage, portraits):
        picture = {"filename": "wide.png", "subfolder": "", "type": "temp"}
        stage.page.evaluate("file => node.onExecuted({realisid_background: [file]})", picture)
        stage.locate(".rb-backdrop").evaluate("image => { image.style.visibility = 'hidden' }")
        self.connect(stage, portraits["astronaut"])
        stage.page.wait_for_function("document.querySelector('#tested .rb-backdrop').naturalWidth > 0")
        assert stage.locate(".rb-backdrop").is_visible()

    def test_without_a_photo_says_what_to_connect(self, stage):
        stage.locate("[data-action=photo]").click()
        stage.page.wait_for_function("document.querySelector('#tested .rb-status').textContent.includes('Connect one')")

    def connect(self, stage, photo):
        stage.page.evaluate(
            """async ([name, bytes]) => {
                const body = new FormData()
                body.append('image', new File([new Uint8Array(bytes)], name, {type: 'image/jpeg'}))
                body.append('overwrite', 'true')
                await fetch('/upload/image', {method: 'POST', body})
                const loader = LiteGraph.createNode('LoadImage')
                loader.pos = [-300, 60]
                app.graph.add(loader)
                const choice = loader.widgets.find(w => w.name === 'image')
                choice.value = name
                loader.connect(0, node, node.inputs.findIndex(i => i.name === 'background'))
            }""",
            [photo.name, list(photo.read_bytes())],
        )

    def ran(self, stage, *names):
        """A run has just sent the connected boxes, one of each name."""
        boxes = [{"x": 0.2 + 0.3 * n, "y": 0.1, "size": 0.2, "name": name} for n, name in enumerate(names)]
        seeds = json.dumps({"version": 1, "boxes": boxes})
        stage.page.evaluate("text => node.onExecuted({realisid_seed_boxes: [text]})", seeds)

    def test_an_empty_stage_shows_the_boxes_of_every_run(self, stage):
        """They stay out of the text, so the next run takes what is connected then."""
        for names in (["left", "right"], ["somebody"]):
            self.ran(stage, *names)
            assert stage.locate(".rb-label").all_inner_texts() == names
            assert stage.text() == ""

    def test_boxes_of_a_run_are_taken_over_once_one_is_changed(self, stage):
        self.ran(stage, "left", "right")
        stage.drag((300, 180), (300, 280))
        assert [box["name"] for box in stage.boxes()] == ["left", "right"]
        self.ran(stage, "somebody")
        stage.page.evaluate("node.onConnectionsChange()")  # as when bboxes are disconnected
        assert [box["name"] for box in stage.boxes()] == ["left", "right"]
        stage.locate("[data-action=undo]").click()
        assert not stage.text()

    def test_boxes_of_a_run_can_be_undone_and_go_with_what_they_came_from(self, stage):
        stage.set([(100, 100, 200)])
        stage.locate("[data-action=clear]").click()
        self.ran(stage, "left")
        for _ in range(2):
            stage.locate("[data-action=undo]").click()
        close(stage.pixels(), [(100, 100, 200)])
        stage.locate("[data-action=clear]").click()
        self.ran(stage, "left")
        stage.page.evaluate("node.onExecuted({realisid_seed_boxes: ['']})")
        assert not stage.locate(".rb-box").count()

    def test_from_photo_takes_the_boxes_of_a_run_over(self, stage):
        self.ran(stage, "left")
        stage.locate("[data-action=photo]").click()
        stage.page.wait_for_function("document.querySelector('#tested .rb-status').textContent.includes('One face')")
        assert [box["name"] for box in stage.boxes()] == ["left"]

    def test_a_newly_chosen_photo_comes_before_that_of_the_last_run(self, stage, portraits):
        self.connect(stage, portraits["astronaut"])
        old = {"filename": "old.png", "subfolder": "", "type": "temp"}
        stage.page.evaluate("file => node.onExecuted({realisid_background: [file]})", old)
        source = stage.locate(".rb-backdrop").get_attribute("src")
        assert "old.png" in source
        stage.page.evaluate(
            """async () => {
                app.graph.getNodeById(app.graph.links.values().next().value.origin_id).widgets[0].value = 'new.png'
                const { api } = await import('/scripts/api.js')
                api.dispatchEvent(new CustomEvent('graphChanged', { detail: {} }))
            }"""
        )
        assert "new.png" in stage.locate(".rb-backdrop").get_attribute("src")
