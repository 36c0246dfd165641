"""How the persons of a picture share the global branch."""

from collections.abc import Sequence
from enum import Enum

from torch import Tensor

from ..geometry import FaceBox
from ..resampling import own_regions


class Sharing(Enum):
    """Whose global features a place takes."""

    OWN_REGION = "own region"  # those of the person whose face is the nearest
    AVERAGE = "average"  # the mean over the persons (RealisID, Fig. 2c): everyone's hair is the mean of all identities

    def shares(self, boxes: Sequence[FaceBox], height: int, width: int) -> Tensor | Sequence[float]:
        """How much of each person's features counts: everywhere [N], or cell by cell [N, height, width]."""
        if self == Sharing.AVERAGE:
            return [1 / len(boxes)] * len(boxes)
        return own_regions(boxes, height, width)
