"""Face boxes and the coordinates they are written in.

A face box is square in pixels and normalised to its frame, so it holds at any resolution: on the image, on the latent
(an eighth of it) and on every feature map of the UNet.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

LATENT_CELL = 8  # pixels
MAX_BOXES = 8
EXAMPLE = '[{"x": 0.3, "y": 0.2, "size": 0.25}]'
SQUARE_TOLERANCE = 0.02
FORMAT_VERSION = 1


@dataclass(frozen=True)
class FaceBox:
    """A square face box in fractions of its frame; it may reach past the frame's edges.

    Attributes:
        x, y: top-left corner, in fractions of the frame's width and height.
        width, height: sides, in the same fractions (equal in pixels, not in fractions, unless the frame is square).
    """

    x: float
    y: float
    width: float
    height: float
    name: str = ""

    def scaled(self, width: float, height: float) -> tuple[float, float, float, float]:
        """`(x0, y0, x1, y1)` on a grid of `width` × `height` cells: pixels, latent cells or feature cells."""
        return self.x * width, self.y * height, (self.x + self.width) * width, (self.y + self.height) * height

    def seen_from(self, area: tuple[int, int, int, int], width: float, height: float) -> "FaceBox":
        """The same box in fractions of `area` = `(y, x, height, width)`, a part of a frame of `width` × `height`."""
        y, x, area_height, area_width = area
        x0, y0, x1, y1 = self.scaled(width, height)
        return replace(
            self,
            x=(x0 - x) / area_width,
            y=(y0 - y) / area_height,
            width=(x1 - x0) / area_width,
            height=(y1 - y0) / area_height,
        )


@dataclass(frozen=True)
class FaceBoxes:
    """Face boxes and the frame, in pixels, that they were drawn in."""

    boxes: tuple[FaceBox, ...]
    width: int
    height: int


def square(x0: float, y0: float, x1: float, y1: float, margin: float = 0.0) -> tuple[float, float, float, float]:
    """The square round the same centre whose side is the longer edge, enlarged by `margin` of itself, in pixels."""
    side = max(x1 - x0, y1 - y0) * (1 + margin)
    x, y = (x0 + x1 - side) / 2, (y0 + y1 - side) / 2
    return x, y, x + side, y + side


def relative_size(box: FaceBox, width: int, height: int) -> float:
    """Long side of the face box over the long edge of the image, in pixels; below 1/6 the face is "small"."""
    return max(box.width * width, box.height * height) / max(width, height)


def from_pixels(x0: float, y0: float, x1: float, y1: float, width: int, height: int, name: str = "") -> FaceBox:
    """A face box from pixel corners in an image of `width` × `height`."""
    return FaceBox(x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height, name)


def scaled_about_centre(box: FaceBox, scale: float) -> FaceBox:
    """The box enlarged (or shrunk) by `scale` round its centre."""
    width, height = box.width * scale, box.height * scale
    return replace(
        box, x=box.x + (box.width - width) / 2, y=box.y + (box.height - height) / 2, width=width, height=height
    )


def checked(boxes: Iterable[FaceBox], width: int, height: int) -> FaceBoxes:
    """Hold the rules every face box obeys: finite, positive, square in pixels, touching the frame, not too many.

    Raises:
        ValueError: naming the box by its number, the value and the rule.
    """
    boxes = tuple(boxes)
    if width <= 0 or height <= 0:
        raise ValueError(f"The frame is {width}×{height} pixels; both sides must be positive.")
    if len(boxes) > MAX_BOXES:
        raise ValueError(f"{len(boxes)} face boxes were given; at most {MAX_BOXES} people fit one picture.")
    for number, box in enumerate(boxes, 1):
        name = f"Face box {number}" + (f" ({box.name})" if box.name else "")
        if not all(math.isfinite(value) for value in (box.x, box.y, box.width, box.height)):
            raise ValueError(f"{name} has a value that is not a finite number: {box}.")
        if box.width <= 0 or box.height <= 0:
            raise ValueError(f"{name} has sides {box.width:g} × {box.height:g}; a side must be greater than zero.")
        across, down = box.width * width, box.height * height
        if abs(across - down) > SQUARE_TOLERANCE * max(across, down) + 1:
            raise ValueError(
                f"{name} is {across:.1f} × {down:.1f} pixels in a {width}×{height} frame; a face box must be square. "
                'Give its side as "size" (a fraction of the long edge) and it always is.'
            )
        if box.x >= 1 or box.y >= 1 or box.x + box.width <= 0 or box.y + box.height <= 0:
            raise ValueError(f"{name} lies wholly outside the frame: x {box.x:g}, y {box.y:g}. Move it inside.")
    return FaceBoxes(boxes, width, height)


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
