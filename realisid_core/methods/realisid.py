"""RealisID (AAAI 2025): two ControlNet-shaped branches that read a person's ID embedding instead of the text."""

from collections.abc import Sequence
from dataclasses import replace

from comfy.controlnet import ControlNet
from comfy.model_patcher import ModelPatcher

from ..branches.global_ import GlobalBranch
from ..branches.loading import branch_network, branch_part
from ..branches.local import LocalBranch
from ..branches.sharing import Sharing
from ..config import RealisIDConfig
from ..identity.clip_projector import PROJECTOR, CLIPProjectorEncoder
from ..identity.photo_path import PhotoPath
from ..model import Conditioning, Method, RealisIDModel
from ..persons import Person
from ..sampling.apply import Settings, apply_branch
from ..sampling.apply_attention import apply_attention
from ..sampling.guidance import IdentityGuidance
from ..sampling.rows import IdentityMode

# The paper's; and what puts the miniature's faces and poses far better in place.
GUIDANCE = {"sdxl": IdentityGuidance(5.0), "miniature": IdentityGuidance(3.0, IdentityMode.OFF)}


def encoder(realisid: RealisIDModel) -> CLIPProjectorEncoder:
    """Photos → masked crops → CLIP → projector."""
    return CLIPProjectorEncoder(*encoder_options(realisid))


def encoder_options(realisid: RealisIDModel) -> tuple[ModelPatcher, int, int, str, str, PhotoPath]:
    """The projector, and how photos became what it reads, as the checkpoint says."""
    config = realisid.config
    assert isinstance(config, RealisIDConfig)
    return (
        realisid.part("id_projector", ModelPatcher),
        config.clip_tokens,
        config.clip_width,
        config.clip_vision,
        config.clip_fingerprint,
        config.photo_path,
    )


def apply(
    realisid: RealisIDModel,
    persons: Sequence[Person],
    model: ModelPatcher,
    positive: Conditioning,
    negative: Conditioning,
    likeness: float = 1.0,
    any_size: bool = False,
) -> tuple[ModelPatcher, Conditioning, Conditioning]:
    """Both branches on the conditionings, identity guidance and own words on MODEL; `likeness` scales λ_i."""
    model, positive, negative = with_branches(realisid, persons, model, positive, negative, likeness, any_size)
    if any(person.words is not None for person in persons):
        model = apply_attention(model, persons, any_size=any_size)
    return model, positive, negative


def with_branches(
    realisid: RealisIDModel,
    persons: Sequence[Person],
    model: ModelPatcher,
    positive: Conditioning,
    negative: Conditioning,
    likeness: float,
    any_size: bool,
) -> tuple[ModelPatcher, Conditioning, Conditioning]:
    """The method's branches on the conditionings, and on MODEL identity guidance at this base's scales, λ_i times
    `likeness`; all as it was where nobody has an identity."""
    if all(person.embedding is None for person in persons):
        return model, positive, negative
    for branch in [realisid.branch(name) for name in ("global", "local")]:
        positive, negative = apply_branch(branch, positive, negative, persons, Settings(any_size=any_size))
    guidance = GUIDANCE.get(realisid.config.base, GUIDANCE["sdxl"])
    guidance = replace(guidance, identity_guidance=guidance.identity_guidance * likeness)
    return guidance.patch(model), positive, negative


def local_branch(realisid: RealisIDModel, control_net: ControlNet | None = None) -> LocalBranch:
    """The local branch of a checkpoint, or `control_net` in its place.

    Raises:
        ValueError: a checkpoint without it, a ControlNet of another kind.
    """
    config = realisid.config
    assert isinstance(config, RealisIDConfig)
    network = _network("local", realisid, control_net)
    return LocalBranch(realisid, *network, config.crop, config.local_size, config.outline)


def global_branch(
    realisid: RealisIDModel,
    control_net: ControlNet | None = None,
    sharing: Sharing = Sharing.OWN_REGION,
    one_pass: bool = False,
) -> GlobalBranch:
    """The global branch of a checkpoint, or `control_net` in its place; `GlobalBranch` says what the options are.

    Raises:
        ValueError: a checkpoint without it, a ControlNet of another kind.
    """
    return GlobalBranch(realisid, *_network("global", realisid, control_net), sharing, one_pass)


def _network(name: str, realisid: RealisIDModel, control_net: ControlNet | None) -> tuple[ControlNet, str]:
    """The host's ControlNet to run, and its vector conditioning."""
    config = realisid.config
    assert isinstance(config, RealisIDConfig)
    network = branch_network(name, realisid, control_net, config.context_dim)
    return network, config.y_mode if control_net is None else "prompt"


REALISID = Method(
    name="realisid",
    config=RealisIDConfig,
    parts={
        "local": branch_part("local branch", hint_channels=3),
        "global": branch_part("global branch", hint_channels=1),
        "id_projector": PROJECTOR,
    },
    encoder=encoder,  # pyright: ignore[reportArgumentType] -- its cached digest is read like a property
    apply=apply,
    branches={"local": local_branch, "global": global_branch},
)
