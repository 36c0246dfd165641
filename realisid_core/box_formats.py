"""Face boxes in other forms: the editor's text, and the host's BOUNDING_BOX and BOUNDING_BOXES."""

import json
import math

from .geometry import FaceBox, FaceBoxes, checked, from_pixels, relative_size, square

EXAMPLE = '[{"x": 0.3, "y": 0.2, "size": 0.25}]'
FORMAT_VERSION = 1


def parse_boxes(text: str, width: int, height: int) -> FaceBoxes:
    """Face boxes from the JSON text that the editor writes and that headless users write by hand (docs/boxes.md).

    `{"version": 1, "boxes": [{"x": 0.3, "y": 0.2, "size": 0.25, "name": "Ada"}]}` or the bare list; `x`, `y` in
    fractions of width and height, `size` the relative size. `width` and `height` may stand in place of `size`.

    Raises:
        ValueError: naming the box and the rule that it breaks.
    """
    try:
        value = json.loads(text) if text.strip() else []
    except json.JSONDecodeError as error:
        raise ValueError(f"The boxes are not JSON: {error}. Expected a list such as {EXAMPLE}.") from error
    if isinstance(value, dict):
        version = value.get("version", FORMAT_VERSION)
        if version != FORMAT_VERSION:
            raise ValueError(f"The boxes have format version {version!r}; this pack reads version {FORMAT_VERSION}.")
        value = value.get("boxes")
    if not isinstance(value, list):
        raise ValueError(f"The boxes are {type(value).__name__}; expected a list such as {EXAMPLE}.")
    return checked((_box(number, entry, width, height) for number, entry in enumerate(value, 1)), width, height)


def _box(number: int, entry: object, width: int, height: int) -> FaceBox:
    if not isinstance(entry, dict):
        raise ValueError(f"Face box {number} is {entry!r}; expected an object such as {EXAMPLE[1:-1]}.")
    name = entry.get("name", "")
    if not isinstance(name, str):
        raise ValueError(f'Face box {number} has the name {name!r}; "name" must be text.')
    sides = ("size",) if "size" in entry else ("width", "height")
    numbers = {}
    for key in ("x", "y", *sides):
        if key not in entry:
            raise ValueError(f'Face box {number} has no "{key}"; expected x, y and size.')
        if isinstance(entry[key], bool) or not isinstance(entry[key], (int, float)):
            raise ValueError(f'Face box {number} has "{key}": {entry[key]!r}; expected a number.')
        try:
            numbers[key] = float(entry[key])
        except OverflowError:  # an integer of hundreds of digits
            numbers[key] = math.inf
    if "size" in numbers:
        side = numbers.pop("size") * max(width, height)
        numbers |= {"width": side / width, "height": side / height}
    return FaceBox(**numbers, name=name)


def read_bounding_boxes(value: object) -> list[list[dict]]:
    """The host's BOUNDING_BOX or BOUNDING_BOXES as one list of boxes per image; a bare list or dict is one image's.

    Raises ValueError where it is not that form, naming the box.
    """
    entries = [value] if isinstance(value, dict) else value
    if not isinstance(entries, (list, tuple)):
        raise ValueError(f"The bboxes are {type(value).__name__}; expected a list of boxes, or one list per image.")
    images = entries if entries and isinstance(entries[0], (list, tuple)) else [entries]
    for number, box in enumerate((box for boxes in images for box in boxes), 1):
        try:
            _, _, across, down = (float(box[key]) for key in ("x", "y", "width", "height"))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"Bounding box {number} is {box!r}; expected x, y, width and height in pixels.") from error
        if not (across > 0 and down > 0):
            raise ValueError(f"Bounding box {number} is {across:g} × {down:g} pixels; both sides must be positive.")
    return [list(boxes) for boxes in images]


def from_bounding_boxes(value: object, width: int, height: int) -> FaceBoxes:
    """Face boxes from the host's BOUNDING_BOX or BOUNDING_BOXES, whose units are pixels of a `width` × `height` image.

    Takes the boxes of the first image; each is made square by its longer edge. Raises ValueError where a box lacks a
    key or breaks a rule.
    """
    boxes = []
    for entry in read_bounding_boxes(value)[0]:
        x, y, across, down = (float(entry[key]) for key in ("x", "y", "width", "height"))
        metadata = entry.get("metadata") or {}
        name = str(entry.get("label") or metadata.get("label") or metadata.get("desc") or "")
        boxes.append(from_pixels(*square(x, y, x + across, y + down), width, height, name))
    return checked(boxes, width, height)


def to_editor(face_boxes: FaceBoxes) -> str:
    """The boxes as the JSON text that `parse_boxes` reads and the editor holds."""
    entries = [
        {"x": box.x, "y": box.y, "size": relative_size(box, face_boxes.width, face_boxes.height), "name": box.name}
        for box in face_boxes.boxes
    ]
    return json.dumps({"version": FORMAT_VERSION, "boxes": entries})
