"""Putting persons on MODEL and conditionings in one go, by the defaults of their method."""

from collections.abc import Sequence

from comfy.model_patcher import ModelPatcher

from ..checks import check_number
from ..model import Conditioning, RealisIDModel
from ..persons import Person, combine
from .apply_attention import apply_attention

MOST_LIKENESS = 2.0


def apply_persons(
    model: ModelPatcher,
    positive: Conditioning,
    negative: Conditioning,
    persons: Sequence[Person],
    realisid: RealisIDModel | None = None,
    likeness: float = 1.0,
    any_size: bool = False,
) -> tuple[ModelPatcher, Conditioning, Conditioning]:
    """MODEL, positive and negative with everybody in them; what was given stays as it was.

    Args:
        realisid: a checkpoint of any method; None where nobody has an identity, only words and a place.
        likeness: how strongly each identity shows, 0..2; 1 is the method's own default.
        any_size: whether the whole picture may be sampled at another size than the boxes were drawn for.

    Raises:
        ValueError: identities without a checkpoint, or what the method's parts refuse.
    """
    check_number("likeness", likeness, 0.0, MOST_LIKENESS)
    persons = combine([tuple(persons)])
    if realisid is not None:
        return realisid.method.apply(realisid, persons, model, positive, negative, likeness, any_size)
    for number, person in enumerate(persons, 1):
        if person.embedding is not None:
            raise ValueError(
                f"Person {number} has an ID embedding, but no realisid is connected, so nothing could show it. Connect "
                "the RealisID model that the embedding was made with."
            )
    return apply_attention(model, persons, any_size=any_size), positive, negative
