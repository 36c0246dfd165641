"""From a face box as it was drawn to the same box in what a row shows."""

from collections.abc import Sequence

from ..geometry import LATENT_CELL, FaceBox
from ..persons import Person
from .rows import WHOLE_FRAME, Area

ASPECT_TOLERANCE = 0.05


class Frame:
    """The picture that a run samples.

    Attributes:
        size: (height, width) in latent cells of the last row that saw all of it; None before.
    """

    def __init__(self) -> None:
        self.size: tuple[int, int] | None = None

    def boxes_in(
        self, area: Area, latent: tuple[int, int], whole: tuple[int, int] | None, persons: Sequence[Person]
    ) -> tuple[FaceBox, ...]:
        """Every person's face box in fractions of a row.

        Args:
            area: the part of the picture that the row shows.
            latent: (height, width) of the row in cells.
            whole: (height, width) of the picture in cells, where somebody says.

        Raises:
            ValueError: boxes of another aspect ratio; an area of a picture whose size is not known.
        """
        if area == WHOLE_FRAME:
            whole = self.size = latent
        return tuple(self._box_in(area, whole, person) for person in persons)

    def _box_in(self, area: Area, whole: tuple[int, int] | None, person: Person) -> FaceBox:
        drawn = [side / LATENT_CELL for side in person.frame]
        height, width = whole or drawn[::-1]
        if abs(width / height / (drawn[0] / drawn[1]) - 1) > ASPECT_TOLERANCE:
            raise ValueError(
                f"The face boxes were drawn for {person.frame[0]}×{person.frame[1]} pixels, but the picture is "
                f"{width * LATENT_CELL}×{height * LATENT_CELL}: they would not be square. Connect the width and height "
                "of the location boxes to the empty latent, or draw the boxes for that size."
            )
        if area == WHOLE_FRAME:
            return person.box
        y, x, *sides = area
        other_size = self.size and any(abs(a - b) >= 1 for a, b in zip(self.size, (height, width), strict=True))
        if whole is None and (other_size or y + sides[0] >= height + 1 or x + sides[1] >= width + 1):
            raise ValueError(
                f"There is a regional prompt, and the picture is not of the {person.frame[0]}×{person.frame[1]} pixels "
                "that the face boxes were drawn for. Pass the model through Identity Guidance, which knows its size."
            )
        return person.box.seen_from(area, width, height)
