"""Real runs of small graphs on the server."""

import itertools
import time

import pytest

NUMBERS = itertools.count(time.monotonic_ns() % 500)


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
        const { noteRun } = await import('/extensions/comfyui-realisid/boxes_runs.js')
        const done = new Promise(done => app.api.addEventListener('execution_success', done, { once: true }))
        await app.queuePrompt(0)
        await noteRun((await done).detail.prompt_id)
        app.api.dispatchEvent(new CustomEvent('graphChanged', { detail: {} }))
    }"""

    def add(self, stage, type, **values):
        return stage.page.evaluate(self.ADD, [type, values])

    def link(self, stage, source, slot, target, name):
        stage.page.evaluate(self.LINK, [source, slot, target, name])

    def run(self, stage):
        stage.page.evaluate(self.RUN)
        stage.frames()

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
        stage.frames()
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
        stage.frames()
        assert not stage.locate(".rb-unknown").is_visible()
        rect = stage.locate(".rb-stage").bounding_box()
        assert rect["width"] / rect["height"] == pytest.approx(400 / 800, rel=0.01)

    def test_people_of_a_run_are_seen_in_their_boxes(self, stage):
        name = f"Bo {time.time_ns() % 10**6}"  # nobody whom the server has in its cache
        stage.set([(100, 100, 200, "Ada"), (600, 400, 200, name), (400, 100, 150)])
        node = stage.page.evaluate("node.id")
        photo = self.add(stage, "RealisID_ExamplePortrait", portrait="astronaut")
        small = self.add(stage, "RealisID_LoadMiniature")
        person = self.add(stage, "RealisID_PersonFromPhoto", box=name)
        shown = self.add(stage, "PreviewImage")
        self.link(stage, photo, 0, person, "photo")
        self.link(stage, node, 0, person, "boxes")
        self.link(stage, small, 4, person, "realisid")
        self.link(stage, person, 1, shown, "images")
        self.run(stage)
        seen = stage.page.locator("#tested .rb-box", has=stage.page.locator(".rb-face:visible"))
        seen.wait_for()
        assert seen.locator(".rb-label").inner_text() == name
        assert seen.locator(".rb-face").evaluate("face => face.decode().then(() => face.naturalWidth)") > 0
        assert len(seen.locator(".rb-pose path").get_attribute("d")) > 100
        stage.click(700, 500)
        stage.locate("[data-action=earlier]").click()
        assert seen.locator(".rb-label").inner_text() == name, "the face stays with the name"
        stage.locate("[data-action=undo]").click()
        self.run(stage)  # the server has everything and tells nothing of the person
        assert seen.count() == 1
        persons = stage.page.evaluate(
            """async () => {
                const history = await (await app.api.fetchApi('/history?max_items=1')).json()
                const anew = await import('/extensions/comfyui-realisid/boxes_runs.js?anew' + node.id)
                await anew.noteRun(Object.keys(history)[0])
                return anew.personsOf(node).map(person => [person.box, Boolean(person.face)])
            }"""
        )
        assert persons == [[name, True]], "a page that is loaded anew knows nobody"

    def test_pictures_that_are_no_result_of_the_boxes_do_not_lie_behind_them(self, stage):
        node = stage.page.evaluate("node.id")
        picture = self.add(stage, "EmptyImage", width=1000, height=800)
        beside, ghost = (self.add(stage, "PreviewImage") for _ in range(2))
        self.link(stage, picture, 0, beside, "images")
        self.link(stage, node, 2, ghost, "images")
        self.run(stage)
        assert not stage.locate(".rb-backdrop").is_visible()
        assert stage.locate("[data-action=backdrop]").is_disabled()
