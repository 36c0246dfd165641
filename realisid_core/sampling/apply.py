"""Putting a branch on conditionings, as the host's own ControlNet nodes put theirs."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..branches.branch import Branch
from ..model import Conditioning
from ..persons import Person, refuse_foreign
from .control import BranchControl
from .rows import IdentityMode, with_identity


@dataclass(frozen=True)
class Settings:
    """How a branch is applied.

    Attributes:
        strength: weight of the branch for everyone.
        percent_range: fractions of the noise schedule where it begins and ends.
        reuse: compute the features at every `reuse`-th evaluation of the model and use them again in between, which
            is cheaper and less exact.
    """

    strength: float = 1.0
    percent_range: tuple[float, float] = (0.0, 1.0)
    reuse: int = 1

    @property
    def act(self) -> bool:
        """Whether anything would be done with them."""
        start, end = self.percent_range
        return self.strength != 0 and 0 <= start < end


DEFAULT = Settings()


def apply_branch(
    branch: Branch,
    positive: Conditioning,
    negative: Conditioning,
    persons: Sequence[Person],
    settings: Settings = DEFAULT,
) -> tuple[Conditioning, Conditioning]:
    """Copies of `positive` and `negative` with a branch: the positive is given the identity, the negative the null one.

    Both share one control, so that the host batches their rows. Where nothing would act (strength 0, an empty range,
    nobody with a strength), both come back as they were, and sampling is bit for bit what it is without.

    Raises:
        ValueError: persons embedded for another model.
    """
    refuse_foreign(persons, branch.realisid)
    if not settings.act or not branch.passes(persons):
        return positive, negative
    controls: dict[object, BranchControl] = {}

    def control_after(previous) -> BranchControl:
        if previous not in controls:
            new = BranchControl(branch, persons, settings.reuse)
            new.set_cond_hint(None, settings.strength, settings.percent_range)
            controls[previous] = new.set_previous_controlnet(previous)
        return controls[previous]

    return tuple(
        [
            [
                tokens,
                {
                    **with_identity(options, identity),
                    "control": control_after(options.get("control")),
                    "control_apply_to_uncond": False,
                },
            ]
            for tokens, options in conditioning
        ]
        for conditioning, identity in ((positive, IdentityMode.GIVEN), (negative, IdentityMode.NULL))
    )
