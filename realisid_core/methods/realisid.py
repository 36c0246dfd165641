"""RealisID (AAAI 2025): two ControlNet-shaped branches that read a person's ID embedding instead of the text."""

from collections.abc import Sequence

from comfy.model_patcher import ModelPatcher

from ..branches.loading import branch_part
from ..config import RealisIDConfig
from ..identity.clip_projector import PROJECTOR, CLIPProjectorEncoder
from ..model import Conditioning, Method, RealisIDModel
from ..persons import Person


def encoder(realisid: RealisIDModel) -> CLIPProjectorEncoder:
    """Photos → masked crops → CLIP → projector."""
    config = realisid.config
    assert isinstance(config, RealisIDConfig)
    return CLIPProjectorEncoder(
        realisid.part("id_projector", ModelPatcher),
        config.clip_tokens,
        config.clip_width,
        config.clip_vision,
        config.clip_fingerprint,
        config.keep,
    )


def apply(
    realisid: RealisIDModel,
    persons: Sequence[Person],
    model: ModelPatcher,
    positive: Conditioning,
    negative: Conditioning,
) -> tuple[ModelPatcher, Conditioning, Conditioning]:
    """Both branches on the conditionings; MODEL stays as it is."""
    from ..sampling.apply import apply_branch  # which imports the checkpoint, and that the methods

    for branch in ("local", "global"):
        positive, negative = apply_branch(branch, positive, negative, realisid, persons)
    return model, positive, negative


REALISID = Method(
    name="realisid",
    config=RealisIDConfig,
    parts={
        "local": branch_part("local branch", hint_channels=3),
        "global": branch_part("global branch", hint_channels=1),
        "id_projector": PROJECTOR,
    },
    encoder=encoder,
    apply=apply,
)
