"""Putting people's own words and identities on a MODEL."""

from collections.abc import Sequence

from comfy.model_base import SDXL
from comfy.model_patcher import ModelPatcher

from ..attention.decoupled import read_identities
from ..attention.unet_layers import cross_attentions
from ..model import RealisIDModel
from ..persons import Person, combine, refuse_foreign
from .identity_attention import SHARE, IdentityAttention

ADAPTER = "adapter"
WEIGHT = 0.8


def apply_attention(
    model: ModelPatcher,
    persons: Sequence[Person],
    realisid: RealisIDModel | None = None,
    weight: float = WEIGHT,
    percent_range: tuple[float, float] = (0.0, 1.0),
    share: float = SHARE,
    any_size: bool = False,
) -> ModelPatcher:
    """A clone of MODEL whose cross-attentions read every person's own words, and their identities by an adapter.

    Args:
        realisid: a checkpoint with an identity adapter, such as InstantID's; None for words alone.
        weight: of the identities.
        percent_range: fractions of the noise schedule between which it acts.
        share: how much the common prompt counts where somebody has words.
        any_size: whether the whole picture may be sampled at another size than the boxes were drawn for.

    Raises:
        ValueError: nothing to do (nobody has words, and there is no adapter), or what does not fit.
    """
    persons = combine([tuple(persons)])
    identities = None
    if realisid is not None and ADAPTER in realisid.parts:
        refuse_foreign(persons, realisid)
        known = [None if person.embedding is None else person.tokens for person in persons]
        if isinstance(model.model, SDXL) and weight != 0 and any(tokens is not None for tokens in known):
            adapter = realisid.part(ADAPTER, ModelPatcher)
            places = cross_attentions(model.model.diffusion_model)
            identities = read_identities(adapter, places, known, realisid.null_identity())
    elif all(person.words is None for person in persons):
        found = "no realisid is connected" if realisid is None else f"{realisid.name} has no identity adapter"
        raise ValueError(
            f"Nobody has a prompt of their own and {found}, so there is nothing to do. Connect prompt of Person, or "
            "a model such as InstantID's to realisid."
        )
    return IdentityAttention(persons, identities, weight, share, percent_range, any_size).patch(model)
