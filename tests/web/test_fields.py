"""The editor's buttons and fields."""

import pytest
from stage import close


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
