"""What keys and the clipboard do, in the editor and on the page round it."""

import pytest
from stage import BOXES, close, entries


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
        stage.frames(8)  # the graph's own undo, were it to answer too, would by now have
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
        stage.frames()
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
