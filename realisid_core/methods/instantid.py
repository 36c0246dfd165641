"""InstantID (2024): a ControlNet on five points, and decoupled cross-attention; both read a recogniser's vector."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from comfy.controlnet import ControlNet
from comfy.model_patcher import ModelPatcher

from ..attention.decoupled import ADAPTER
from ..branches.identity_net import IdentityNet
from ..branches.loading import branch_network, branch_part
from ..branches.sharing import Sharing
from ..config import InstantIDConfig
from ..identity.arcface import Recogniser
from ..identity.resampler import RESAMPLER, RecogniserEncoder
from ..model import Conditioning, Method, RealisIDModel
from ..persons import Person
from ..sampling.apply import Settings, apply_branch
from ..sampling.apply_attention import WEIGHT, apply_attention

STRENGTH = 0.8


def encoder(realisid: RealisIDModel, recogniser: Recogniser | None = None) -> RecogniserEncoder:
    """Faces → recogniser → resampler."""
    return RecogniserEncoder(realisid.part("id_projector", ModelPatcher), recogniser)


def identity_net(
    realisid: RealisIDModel,
    control_net: ControlNet | None = None,
    sharing: Sharing = Sharing.OWN_REGION,
    one_pass: bool = False,
) -> IdentityNet:
    """IdentityNet, or `control_net` in its place; `GlobalBranch` says what the options are.

    Raises:
        ValueError: a checkpoint without it, a ControlNet of another kind.
    """
    config = realisid.config
    assert isinstance(config, InstantIDConfig)
    network = branch_network("global", realisid, control_net, config.context_dim)
    return IdentityNet(realisid, network, "prompt", sharing, one_pass)


def apply(
    realisid: RealisIDModel,
    persons: Sequence[Person],
    model: ModelPatcher,
    positive: Conditioning,
    negative: Conditioning,
    likeness: float = 1.0,
    any_size: bool = False,
) -> tuple[ModelPatcher, Conditioning, Conditioning]:
    """The adapter on MODEL, IdentityNet on the conditionings; `likeness` scales the adapter."""
    patched = apply_attention(model, persons, realisid, WEIGHT * likeness, any_size=any_size)
    settings = Settings(STRENGTH, any_size=any_size)
    return patched, *apply_branch(identity_net(realisid), positive, negative, persons, settings)


INSTANTID = Method(
    name="instantid",
    config=InstantIDConfig,
    parts={
        "global": branch_part("IdentityNet", hint_channels=3),
        "id_projector": RESAMPLER,
        "adapter": ADAPTER,
    },
    encoder=encoder,  # pyright: ignore[reportArgumentType] -- its cached digest is read like a property
    apply=apply,
    branches={"global": identity_net},
)


def with_recogniser(realisid: RealisIDModel, path: str | Path) -> RealisIDModel:
    """The same model with a face recogniser from an ONNX file. Raises ValueError as `Recogniser` does."""
    method = replace(realisid.method, encoder=partial(encoder, recogniser=Recogniser(path)))
    return replace(realisid, method=method)
