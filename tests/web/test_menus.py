"""The context menu and the large editor."""

import pytest
from stage import BOXES


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
