"""InstantFamily (2024): everybody's face tokens beside the text, each read by their own region; RealisID's branches.

The UNet reads the stack through trained copies of its own layers, so that it stays as it is. The global branch shows
everyone in one pass, the local branch each face in its own.
"""

from collections.abc import Sequence

from comfy.controlnet import ControlNet
from comfy.model_patcher import ModelPatcher

from ..attention.decoupled import STACKED_ADAPTER
from ..branches.global_ import GlobalBranch
from ..branches.sharing import Sharing
from ..config import InstantFamilyConfig
from ..identity.stack import STACK_PROJECTOR, StackEncoder
from ..model import Conditioning, Method, RealisIDModel
from ..persons import Person
from ..sampling.apply_attention import ADAPTER, apply_attention
from . import realisid as branches

WEIGHT = 1.0  # as trained


def encoder(realisid: RealisIDModel) -> StackEncoder:
    """Photos → masked crops → CLIP → both projectors."""
    stack = realisid.part("stack_projector", ModelPatcher) if ADAPTER in realisid.parts else None
    return StackEncoder(stack, *branches.encoder_options(realisid))


def global_branch(
    realisid: RealisIDModel,
    control_net: ControlNet | None = None,
    sharing: Sharing = Sharing.OWN_REGION,
    one_pass: bool = True,
) -> GlobalBranch:
    """RealisID's, with everyone in one pass whatever `one_pass` says: it was trained that way."""
    return branches.global_branch(realisid, control_net, sharing, one_pass=True)


def apply(
    realisid: RealisIDModel,
    persons: Sequence[Person],
    model: ModelPatcher,
    positive: Conditioning,
    negative: Conditioning,
    likeness: float = 1.0,
    any_size: bool = False,
) -> tuple[ModelPatcher, Conditioning, Conditioning]:
    """Branches and guidance as RealisID's; the adapter and own words on MODEL. `likeness` scales λ_i."""
    applied = branches.with_branches(realisid, persons, model, positive, negative, likeness, any_size)
    model, positive, negative = applied
    if ADAPTER in realisid.parts or any(person.words is not None for person in persons):
        model = apply_attention(model, persons, realisid, WEIGHT, any_size=any_size)
    return model, positive, negative


INSTANT_FAMILY = Method(
    name="instant_family",
    config=InstantFamilyConfig,
    parts={**branches.REALISID.parts, "stack_projector": STACK_PROJECTOR, ADAPTER: STACKED_ADAPTER},
    encoder=encoder,  # pyright: ignore[reportArgumentType] -- its cached digest is read like a property
    apply=apply,
    branches={"local": branches.local_branch, "global": global_branch},
)
