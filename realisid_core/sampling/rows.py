"""How a row of the UNet's batch says what the branches owe it: the identity, the null identity, or nothing.

The sampler batches rows of several conditionings into one call. Each conditioning carries its wish as one more model
condition, so that it reaches the branches whichever sampler, guider or regional prompt made the row.
"""

from enum import IntEnum

import comfy.conds
import comfy.utils
import torch
from torch import Tensor

ROW_KEY = "realisid_row"
FRAME_KEY = "realisid_frame"  # in transformer_options: (height, width) of the whole latent, which areas are parts of
WHOLE_FRAME = (0, 0, 0, 0)


class IdentityMode(IntEnum):
    """What a row gets: the branches with `p_id`, with the null identity, or not at all."""

    OFF = 0
    NULL = 1
    GIVEN = 2


class RowCondition(comfy.conds.CONDRegular):
    """[1, 5]: an `IdentityMode`, then the area (y, x, height, width) in latent cells that the row was cut to."""

    @classmethod
    def of(cls, identity: IdentityMode) -> "RowCondition":
        return cls(torch.tensor([[identity, *WHOLE_FRAME]], dtype=torch.int64))

    def process_cond(self, batch_size: int, area: list[int] | None = None, **kwargs) -> "RowCondition":
        row = self.cond.clone()
        if area is not None:
            height, width, y, x = area
            row[:, 1:] = torch.tensor([y, x, height, width])
        return self._copy_with(comfy.utils.repeat_to_batch_size(row, batch_size))


def with_identity(conditioning: dict, identity: IdentityMode) -> dict:
    """A copy of a conditioning's dict whose rows get `identity`."""
    return {**conditioning, "model_conds": {**conditioning.get("model_conds", {}), ROW_KEY: RowCondition.of(identity)}}


def identity_of(conditioning: dict) -> IdentityMode | None:
    """What a conditioning's rows get; None where no branch was applied to it."""
    row = conditioning.get("model_conds", {}).get(ROW_KEY)
    return None if row is None else IdentityMode(int(row.cond[0, 0]))


def read_rows(rows: Tensor | None, batched_number: int) -> list[tuple[IdentityMode, tuple[int, int, int, int]]]:
    """Identity and area (y, x, height, width) of each of the `batched_number` rows of a call.

    A conditioning without a mark never went through our nodes: it has the branch because the host copies the positive's
    ControlNets to a negative that has none. It gets nothing.
    """
    if rows is None:
        return [(IdentityMode.OFF, WHOLE_FRAME)] * batched_number
    return [(IdentityMode(int(row[0])), tuple(row[1:].tolist())) for row in rows[:: len(rows) // batched_number].long()]
