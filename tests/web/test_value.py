"""The boxes' text, on its way to the server, to files and through undo."""

import pytest


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
