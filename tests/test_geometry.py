"""Face boxes: the JSON that people write, the host's boxes, and the rules."""

import json
import time

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
        ("face", "bboxes is str; expected a list"),
        ([3], "Bounding box 1 of bboxes is 3"),
        ([[{"x": 0, "y": 0, "width": 9, "height": "wide"}]], "expected x, y, width and height"),
        ({"x": 0, "y": 0, "width": 9, "height": 0}, "9 × 0 pixels; both sides must be positive"),
        ({"x": 900, "y": 0, "width": 9, "height": 9}, "wholly outside"),
        ([[{"x": 0, "y": 0, "width": 9, "height": 9}], 5], "mixes boxes with lists"),
        ([[], {"x": 0, "y": 0, "width": 9, "height": 9}], "mixes boxes with lists"),
        ([None], "Bounding box 1 of bboxes is None"),
        ({"x": 0, "y": 0, "width": 9, "height": 9, "score": "high"}, "and a score or none"),
        ({"x": 0, "y": 0, "width": 9, "height": 9, "score": [1]}, "and a score or none"),
        ({"x": 0, "y": True, "width": 9, "height": 9}, "expected x, y, width and height"),
        ({"x": float("inf"), "y": 0, "width": 9, "height": 9}, "not a finite number"),
        ({"x": 0, "y": 0, "width": float("nan"), "height": 9}, "not a finite number"),
        ({"x": 0, "y": 0, "width": 10**400, "height": 9}, "expected x, y, width and height"),
        ({"x": 0.2, "y": 0.3, "width": 0.25, "height": 0.3}, "multiply fractions by the picture's width and height"),
        ({"x": 0, "y": 0, "width": 1, "height": 1}, "multiply fractions"),
        ([{"x": 0, "y": 0, "width": 9, "height": 9}] * 201, "201 boxes for one picture; at most 200"),
        ({"x": -1e5, "y": -1e5, "width": 1e6, "height": 1e6}, "times as large as the frame"),
    ],
)
def test_a_box_of_the_host_that_cannot_be_meant_is_refused(value, says):
    with pytest.raises(ValueError, match=says):
        from_bounding_boxes(value, 100, 100)


@pytest.mark.parametrize(
    "extra", [{"score": None}, {"metadata": 5}, {"metadata": None}, {"label": None}, {"label": []}]
)
def test_what_only_decorates_a_box_of_the_host_may_be_missing_or_strange(extra):
    (found,) = from_bounding_boxes({"x": 10, "y": 20, "width": 40, "height": 60, **extra}, 100, 100).boxes
    assert found.name == ""


def test_a_long_label_is_cut():
    box = {"x": 10, "y": 20, "width": 40, "height": 60, "label": "a" * 10_000}
    assert from_bounding_boxes(box, 100, 100).boxes[0].name == "a" * 200


def test_the_parsed_value_is_as_good_as_its_text():
    value = {"version": 1, "boxes": [{"x": 0.3, "y": 0.2, "size": 0.25, "name": "Ada"}]}
    assert parse_boxes(value, 512, 512) == parse_boxes(json.dumps(value), 512, 512)
    assert parse_boxes(value["boxes"], 512, 512) == parse_boxes(value, 512, 512)


@pytest.mark.parametrize("side", [0, -8, 15, 16385, 10**6, True, 512.0, "512", None, float("nan")])
def test_a_frame_that_no_node_offers_is_refused(side):
    with pytest.raises(ValueError, match="expected a whole number of pixels from 16 to 16384"):
        parse_boxes(written(), 512, side)


KEYS = st.sampled_from(["x", "y", "size", "width", "height", "name", "boxes", "version", "score", "metadata"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda value: st.lists(value) | st.dictionaries(KEYS, value)
)


@given(ANYTHING)
def test_whatever_is_given_is_read_or_refused_in_a_sentence(value):
    for read in (parse_boxes, from_bounding_boxes):
        try:
            assert all(box.width > 0 for box in read(value, 512, 512).boxes)
        except ValueError as error:
            assert len(str(error)) < 1000


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[" * 3000 + "]" * 3000, '[{"x": ' + "9" * 50_000 + "}]", " " * 200_000]
)
def test_long_and_deep_texts_are_refused_at_once(text):
    start = time.process_time()
    with pytest.raises(ValueError, match=r"too deep|too long|characters; at most|not JSON"):
        parse_boxes(text, 512, 512)
    assert time.process_time() - start < 0.2


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
