"""Putting a branch on conditionings, as the host's own ControlNet nodes put theirs."""

from collections.abc import Sequence
from dataclasses import replace

from comfy.cldm.cldm import ControlNet as ControlNetworkModule
from comfy.controlnet import ControlNet

from ..model import RealisIDModel
from ..persons import Person, refuse_foreign
from .control import EXACT, BranchControl, Savings, Sharing
from .rows import IdentityMode, with_identity

Conditioning = list[list]


def apply_branch(
    branch: str,
    positive: Conditioning,
    negative: Conditioning,
    realisid: RealisIDModel,
    persons: Sequence[Person],
    strength: float = 1.0,
    percent_range: tuple[float, float] = (0.0, 1.0),
    control_net: ControlNet | None = None,
    savings: Savings = EXACT,
    sharing: Sharing = Sharing.OWN_REGION,
) -> tuple[Conditioning, Conditioning]:
    """Copies of `positive` and `negative` with a branch: the positive is given the identity, the negative the null one.

    Both share one control, so that the host batches their rows. Where nothing would act (strength 0, an empty range,
    nobody with a strength), both come back as they were, and sampling is bit for bit what it is without.

    Raises:
        ValueError: a branch the checkpoint lacks, persons embedded for another model, a ControlNet of another kind.
    """
    control, config = _network(branch, realisid, control_net)
    refuse_foreign(persons, realisid)
    if strength == 0 or not 0 <= percent_range[0] < percent_range[1]:
        return positive, negative
    null_tokens = realisid.null_identity()
    controls: dict[object, BranchControl] = {}

    def control_after(previous) -> BranchControl:
        if previous not in controls:
            new = BranchControl(branch, control, persons, null_tokens, config, savings, sharing)
            new.set_cond_hint(None, strength, percent_range)
            controls[previous] = new.set_previous_controlnet(previous)
        return controls[previous]

    if not control_after(None).acting:
        return positive, negative
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


def _network(branch: str, realisid: RealisIDModel, control_net: ControlNet | None):
    """The host's ControlNet to run, and the config it runs under."""
    if control_net is not None:
        if not isinstance(getattr(control_net, "control_model", None), ControlNetworkModule):
            raise ValueError(
                f"control_net is a {type(control_net).__name__}; expected an SDXL ControlNet with its own weights. "
                "Disconnect it to use the RealisID model's own branch."
            )
        return control_net, replace(realisid.config, y_mode="prompt")
    control = realisid.parts.get(branch)
    if not isinstance(control, ControlNet):
        raise ValueError(
            f"The RealisID model {realisid.name} has no {branch} branch. Load a complete checkpoint, "
            "or connect a ControlNet to use in its place."
        )
    return control, realisid.config
