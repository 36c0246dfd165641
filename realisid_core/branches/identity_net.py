"""IdentityNet (InstantID): a ControlNet that sees the whole latent, five points of each face, and the identity."""

from collections.abc import Sequence

from einops import rearrange
from torch import Tensor

from ..conditions.five_points import five_points_image, points_in_box
from ..geometry import FaceBox
from ..persons import Person
from .global_ import GlobalBranch


class IdentityNet(GlobalBranch):
    """As the global branch, but that the hint has eyes, nose and mouth, as the donor of the pose has them."""

    hint_channels = 3

    def hint(self, persons: Sequence[Person], boxes: Sequence[FaceBox], height: int, width: int) -> Tensor:
        points = [
            points_in_box(person.landmarks, box, width, height)
            for person, box in zip(persons, boxes, strict=True)
            if person.landmarks is not None
        ]
        return rearrange(five_points_image(points, height, width), "h w c -> 1 c h w")
