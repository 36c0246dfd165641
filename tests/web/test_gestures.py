"""What the page does around the editor, and what hands do by mistake: each leaves the boxes and the node whole."""

import itertools
import json
import time

import pytest

BOXES = [(100, 100, 200, "Ada"), (600, 400, 200, "Bo")]
LONG = "Try a photo in which the face is larger, or one in which it looks at the camera: none was found."
NUMBERS = itertools.count(time.monotonic_ns() % 500)


def entries(stage) -> list[tuple]:
    return [
        (box.get("name", ""), round(box["x"], 3), round(box["y"], 3), round(box["size"], 3)) for box in stage.boxes()
    ]


def touch(stage, kind: str, *points: tuple) -> None:
    places = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
    stage.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})


@pytest.fixture
def fingers(stage):
    stage.session = stage.page.context.new_cdp_session(stage.page)
    stage.session.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})
    yield
    stage.session.send("Emulation.setTouchEmulationEnabled", {"enabled": False})


class TestPanel:
    def test_a_width_written_by_the_pages_panel_does_not_shrink_it(self, stage):
        before = stage.locate("").bounding_box()["width"]
        stage.page.evaluate("() => { node.widgets.find(w => w.name === 'boxes').width = 120 }")
        stage.page.evaluate("() => app.canvas.setDirty(true, true)")
        stage.page.wait_for_timeout(200)
        assert stage.locate("").bounding_box()["width"] == pytest.approx(before, abs=1)

    def test_the_panel_itself_leaves_it_as_it_is(self, stage):
        panel = stage.page.get_by_label("Toggle properties panel")
        if not panel.count():
            pytest.skip("This page has no properties panel.")
        before = stage.locate("").bounding_box()["width"]
        stage.page.evaluate("() => app.canvas.selectNode(node)")
        panel.first.click()
        stage.page.wait_for_timeout(500)
        panel.first.click()
        stage.page.wait_for_timeout(300)
        assert stage.locate("").bounding_box()["width"] == pytest.approx(before, abs=1)

    def test_definitions_loaded_anew_keep_it(self, stage):
        kind = """async () => {
            await app.refreshComboInNodes()
            return LiteGraph.createNode(node.type).widgets.find(widget => widget.name === 'boxes').type
        }"""
        assert stage.page.evaluate(kind) == "REALISID_BOXES"


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


class TestKeysOfThePage:
    def start(self, stage):
        stage.set(BOXES)
        stage.page.evaluate("() => app.canvas.selectNode(node)")
        stage.click(200, 200)

    def test_select_all_means_the_boxes(self, stage):
        self.start(stage)
        stage.press("Control+a")
        assert stage.locate(".rb-selected").count() == 2
        assert stage.page.evaluate("String(getSelection())") == ""
        stage.press("ArrowRight", "Delete")
        assert stage.boxes() == []
        stage.press("Control+z")
        assert [left for left, _, _ in stage.pixels()] == pytest.approx([101, 601], abs=0.1)

    def test_several_are_moved_and_picked_one_by_one(self, stage):
        self.start(stage)
        stage.page.keyboard.down("Shift")
        stage.click(700, 500)
        stage.page.keyboard.up("Shift")
        stage.drag((200, 200), (300, 250), key="Alt")
        assert stage.pixels()[1][:2] == pytest.approx((700, 450), abs=4)
        stage.press("Control+d")
        assert [box["name"] for box in stage.boxes()] == ["Ada", "Bo", "Ada", "Bo"]

    @pytest.mark.parametrize("keys", ["Control+b", "Control+m", "Control+g", "Alt+c", "q", "Control+Shift+e"])
    def test_what_acts_on_nodes_does_nothing_while_boxes_are_edited(self, stage, keys):
        self.start(stage)
        graph = "() => JSON.stringify([node.mode, node.flags, app.graph.nodes.length, app.graph.groups.length])"
        before = stage.page.evaluate(graph)
        stage.press(keys)
        stage.page.wait_for_timeout(60)
        assert stage.page.evaluate(graph) == before

    def test_boxes_are_copied_cut_and_pasted_and_the_node_is_not(self, stage):
        self.start(stage)
        stage.press("Control+c", "Control+v")
        assert [box["name"] for box in stage.boxes()] == ["Ada", "Bo", "Ada"]
        assert entries(stage)[0] != entries(stage)[2], "the copy would lie unseen on its original"
        stage.press("Control+x", "Control+v")
        assert [box["name"] for box in stage.boxes()] == ["Ada", "Bo", "Ada"]
        assert stage.page.evaluate("app.graph.nodes.length") == 1

    def test_boxes_go_from_one_node_to_another(self, stage):
        self.start(stage)
        stage.press("Control+a", "Control+c")
        text = entries(stage)
        stage.page.evaluate(
            """() => {
                const other = LiteGraph.createNode(node.type)
                other.pos = [700, 60]
                app.graph.add(other)
                adopt(other)
            }"""
        )
        stage.settle()
        stage.set([])
        stage.locate(".rb-keys").focus()
        stage.press("Control+v")
        assert [entry[0] for entry in entries(stage)] == [entry[0] for entry in text]
        assert len(stage.boxes()) == 2

    def test_in_a_field_they_are_the_fields_own(self, stage):
        self.start(stage)
        stage.press("Enter", "Control+a", "Control+c", "ArrowRight", "Control+v")
        assert stage.boxes()[0]["name"] == "AdaAda"
        assert len(stage.boxes()) == 2
        assert stage.page.evaluate("app.graph.nodes.length") == 1


class TestContextMenu:
    def open(self, stage, x, y):
        stage.page.mouse.click(*stage.at(x, y), button="right")
        return stage.page.locator(".realisid-menu")

    def test_on_a_box(self, stage):
        stage.set(BOXES)
        menu = self.open(stage, 700, 500)
        assert stage.selected() == 1
        menu.get_by_role("menuitem", name="Duplicate").click()
        assert [box["name"] for box in stage.boxes()] == ["Ada", "Bo", "Bo"]
        assert not menu.count()
        assert not stage.page.locator(".litecontextmenu").count(), "the canvas opened its own"

    def test_beside_the_boxes_and_with_keys_alone(self, stage):
        stage.set(BOXES)
        menu = self.open(stage, 500, 100)
        assert menu.get_by_role("menuitem", name="Add a person").is_enabled()
        stage.press("ArrowDown", "Enter")
        assert stage.locate(".rb-selected").count() == 2
        self.open(stage, 500, 100)
        stage.press("Escape")
        assert not menu.count()
        assert "rb-" in stage.page.evaluate("document.activeElement.className")

    def test_closes_when_something_else_is_pressed(self, stage):
        menu = self.open(stage, 500, 400)
        menu.wait_for()
        stage.click(100, 100)
        assert not menu.count()


class TestHistory:
    UNDO = "app.extensionManager.workflow.activeWorkflow.changeTracker.undo()"

    def test_undo_of_the_canvas_keeps_the_editors_own(self, stage):
        tracker = "app.extensionManager.workflow.activeWorkflow.changeTracker.checkState()"
        stage.page.evaluate(tracker)
        for start in ((100, 100), (400, 100), (700, 100)):
            stage.drag(start, (start[0] + 200, start[1] + 150), key="Alt")
            stage.page.evaluate(tracker)
        stage.page.evaluate(self.UNDO)
        stage.page.evaluate("() => adopt(app.graph.nodes[0])")
        stage.locate(".rb-box").first.wait_for()
        assert len(stage.boxes()) == 2
        stage.locate("[data-action=undo]").click()
        assert len(stage.boxes()) == 1
        stage.locate("[data-action=redo]").click()
        stage.locate("[data-action=redo]").click()
        assert len(stage.boxes()) == 3

    def test_another_graphs_node_of_the_same_number_has_none(self, stage):
        stage.drag((100, 100), (330, 200))
        stage.page.evaluate(
            """async () => {
                const saved = JSON.parse(JSON.stringify(app.graph.serialize()))
                saved.id = crypto.randomUUID()
                await app.loadGraphData(saved)
                adopt(app.graph.nodes[0])
            }"""
        )
        stage.locate(".rb-box").wait_for()
        assert stage.locate("[data-action=undo]").is_disabled()


class TestRoom:
    def crowd(self, stage, names):
        stage.set([(20 + 240 * (i % 4), 60 + 380 * (i // 4), 180, name) for i, name in enumerate(names)])

    def resize(self, stage, width):
        stage.page.evaluate("width => { node.setSize([width, 680]); app.canvas.setDirty(true, true) }", width)
        stage.page.wait_for_timeout(150)
        stage.settle()

    def test_eight_people_can_be_told_apart(self, stage):
        self.crowd(stage, ["Ada", "Bo", "Chris", "", "Eve", "", "Grace", "Hans"])
        chips = stage.page.evaluate(
            """() => [...document.querySelectorAll('#tested .rb-chip')].map(chip => {
                const name = chip.querySelector('.rb-chip-name')
                return [chip.innerText.split('\\n').join(' '), name.scrollWidth <= name.clientWidth + 1]
            })"""
        )
        assert [text for text, _ in chips] == ["1 Ada", "2 Bo", "3 Chris", "4", "5 Eve", "6", "7 Grace", "8 Hans"]
        assert all(whole for _, whole in chips), "a name is cut"

    @pytest.mark.parametrize("width", [430, 300, 190])
    def test_nothing_leaves_the_node(self, stage, width):
        self.crowd(stage, ["Ada Lovelace", "Bo", "", "", "", "", "", "Hans"])
        stage.click(100, 120)
        self.resize(stage, width)
        out = stage.page.evaluate(
            """() => {
                const room = document.querySelector('#tested').getBoundingClientRect()
                return [...document.querySelectorAll('#tested :is(button, input, select, .rb-people, .rb-status)')]
                    .filter(e => !e.closest('.rb-stage'))
                    .filter(e => {
                        const { width, left, right, bottom } = e.getBoundingClientRect()
                        const aside = right > room.right + 1 || left < room.left - 1
                        return width && (aside || bottom > room.bottom + 1)
                    })
                    .map(e => e.outerHTML)
            }"""
        )
        assert out == []

    @pytest.mark.parametrize("width", [430, 340, 250])
    def test_the_toolbar_is_one_line(self, stage, width):
        self.resize(stage, width)
        height = stage.locate(".rb-bar").evaluate("bar => bar.offsetHeight")
        assert height <= 26

    def test_long_advice_is_shown_whole(self, stage):
        stage.page.evaluate(
            """text => { const { fetchApi } = app.api
                app.api.fetchApi = async (...given) => given[0] === '/realisid/faces'
                    ? new Response(JSON.stringify({ error: text }), { status: 422 }) : fetchApi.call(app.api, ...given)
                node.onExecuted({ realisid_background: [{ filename: 'x.png', subfolder: '', type: 'temp' }] })
            }""",
            LONG,
        )
        stage.locate("[data-action=photo]").click()
        stage.page.wait_for_function("document.querySelector('#tested .rb-status').textContent.startsWith('Try a')")
        status = stage.locate(".rb-status")
        assert status.inner_text() == LONG
        assert status.evaluate("e => e.scrollHeight <= e.clientHeight + 1 && e.scrollWidth <= e.clientWidth + 1")


class TestHover:
    def test_no_text_about_the_format_covers_the_stage(self, stage):
        stage.page.mouse.move(*stage.at(500, 400))
        stage.page.wait_for_timeout(900)
        shown = stage.page.get_by_text("JSON").all()
        assert not [text.inner_text() for text in shown if text.is_visible()]
        title = stage.locate(".rb-stage").evaluate("e => e.closest('[title]').title")
        assert title == ""


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
        stage.page.wait_for_timeout(300)
        stage.settle()
        assert stage.locate(".rb-label").all_inner_texts() == ["Guest"]
        assert "My boxes" in stage.says()
        assert stage.locate(".rb-stage").is_visible()
        stage.drag((500, 500), (700, 700))
        assert stage.text() == own
        stage.page.evaluate("() => node.disconnectInput(node.inputs.findIndex(input => input.name === 'boxes'))")
        stage.page.wait_for_timeout(100)
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
        stage.page.wait_for_timeout(400)
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
        stage.page.wait_for_timeout(600)
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


class TestLargeEditor:
    def test_is_the_nodes_own_and_goes_back(self, stage):
        stage.set(BOXES)
        small = stage.locate(".rb-stage").bounding_box()["width"]
        stage.locate("[data-action=enlarge]").click()
        stage.settle()
        assert stage.locate(".rb-stage").bounding_box()["width"] > 1.5 * small
        stage.drag((200, 200), (300, 200), key="Alt")
        stage.page.mouse.click(*stage.at(500, 100), button="right")
        assert stage.page.locator(".realisid-menu").is_visible()
        stage.press("Escape", "Escape", "Escape")
        stage.page.locator("dialog.realisid-dialog").wait_for(state="detached")
        stage.settle()
        assert stage.locate(".rb-stage").bounding_box()["width"] == pytest.approx(small, abs=1)
        assert stage.boxes()[0]["x"] == pytest.approx(0.2, abs=0.01)


class TestRuns:
    """Real runs of small graphs on the server."""

    ADD = """([type, values]) => {
        const made = LiteGraph.createNode(type)
        made.pos = [700, 60 + 120 * app.graph.nodes.length]
        app.graph.add(made)
        for (const [name, value] of Object.entries(values)) made.widgets.find(w => w.name === name).value = value
        return made.id
    }"""
    LINK = """([from, slot, to, name]) => {
        const target = app.graph.getNodeById(to)
        app.graph.getNodeById(from).connect(slot, target, target.inputs.findIndex(input => input.name === name))
    }"""
    RUN = """async () => {
        const done = new Promise(done => app.api.addEventListener('execution_success', done, { once: true }))
        await app.queuePrompt(0)
        await done
    }"""

    def add(self, stage, type, **values):
        return stage.page.evaluate(self.ADD, [type, values])

    def link(self, stage, source, slot, target, name):
        stage.page.evaluate(self.LINK, [source, slot, target, name])

    def run(self, stage):
        stage.page.evaluate(self.RUN)
        stage.page.wait_for_timeout(400)

    def test_a_connected_size_is_not_known_before_a_run_and_true_after_it(self, stage):
        node = stage.page.evaluate("node.id")
        side = 200 + next(NUMBERS)  # or the server answers from its cache
        picture = self.add(stage, "EmptyImage", width=side, height=2 * side)
        size = self.add(stage, "GetImageSize")
        shown = self.add(stage, "PreviewImage")
        self.link(stage, picture, 0, size, "image")
        self.link(stage, size, 0, node, "width")
        self.link(stage, size, 1, node, "height")
        self.link(stage, node, 2, shown, "images")
        stage.page.wait_for_timeout(200)
        unknown = stage.locate(".rb-unknown")
        assert unknown.is_visible()
        assert "known after a run" in unknown.inner_text()
        self.run(stage)
        unknown.wait_for(state="hidden")
        rect = stage.locate(".rb-stage").bounding_box()
        assert rect["width"] / rect["height"] == pytest.approx(0.5, rel=0.01)
        stage.page.evaluate(
            """async () => {
                const { id } = node
                await app.loadGraphData(JSON.parse(JSON.stringify(app.graph.serialize())))
                adopt(app.graph.getNodeById(id))
            }"""
        )
        stage.locate(".rb-stage").wait_for()
        assert not unknown.is_visible(), "a reload forgets it"
        stage.page.evaluate(
            """([id]) => {
                app.graph.getNodeById(id).widgets.find(w => w.name === 'width').value = 64
                app.api.dispatchEvent(new CustomEvent('graphChanged', { detail: {} }))
            }""",
            [picture],
        )
        assert unknown.is_visible(), "the picture that the size comes from is another one now"

    def test_a_number_that_stands_in_a_connected_node_is_known_at_once(self, stage):
        number = self.add(stage, "PrimitiveInt", value=400)
        self.link(stage, number, 0, stage.page.evaluate("node.id"), "width")
        stage.page.wait_for_timeout(200)
        assert not stage.locate(".rb-unknown").is_visible()
        rect = stage.locate(".rb-stage").bounding_box()
        assert rect["width"] / rect["height"] == pytest.approx(400 / 800, rel=0.01)

    def test_pictures_that_are_no_result_of_the_boxes_do_not_lie_behind_them(self, stage):
        node = stage.page.evaluate("node.id")
        picture = self.add(stage, "EmptyImage", width=1000, height=800)
        beside, ghost = (self.add(stage, "PreviewImage") for _ in range(2))
        self.link(stage, picture, 0, beside, "images")
        self.link(stage, node, 2, ghost, "images")
        self.run(stage)
        assert not stage.locate(".rb-backdrop").is_visible()
        assert stage.locate("[data-action=backdrop]").is_disabled()
