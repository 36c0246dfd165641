"""The global branch: the whole latent, told where the faces are (RealisID, Eq. 6)."""

from collections.abc import Hashable, Sequence

from comfy.controlnet import ControlNet
from torch import Tensor

from ..attention.masked import masked_cross_attention
from ..checks import check_flag
from ..conditions.location_mask import location_mask
from ..geometry import FaceBox
from ..model import RealisIDModel
from ..persons import Person
from .branch import Branch
from .injection import Injection
from .sharing import Sharing
from .views import Inputs, WholeLatent


class GlobalBranch(Branch):
    """Where the faces go, and how bodies and background fit them.

    Args:
        sharing: whose features a place takes.
        one_pass: all persons in one pass, each region attending to its person's ID tokens (InstantFamily), instead of
            one pass a person. Cheaper, less exact.
    """

    name = "global"

    def __init__(
        self,
        realisid: RealisIDModel,
        control: ControlNet,
        y_mode: str,
        sharing: Sharing = Sharing.OWN_REGION,
        one_pass: bool = False,
    ):
        super().__init__(realisid, control, WholeLatent(), y_mode)
        check_flag("one_pass", one_pass)
        self.sharing = sharing
        self.one_pass = one_pass

    def passes(self, persons: Sequence[Person]) -> list[tuple[int, ...]]:
        alone = super().passes(persons)
        return [tuple(number for (number,) in alone)] if self.one_pass and alone else alone

    def one_run_for(self, boxes: Sequence[tuple[FaceBox, ...]]) -> bool:
        return len(set(boxes)) == 1 or max(map(len, boxes)) == 1  # a run has one mask

    def hint(self, persons: Sequence[Person], boxes: Sequence[FaceBox], height: int, width: int) -> Tensor:
        mask = location_mask(boxes, height, width).amax(0, keepdim=True)
        return mask.expand(-1, self.network.input_hint_block[0].weight.shape[1], -1, -1)

    def hint_key(self, boxes: Sequence[FaceBox], height: int, width: int) -> Hashable:
        return *boxes, height, width

    def features(self, inputs: Inputs, boxes: Sequence[FaceBox]) -> Injection:
        if len(boxes) == 1:
            return super().features(inputs, boxes)
        with masked_cross_attention(self.network, [boxes], self.null_tokens.shape[1], tuple(inputs.x.shape[-2:])):
            return super().features(inputs, boxes)

    def options(self) -> tuple:
        return *super().options(), self.sharing, self.one_pass

    def shares(self, boxes: Sequence[FaceBox], height: int, width: int) -> Tensor | Sequence[float]:
        return self.sharing.shares(boxes, height, width)
