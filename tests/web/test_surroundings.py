"""What the editor takes from the nodes that are connected to its own."""

import json

import pytest
from stage import BOXES, close


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


class TestConnectedBoxes:
    CONNECT = """() => {
        const text = LiteGraph.createNode('PrimitiveStringMultiline')
        text.pos = [600, 300]
        text.title = 'My boxes'
        app.graph.add(text)
        text.widgets[0].value = '[{"x": 0.2, "y": 0.2, "size": 0.3, "name": "Guest"}]'
        text.connect(0, node, node.inputs.findIndex(input => input.name === 'boxes'))
        app.canvas.setDirty(true, true)
    }"""

    def test_are_shown_with_where_they_come_from(self, stage):
        own = stage.set(BOXES)
        stage.page.evaluate(self.CONNECT)
        stage.frames()
        stage.settle()
        assert stage.locate(".rb-label").all_inner_texts() == ["Guest"]
        assert "My boxes" in stage.says()
        assert stage.locate(".rb-stage").is_visible()
        stage.drag((500, 500), (700, 700))
        assert stage.text() == own
        stage.page.evaluate("() => node.disconnectInput(node.inputs.findIndex(input => input.name === 'boxes'))")
        stage.frames()
        assert stage.locate(".rb-label").all_inner_texts() == ["Ada", "Bo"]
        stage.settle()
        stage.drag((200, 200), (250, 200))
        assert json.loads(stage.text()) != json.loads(own)

    PROMOTE = """() => {
        app.canvas.selectNode(node)
        const { node: outer } = app.graph.convertToSubgraph(new Set([node]))
        const inner = outer.subgraph.nodes[0]
        const slot = inner.inputs.find(input => input.name === 'boxes')
        outer.subgraph.addInput('boxes', 'STRING').connect(slot, inner)
        outer.pos = [60, 60]
        outer.setSize([430, 500])
        window.outer = outer
        adopt(inner)
        app.canvas.setDirty(true, true)
        app.api.dispatchEvent(new CustomEvent('graphChanged', { detail: {} }))
    }"""

    def test_promoted_to_their_subgraph_are_drawn_there_or_told_to_belong_there(self, stage):
        stage.set(BOXES)
        stage.page.evaluate(self.PROMOTE)
        stage.frames(8)
        shared = stage.page.evaluate("() => outer.widgets[0].element?.id === 'tested'")
        if not shared:  # newer pages give the subgraph's node a widget of its own
            stage.page.evaluate("() => app.canvas.openSubgraph(outer.subgraph, outer)")
            stage.locate(".rb-box").first.wait_for()
            assert stage.locate(".rb-label").all_inner_texts() == ["Ada", "Bo"]
            assert "subgraph's own node" in stage.says()
            stage.page.evaluate("() => app.canvas.setGraph(app.rootGraph)")
            self.edit_on_the_subgraphs_node(stage)
            return
        stage.settle()
        stage.drag((200, 200), (300, 200), key="Alt")
        assert json.loads(stage.page.evaluate("() => outer.widgets[0].value"))["boxes"][0]["x"] == pytest.approx(
            0.2, abs=0.01
        )

    def edit_on_the_subgraphs_node(self, stage):
        stage.frames(8)
        editor = stage.page.locator(".realisid-boxes:visible")
        if not editor.count():  # the canvas has a picture of them
            stage.page.mouse.click(
                *stage.page.evaluate(
                    """() => {
                        const { ds, canvas } = app.canvas
                        const { x, y } = canvas.getBoundingClientRect()
                        const middle = [outer.pos[0] + outer.size[0] / 2, outer.pos[1] + outer.widgets[0].y + 90]
                        return [x + (middle[0] + ds.offset[0]) * ds.scale, y + (middle[1] + ds.offset[1]) * ds.scale]
                    }"""
                )
            )
            stage.page.locator("dialog.realisid-dialog").wait_for()
        editor.locator("[data-action=add]").click()
        stage.press("Escape", "Escape")
        stage.page.locator("dialog.realisid-dialog").wait_for(state="detached")
        assert len(json.loads(stage.page.evaluate("() => outer.widgets[0].value"))["boxes"]) == 3
        prompt = stage.page.evaluate("async () => (await app.graphToPrompt()).output")
        assert [len(json.loads(node["inputs"]["boxes"])["boxes"]) for node in prompt.values()] == [3]
