"""Face boxes in other forms: the editor's text, and the host's BOUNDING_BOX and BOUNDING_BOXES."""

import json
import math
import reprlib
from collections.abc import Iterator
from itertools import count
from typing import Any

from .geometry import LONGEST_NAME, MAX_BOXES, FaceBox, FaceBoxes, checked, from_pixels, relative_size, square

EXAMPLE = '[{"x": 0.3, "y": 0.2, "size": 0.25}]'
FORMAT_VERSION = 1
LONGEST_TEXT = 100_000  # characters; eight boxes with the longest names take a fifth of it
MOST_BOUNDING_BOXES = 200  # of one picture
LEAST_PIXELS = 2  # a bounding box without a side of so many is one in fractions

LONGEST_SHOWN = 120  # characters of a value in a message


def _shown(value: object) -> str:
    """A value for a message, cut short however long or deep it is."""
    return f"{reprlib.repr(value):.{LONGEST_SHOWN}}"


def parse_boxes(text: object, width: int, height: int) -> FaceBoxes:
    """Face boxes from the JSON text that the editor writes and that headless users write by hand (docs/boxes.md).

    `{"version": 1, "boxes": [{"x": 0.3, "y": 0.2, "size": 0.25, "name": "Ada"}]}` or the bare list; `x`, `y` in
    fractions of width and height, `size` the relative size. `width` and `height` may stand in place of `size`. The
    parsed value is taken in place of its text.

    Raises:
        ValueError: naming the box and the rule that it breaks.
    """
    return checked((_face_box(entry, width, height) for entry in read_entries(text)), width, height)


def read_entries(text: object) -> list[dict]:
    """What `parse_boxes` can tell of the boxes without knowing the picture's size: entries of x, y, name and sides.

    Raises ValueError as `parse_boxes` does.
    """
    value = _json(text) if isinstance(text, str) else text
    if isinstance(value, dict):
        version = value.get("version", FORMAT_VERSION)
        if version != FORMAT_VERSION:
            raise ValueError(
                f"The boxes have format version {_shown(version)}; this pack reads version {FORMAT_VERSION}."
            )
        value = value.get("boxes")
    if not isinstance(value, list):
        raise ValueError(f"The boxes are {type(value).__name__}; expected a list such as {EXAMPLE}.")
    if len(value) > MAX_BOXES:
        raise ValueError(f"{len(value)} face boxes were given; at most {MAX_BOXES} people fit one picture.")
    return [_entry(number, entry) for number, entry in enumerate(value, 1)]


def _json(text: str) -> object:
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"The boxes are a text of {len(text):,} characters; at most {LONGEST_TEXT:,} are read.")
    try:
        return json.loads(text) if text.strip() else []
    except json.JSONDecodeError as error:
        raise ValueError(f"The boxes are not JSON: {error}. Expected a list such as {EXAMPLE}.") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; thousands of brackets
        raise ValueError(
            f"The boxes are too long or too deep to be read. Expected a list such as {EXAMPLE}."
        ) from error


def _entry(number: int, entry: object) -> dict:
    if not isinstance(entry, dict):
        raise ValueError(f"Face box {number} is {_shown(entry)}; expected an object such as {EXAMPLE[1:-1]}.")
    name = entry.get("name", "")
    if not isinstance(name, str):
        raise ValueError(f'Face box {number} has the name {_shown(name)}; "name" must be text.')
    sides = ("size",) if "size" in entry else ("width", "height")
    values: dict[str, Any] = {"name": name}
    for key in ("x", "y", *sides):
        if key not in entry:
            raise ValueError(f'Face box {number} has no "{key}"; expected x, y and size.')
        if isinstance(entry[key], bool) or not isinstance(entry[key], (int, float)):
            raise ValueError(f'Face box {number} has "{key}": {_shown(entry[key])}; expected a number.')
        try:
            values[key] = float(entry[key])
        except OverflowError:  # an integer of hundreds of digits
            values[key] = math.inf
        which = f"Face box {number}" + (f" ({name[:LONGEST_NAME]})" if name else "")
        if not math.isfinite(values[key]):
            raise ValueError(f'{which} has a value that is not a finite number: "{key}".')
        if key in sides and values[key] <= 0:
            raise ValueError(f'{which} has "{key}": {values[key]:g}; a side must be greater than zero.')
    return values


def _face_box(entry: dict, width: int, height: int) -> FaceBox:
    entry = dict(entry)
    if "size" in entry:
        side = entry.pop("size") * max(width, height)
        entry |= {"width": side / width, "height": side / height}
    return FaceBox(**entry)


def to_editor(face_boxes: FaceBoxes) -> str:
    """The boxes as the JSON text that `parse_boxes` reads and the editor holds."""
    entries = [
        {"x": box.x, "y": box.y, "size": relative_size(box, face_boxes.width, face_boxes.height), "name": box.name}
        for box in face_boxes.boxes
    ]
    return json.dumps({"version": FORMAT_VERSION, "boxes": entries})


def read_bounding_boxes(value: object, name: str = "bboxes") -> list[list[dict]]:
    """The host's BOUNDING_BOX or BOUNDING_BOXES as one list of boxes per image; a bare list or dict is one image's.

    Args:
        name: of the input, for messages.

    Returns:
        Boxes of float x, y, width, height (pixels) and score, and text label; what else they hold is left out.

    Raises:
        ValueError: where it is not that form, naming the box.
    """
    entries = [value] if isinstance(value, dict) else value
    if not isinstance(entries, (list, tuple)):
        raise ValueError(f"{name} is {type(value).__name__}; expected a list of boxes, or one list per image.")
    nested = any(isinstance(entry, (list, tuple)) for entry in entries)
    images = entries if nested else [entries]
    if not all(isinstance(boxes, (list, tuple)) for boxes in images):
        raise ValueError(f"{name} mixes boxes with lists of boxes; expected one list per image, or boxes alone.")
    most = max((len(boxes) for boxes in images), default=0)
    if most > MOST_BOUNDING_BOXES:
        raise ValueError(f"{name} has {most} boxes for one picture; at most {MOST_BOUNDING_BOXES} are taken.")
    numbers = count(1)
    return [[_bounding_box(next(numbers), box, name) for box in boxes] for boxes in images]


def _bounding_box(number: int, box: Any, name: str) -> dict:
    which = f"Bounding box {number} of {name}"
    try:
        values = {key: _number(box[key]) for key in ("x", "y", "width", "height")}
        score = box.get("score")
        values["score"] = 1.0 if score is None else _number(score)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{which} is {_shown(box)}; expected x, y, width and height in pixels, and a score or none."
        ) from error
    across, down = values["width"], values["height"]
    if not all(map(math.isfinite, values.values())):
        raise ValueError(f"{which} has a value that is not a finite number: {_shown(box)}.")
    if not (across > 0 and down > 0):
        raise ValueError(f"{which} is {across:g} × {down:g} pixels; both sides must be positive.")
    if max(across, down) < LEAST_PIXELS:
        raise ValueError(
            f"{which} is {across:g} × {down:g} pixels, less than {LEAST_PIXELS}. Boxes are in pixels here: multiply "
            "fractions by the picture's width and height."
        )
    return values | {"label": next(_labels(box), "")[:LONGEST_NAME]}


def _number(value: Any) -> float:
    if isinstance(value, (bool, str, bytes)):
        raise TypeError
    return float(value)


def _labels(box: dict) -> Iterator[str]:
    metadata = box.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    for label in (box.get("label"), metadata.get("label"), metadata.get("desc")):
        if label and isinstance(label, (str, int, float)):
            yield str(label)


def from_bounding_boxes(value: object, width: int, height: int, name: str = "bboxes") -> FaceBoxes:
    """Face boxes from the host's BOUNDING_BOX or BOUNDING_BOXES, whose units are pixels of a `width` × `height` image.

    Takes the boxes of the first image; each is made square by its longer edge. Raises ValueError where a box lacks a
    key or breaks a rule.
    """
    boxes = []
    for box in next(iter(read_bounding_boxes(value, name)), []):
        x, y, across, down = (box[key] for key in ("x", "y", "width", "height"))
        boxes.append(from_pixels(*square(x, y, x + across, y + down), width, height, box["label"]))
    return checked(boxes, width, height)
