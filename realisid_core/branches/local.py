"""The local branch: each face enlarged, its features relocated (RealisID, Eq. 4, 5), or in place (Eq. 3)."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from comfy.controlnet import ControlNet
from einops import rearrange
from torch import Tensor

from ..conditions.contours import pose_expression_image
from ..geometry import FaceBox
from ..model import RealisIDModel
from ..persons import Person
from .branch import Branch
from .views import EnlargedFace, View, WholeLatent


def local_view(crop: bool, local_size: int) -> View:
    """What the local branch sees; without `crop` it is the ablation, which sees the whole latent."""
    return EnlargedFace(local_size) if crop else WholeLatent()


@dataclass(frozen=True)
class PoseHint:
    """How the pose-expression image `c_pe` is drawn for the local branch.

    Attributes:
        view: the branch's.
        outline: whether the face's outline is drawn.
    """

    view: View
    outline: bool

    def draw(self, face: dict, box: FaceBox, height: int, width: int, detail: int) -> Tensor:
        """[1, 3, h, w] in 0..1.

        Args:
            face: of the host's FACE_LANDMARKS form.
            box: where the face is in what is shown, which has `height` and `width` pixels.
            detail: pixels to draw it with before it is shrunk into its box, where it is.
        """

        def of_size(size: int) -> Tensor:
            return rearrange(pose_expression_image(face, size, outline=self.outline), "h w c -> 1 c h w")

        return self.view.face_image(of_size, box, height, width, detail)


class LocalBranch(Branch):
    """Likeness, pose and expression of each face; the injections are summed over persons."""

    name = "local"
    hint_channels = 3

    def __init__(
        self, realisid: RealisIDModel, control: ControlNet, y_mode: str, crop: bool, local_size: int, outline: bool
    ):
        super().__init__(realisid, control, local_view(crop, local_size), y_mode)
        self.pose_hint = PoseHint(self.view, outline)

    def hint(self, persons: Sequence[Person], boxes: Sequence[FaceBox], height: int, width: int) -> Tensor:
        (person,), (box,) = persons, boxes
        assert person.landmarks is not None  # of a person with an ID embedding
        return self.pose_hint.draw(person.landmarks, box, height, width, detail=max(height, width))

    def hint_key(self, boxes: Sequence[FaceBox], height: int, width: int) -> Hashable:
        (box,) = boxes
        return self.view.face_image_key(box, height, width)

    def reaches(self, boxes: Sequence[FaceBox]) -> bool:
        return any(box.x < 1 and box.y < 1 and box.x + box.width > 0 and box.y + box.height > 0 for box in boxes)

    def options(self) -> tuple:
        return *super().options(), self.pose_hint

    def shares(self, boxes: Sequence[FaceBox], height: int, width: int) -> Tensor | Sequence[float]:
        return [1.0] * len(boxes)
