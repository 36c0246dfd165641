"""From a face box as it was drawn to the same box in what a row shows: the whole picture, an area of it, or a tile.

A regional prompt cuts its area out of the latent, and its mark (`RowCondition`) says which. Whoever else samples a part
of the picture, tilers above all, crops ControlNets' hints to that part. So this control's hint is a map of the frame,
each pixel holding its own place, from which any crop of it can be told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..geometry import LATENT_CELL, FaceBox
from ..persons import Person
from .rows import WHOLE_FRAME, Area

ASPECT_TOLERANCE = 0.05
MAP_TOLERANCE = 0.02  # of the frame: low precision and coarse resizing, but no other picture
EDGE = 1e-3  # of the frame

Size = tuple[int, int]
"""(height, width)."""

Part = tuple[float, float, float, float]
"""(y, x, height, width) in fractions of the frame; a rolled frame goes on past 1."""

ALL: Part = (0.0, 0.0, 1.0, 1.0)


@lru_cache(maxsize=8)
def frame_map(width: int, height: int) -> Tensor:
    """A hint in which each pixel holds its place in the frame: [1, 3, height, width], x, y and 0 in 0..1."""
    x = (torch.arange(width) + 0.5) / width
    y = (torch.arange(height) + 0.5) / height
    return torch.stack([x.expand(height, -1), y[:, None].expand(-1, width), torch.zeros(height, width)])[None]


def part_of_frame(cut: Tensor) -> Part | None:
    """The part of the frame that a piece of `frame_map` shows, [3, h, w]; None where it is no such piece.

    Pieces may be resized, rolled round the frame's edge, and of low precision.
    """
    if cut.ndim != 3 or cut.shape[0] < 2 or min(cut.shape[1:]) < 2:
        return None
    x = _span(cut[0, cut.shape[1] // 2])
    y = _span(cut[1, :, cut.shape[2] // 2])
    return None if x is None or y is None else (y[0], x[0], y[1] - y[0], x[1] - x[0])


def _span(places: Tensor) -> tuple[float, float] | None:
    """Where cells begin and end whose centres have these places; None where they do not follow one another."""
    values = np.unwrap(places.double().cpu().numpy(), period=1.0)
    if not np.isfinite(values).all():
        return None
    step, first = np.polyfit(cells := np.arange(len(values)), values, 1)
    if step <= 0 or np.abs(values - first - step * cells).max() > MAP_TOLERANCE:
        return None
    begin = first - step / 2
    begin -= np.floor(begin + EDGE)
    return float(begin), float(begin + step * len(values))


@dataclass(frozen=True)
class Frame:
    """The picture that the face boxes were drawn for.

    Attributes:
        width, height: in pixels.
        any_size: whether the whole picture may be sampled at another size.
    """

    width: int
    height: int
    any_size: bool = False

    @classmethod
    def of(cls, persons: Sequence[Person], any_size: bool) -> "Frame":
        """That of persons who are in one picture."""
        return cls(*persons[0].frame, any_size)

    def hint(self) -> Tensor:
        """Its `frame_map`."""
        return frame_map(self.width, self.height)

    def boxes_in(
        self,
        area: Area,
        latent: Size,
        whole: Size | None,
        hint: Tensor | None,
        tile: Tensor | None,
        persons: Sequence[Person],
    ) -> tuple[FaceBox, ...]:
        """Every person's face box in fractions of a row.

        Args:
            area: what a regional prompt's row was cut to.
            latent: (height, width) of the row in cells.
            whole: (height, width) in cells of the latent that is sampled, where somebody says.
            hint: this control's, [1, 3, h, w]; another piece of `frame_map` where somebody cropped it for the latent.
            tile: [3, h, w], the piece that somebody cropped for this row alone.

        Raises:
            ValueError: a latent of another size or aspect ratio than the boxes were drawn for; an area without a cell;
                a hint that is no piece of the frame.
        """
        if area != WHOLE_FRAME and 0 in area[2:]:
            raise ValueError(
                "A regional prompt's area has no cell in this picture. Make the area larger, or move it inside."
            )
        boxes = [person.box for person in persons]
        if hint is not None and (part := self._part_in(hint)) is not None:
            boxes = [_seen_from_part(box, part) for box in boxes]
            height, width = whole or (side // LATENT_CELL for side in hint.shape[-2:])
        elif tile is not None:
            height, width = whole or (self.height / LATENT_CELL, self.width / LATENT_CELL)
        else:
            height, width = self._whole_size(area, latent, whole)
        if area != WHOLE_FRAME:
            boxes = [box.seen_from(area, width, height) for box in boxes]
        if tile is not None:
            boxes = [_seen_from_part(box, _told(tile)) for box in boxes]
        return tuple(boxes)

    def _part_in(self, hint: Tensor) -> Part | None:
        """The part that `hint` was cropped to; None where it is as this frame made it."""
        if hint is self.hint():
            return None
        part = _told(hint[0])
        return None if (part, tuple(hint.shape[-2:])) == (ALL, (self.height, self.width)) else part

    def _whole_size(self, area: Area, latent: Size, whole: Size | None) -> tuple[float, float]:
        """(height, width) in cells of the picture, where nobody cropped a hint.

        Raises:
            ValueError: where it is not the frame, or may not be.
        """
        drawn = self.height / LATENT_CELL, self.width / LATENT_CELL
        if area == WHOLE_FRAME:
            whole = latent
        y, x, *sides = area
        outside = y + sides[0] >= drawn[0] + 1 or x + sides[1] >= drawn[1] + 1
        if whole is None and (outside or self.any_size):
            raise ValueError(
                f"There is a regional prompt, and the picture may be not of the {self.width}×{self.height} pixels that "
                "the face boxes were drawn for. Pass the model through Identity Guidance, which knows its size."
            )
        height, width = whole or drawn
        found = f"{width * LATENT_CELL:g}×{height * LATENT_CELL:g}"
        if abs(width / height / (drawn[1] / drawn[0]) - 1) > ASPECT_TOLERANCE:
            raise ValueError(
                f"The face boxes were drawn for {self.width}×{self.height} pixels, but the picture is {found}: they "
                "would not be square. Connect the width and height of the location boxes to the empty latent, or draw "
                "the boxes for that size. Of a part of a picture, only tilers that crop ControlNets say which it is."
            )
        if not self.any_size and max(abs(height - drawn[0]), abs(width - drawn[1])) >= 1:
            raise ValueError(
                f"The picture is {found} pixels, not of the {self.width}×{self.height} pixels that the face boxes were "
                "drawn for, so it could be a part of it. If it is the whole picture at another size, turn on any_size "
                "(with regional prompts, pass the model through Identity Guidance too). For a part of it, draw boxes "
                "for that part, or use a tiler that crops ControlNets."
            )
        return height, width


def _told(cut: Tensor) -> Part:
    """The part that `cut` shows, its edges where they are the frame's. Raises ValueError where it is no piece of it."""
    part = part_of_frame(cut)
    if part is None:
        raise ValueError(
            "Another node replaced the hint of a RealisID branch by a picture that is no piece of it, so nobody knows "
            "which part of the picture is sampled. Sample the whole picture, or use a tiler that only crops it."
        )
    return ALL if all(abs(a - b) < EDGE for a, b in zip(part, ALL, strict=True)) else part


def _seen_from_part(box: FaceBox, part: Part) -> FaceBox:
    """The box in fractions of a part of the frame; of a rolled frame, where it shows more of the box."""
    y, x, height, width = part
    y, x = y - _turns(box.y, box.height, y, height), x - _turns(box.x, box.width, x, width)
    return box.seen_from((y, x, height, width), 1, 1)


def _turns(begin: float, size: float, start: float, length: float) -> int:
    """How many frames further on a rolled part shows most of a box."""
    if start + length <= 1 + EDGE:
        return 0
    shown = [min(begin + turn + size, start + length) - max(begin + turn, start) for turn in (0, 1)]
    return int(shown[1] > shown[0])
