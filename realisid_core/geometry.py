"""Face boxes and the coordinates they are written in.

A face box is square in pixels and normalised to its frame, so it holds at any resolution: on the image, on the latent
(an eighth of it) and on every feature map of the UNet.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

LATENT_CELL = 8  # pixels
MAX_BOXES = 8
SQUARE_TOLERANCE = 0.02
LEAST_SIDE, LONGEST_SIDE = 16, 16384  # of a frame, in pixels
LARGEST_SIZE = 8  # of a box, in long edges of its frame
LONGEST_NAME = 200  # characters


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

    def seen_from(self, area: tuple[float, float, float, float], width: float, height: float) -> "FaceBox":
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


def checked_frame(width: object, height: object) -> None:
    """Raises ValueError where the sides of a picture are no whole numbers of pixels within what the nodes offer."""
    for name, side in (("width", width), ("height", height)):
        if isinstance(side, bool) or not isinstance(side, int) or not LEAST_SIDE <= side <= LONGEST_SIDE:
            raise ValueError(
                f"{name} is {side!r:.40}; expected a whole number of pixels from {LEAST_SIDE} to {LONGEST_SIDE}."
            )


def checked(boxes: Iterable[FaceBox], width: int, height: int) -> FaceBoxes:
    """Hold the rules every face box obeys: finite, positive, square in pixels, touching the frame, not many, not huge.

    Raises:
        ValueError: naming the box by its number, the value and the rule.
    """
    checked_frame(width, height)
    boxes = tuple(boxes)
    if len(boxes) > MAX_BOXES:
        raise ValueError(f"{len(boxes)} face boxes were given; at most {MAX_BOXES} people fit one picture.")
    for number, box in enumerate(boxes, 1):
        name = f"Face box {number}" + (f" ({box.name[:LONGEST_NAME]})" if box.name else "")
        if not all(math.isfinite(value) for value in (box.x, box.y, box.width, box.height)):
            raise ValueError(f"{name} has a value that is not a finite number: {box}.")
        if box.width <= 0 or box.height <= 0:
            raise ValueError(f"{name} has sides {box.width:g} × {box.height:g}; a side must be greater than zero.")
        if len(box.name) > LONGEST_NAME:
            raise ValueError(
                f"The name of face box {number} has {len(box.name)} characters; at most {LONGEST_NAME} are kept."
            )
        across, down = box.width * width, box.height * height
        if abs(across - down) > SQUARE_TOLERANCE * max(across, down) + 1:
            raise ValueError(
                f"{name} is {across:.1f} × {down:.1f} pixels in a {width}×{height} frame; a face box must be square. "
                'Give its side as "size" (a fraction of the long edge) and it always is.'
            )
        if box.x >= 1 or box.y >= 1 or box.x + box.width <= 0 or box.y + box.height <= 0:
            raise ValueError(f"{name} lies wholly outside the frame: x {box.x:g}, y {box.y:g}. Move it inside.")
        if relative_size(box, width, height) > LARGEST_SIZE:
            raise ValueError(
                f"{name} is {relative_size(box, width, height):g} times as large as the frame; at most {LARGEST_SIZE} "
                "times. Give sizes in fractions of the long edge, not in pixels."
            )
    return FaceBoxes(boxes, width, height)
