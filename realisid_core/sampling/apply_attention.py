"""Putting people's own words and identities on a MODEL."""

import logging
from collections.abc import Sequence

from comfy.model_base import SDXL
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..attention.decoupled import STACKED, read_identities
from ..attention.regional import MARGIN, Region
from ..attention.stacked import Mask
from ..attention.unet_layers import cross_attentions
from ..geometry import MAX_BOXES
from ..identity.stack import STACK
from ..model import RealisIDModel
from ..persons import Person, combine, refuse_foreign
from .identity_attention import IdentityAttention
from .unet_call import SHARE

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
    region: Region = Region.OWN,
    margin: float = MARGIN,
    mask: Mask = Mask.EXCLUDE,
) -> ModelPatcher:
    """A clone of MODEL whose cross-attentions read every person's own words, and their identities by an adapter.

    Args:
        realisid: a checkpoint with an identity adapter, such as InstantID's; None for words alone.
        weight: of the identities.
        percent_range: fractions of the noise schedule between which it acts.
        share: how much the common prompt counts where somebody has words.
        any_size: whether the whole picture may be sampled at another size than the boxes were drawn for.
        region, margin, mask: where identities are read, and what is made of stacked ones elsewhere.

    Raises:
        ValueError: nothing to do (nobody has words, and there is no adapter), too many people, or what does not fit.
    """
    persons = combine([tuple(persons)])
    identities = None
    if realisid is not None and ADAPTER in realisid.parts:
        refuse_foreign(persons, realisid)
        adapter = realisid.part(ADAPTER, ModelPatcher)
        stacked = adapter.model.names == STACKED
        if stacked:
            _check_number(persons, realisid)
        known = [_tokens(person, stacked) for person in persons]
        if isinstance(model.model, SDXL) and weight != 0 and any(tokens is not None for tokens in known):
            places = cross_attentions(model.model.diffusion_model)
            null = realisid.encoder.null_stack() if stacked else realisid.null_identity()  # pyright: ignore
            identities = read_identities(adapter, places, known, null)
    elif all(person.words is None for person in persons):
        found = "no realisid is connected" if realisid is None else f"{realisid.name} has no identity adapter"
        raise ValueError(
            f"Nobody has a prompt of their own and {found}, so there is nothing to do. Connect prompt of Person, or "
            "a model such as InstantID's to realisid."
        )
    acts = weight, share, percent_range, any_size, region, margin, mask
    return IdentityAttention(persons, identities, *acts).patch(model)


def _tokens(person: Person, stacked: bool) -> Tensor | None:
    """What an adapter reads of a person; None for who has no identity."""
    if person.embedding is None:
        return None
    return person.embedding.extra[STACK] if stacked else person.tokens


def _check_number(persons: Sequence[Person], realisid: RealisIDModel) -> None:
    """Raises ValueError where there are more people than a stack takes; logs where it was trained with fewer."""
    trained = getattr(realisid.config, "family_ids", MAX_BOXES)
    if len(persons) > MAX_BOXES:
        raise ValueError(f"persons has {len(persons)} people; Identity Attention takes {MAX_BOXES}. Take some out.")
    if len(persons) > trained:
        logging.info(
            "%s was trained with up to %d people and is given %d. It takes up to %d.",
            realisid.name, trained, len(persons), MAX_BOXES,
        )  # fmt: skip
