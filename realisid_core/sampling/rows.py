"""How a row of the UNet's batch says what the branches owe it: the identity, the null identity, or nothing.

The sampler batches rows of several conditionings into one call. Each conditioning carries its wish as one more model
condition, so that it reaches the branches whichever sampler, guider or regional prompt made the row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import comfy.conds
import comfy.utils
import torch
from torch import Tensor

from ..geometry import FaceBox

ROW_KEY = "realisid_row"
PROMPTS_KEY = "realisid_prompts"  # in transformer_options: for each prediction the number of its prompt in the guider
ATTENTION_KEY = "realisid_attention"  # of Identity Attention's wrappers on a MODEL
FRAME_KEY = "realisid_frame"  # in transformer_options: (height, width) of the whole latent, which areas are parts of

Area = tuple[int, int, int, int]
"""(y, x, height, width) in latent cells: the part of the latent that a row was cut to."""

WHOLE_FRAME: Area = (0, 0, 0, 0)


class IdentityMode(IntEnum):
    """What a row gets: the branches with `p_id`, with the null identity, or not at all."""

    OFF = 0
    NULL = 1
    GIVEN = 2


class RowCondition(comfy.conds.CONDRegular):
    """[1, 5]: an `IdentityMode`, then the `Area` that the row was cut to."""

    @classmethod
    def of(cls, identity: IdentityMode) -> "RowCondition":
        return cls(torch.tensor([[identity, *WHOLE_FRAME]], dtype=torch.int64))

    def process_cond(self, batch_size: int, area: list[int] | None = None, **kwargs) -> "RowCondition":
        row = self.cond.clone()
        if area is not None:
            height, width, y, x = area
            row[:, 1:] = torch.tensor([y, x, height, width])
        return self._copy_with(comfy.utils.repeat_to_batch_size(row, batch_size))


def show_prompts(options: dict) -> None:
    """Let other ControlNets and patches see a text-only row as one of its prompt, by `cond_or_uncond`.

    They tell rows apart by it: in most guiders 0 is the positive and 1 the negative. The list is changed in place, for
    who has read it already.
    """
    if PROMPTS_KEY in options:
        numbers = options["cond_or_uncond"]
        numbers[:] = prompt_numbers(options, numbers)


def prompt_numbers(options: dict, numbers: Sequence[int]) -> list[int]:
    """For the predictions of these numbers, the numbers of their prompts."""
    return [options[PROMPTS_KEY][number] for number in numbers]


def with_identity(conditioning: dict, identity: IdentityMode) -> dict:
    """A copy of a conditioning's dict whose rows get `identity`."""
    return {**conditioning, "model_conds": {**conditioning.get("model_conds", {}), ROW_KEY: RowCondition.of(identity)}}


def identity_of(conditioning: dict) -> IdentityMode | None:
    """What a conditioning's rows get; None where no branch was applied to it."""
    row = conditioning.get("model_conds", {}).get(ROW_KEY)
    return None if row is None else IdentityMode(int(row.cond[0, 0]))


def read_rows(rows: Tensor | None, number: int) -> list[tuple[IdentityMode, Area]]:
    """Identity and area of each of the `number` latents of a batch.

    A conditioning without a mark never went through our nodes: it has the branch because the host copies the positive's
    ControlNets to a negative that has none. It gets nothing.
    """
    if rows is None:
        return [(IdentityMode.OFF, WHOLE_FRAME)] * number
    each: Tensor = comfy.utils.repeat_to_batch_size(rows, number)
    return [(IdentityMode(mode), (y, x, height, width)) for mode, y, x, height, width in each.long().tolist()]


@dataclass(frozen=True)
class Row:
    """One latent of the UNet's batch.

    Attributes:
        boxes: every person's face box, in fractions of what the row shows.
        x: [1, C, H, W], the noisy latent as the UNet sees it.
        timesteps: [1].
        y: the branch's vector conditioning [1, A], where the UNet has one.
    """

    identity: IdentityMode
    boxes: tuple[FaceBox, ...]
    x: Tensor
    timesteps: Tensor
    y: Tensor | None

    def same_as(self, other: "Row") -> bool:
        """Whether a branch would say the same of both."""
        return (
            (self.identity, self.boxes) == (other.identity, other.boxes)
            and torch.equal(self.x, other.x)
            and (self.y is None or (other.y is not None and torch.equal(self.y, other.y)))
        )


def distinct(rows: Sequence[Row]) -> tuple[list[Row], list[int]]:
    """The rows that a branch has to compute, and for each row its number among them; -1 where it gets nothing."""
    different: list[Row] = []
    numbers = []
    for row in rows:
        if row.identity == IdentityMode.OFF:
            numbers.append(-1)
            continue
        number = next((i for i, other in enumerate(different) if row.same_as(other)), len(different))
        numbers.append(number)
        if number == len(different):
            different.append(row)
    return different, numbers
