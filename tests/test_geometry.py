"""Face boxes: the JSON that people write, the host's boxes, and the rules."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realisid_core.box_formats import from_bounding_boxes, parse_boxes, to_editor
from realisid_core.geometry import FaceBox, relative_size, square


def written(**entry) -> str:
    return json.dumps([{"x": 0.3, "y": 0.2, "size": 0.25, **entry}])


def test_a_box_is_square_in_pixels_and_sized_by_the_long_edge():
    boxes = parse_boxes(written(name="Ada"), 1216, 832)
    x0, y0, x1, y1 = boxes.boxes[0].scaled(1216, 832)
    assert (x1 - x0, y1 - y0) == pytest.approx((304, 304))
    assert (x0, y0) == pytest.approx((364.8, 166.4))
    assert relative_size(boxes.boxes[0], 1216, 832) == pytest.approx(0.25)
    assert boxes.boxes[0].name == "Ada"


@given(st.floats(-0.2, 0.9), st.floats(-0.2, 0.9), st.floats(0.21, 1.5), st.integers(64, 4096), st.integers(64, 4096))
def test_boxes_survive_the_editor_and_back(x, y, size, width, height):
    boxes = parse_boxes(json.dumps([{"x": x, "y": y, "size": size}]), width, height)
    again = parse_boxes(to_editor(boxes), width, height).boxes[0].scaled(width, height)
    assert again == pytest.approx(boxes.boxes[0].scaled(width, height), abs=1e-6 * max(width, height))


def test_the_hosts_forms_are_all_taken():
    box = {"x": 10, "y": 20, "width": 40, "height": 60}
    expected = FaceBox(0.0, 0.2, 0.6, 0.6)
    for value in (box, [box], [[box], []], [{**box, "metadata": {}}]):
        (found,) = from_bounding_boxes(value, 100, 100).boxes
        assert found.scaled(1, 1) == pytest.approx(expected.scaled(1, 1))
    for named in ({**box, "label": "Ada"}, {**box, "metadata": {"desc": "Ada"}}):
        assert from_bounding_boxes(named, 100, 100).boxes[0].name == "Ada"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("face", "are str; expected a list"),
        ([3], "Bounding box 1 is 3"),
        ([[{"x": 0, "y": 0, "width": 9, "height": "wide"}]], "expected x, y, width and height"),
        ({"x": 0, "y": 0, "width": 9, "height": 0}, "9 × 0 pixels; both sides must be positive"),
        ({"x": 900, "y": 0, "width": 9, "height": 9}, "wholly outside"),
    ],
)
def test_a_box_of_the_host_that_cannot_be_meant_is_refused(value, says):
    with pytest.raises(ValueError, match=says):
        from_bounding_boxes(value, 100, 100)


def test_a_square_keeps_its_centre_and_the_longer_edge():
    assert square(10, 20, 30, 80) == (-10, 20, 50, 80)
    assert square(10, 20, 30, 80, margin=0.5) == (-25, 5, 65, 95)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{x: 1}", "not JSON"),
        ('"box"', "are str; expected a list"),
        ("[3]", "Face box 1 is 3"),
        ('[{"y": 0, "size": 0.1}]', 'Face box 1 has no "x"'),
        (written(x="left"), "has \"x\": 'left'"),
        (written(x=True), '"x": True'),
        (written(x=float("nan")), "not a finite number"),
        (written(size=float("inf")), "not a finite number"),
        (written(size=0), "greater than zero"),
        (written(size=-0.1), "greater than zero"),
        ('[{"x": 0, "y": 0, "width": 0.2, "height": 0.4}]', "must be square"),
        (written(x=1.2), "wholly outside"),
        (written(y=-0.5), "wholly outside"),
        (json.dumps(json.loads(written()) * 9), "9 face boxes were given; at most 8"),
        ('{"version": 2, "boxes": []}', "version 2"),
        (written(name=3), "must be text"),
    ],
)
def test_a_box_that_breaks_a_rule_is_named_with_the_rule(text, says):
    with pytest.raises(ValueError, match="(?s)" + says):
        parse_boxes(text, 512, 512)


def test_the_second_box_is_called_by_its_number_and_name():
    text = json.dumps([{"x": 0, "y": 0, "size": 0.2}, {"x": 0, "y": 0, "size": -1, "name": "Ada"}])
    with pytest.raises(ValueError, match=r"Face box 2 \(Ada\)"):
        parse_boxes(text, 512, 512)
