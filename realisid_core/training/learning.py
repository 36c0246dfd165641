"""Which weights of a branch learn: all of them, its cross-attention, or low-rank additions to its attention (LoRA).

Hint block, zero convolutions and the ID projector always learn: they are new, and small. What does not learn is kept
in half precision on an accelerator and has neither gradient nor optimiser state nor average of its own.
"""

import math
import re

import torch
from comfy.cldm.cldm import ControlNet
from comfy.ldm.modules.attention import CrossAttention
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..attention.masked import cross_attentions

ALL, ATTENTION, LORA = "all", "attention", "lora"
LARGEST_RANK = 1024
EXPECTED = f'"{ALL}", "{ATTENTION}", or "{LORA}:" and a rank from 1 to {LARGEST_RANK}'
ORIGINAL = ".parametrizations.weight.original"


def rank_of(what: str) -> int | None:
    """The rank in "lora:16"; None for all else."""
    found = re.fullmatch(rf"{LORA}:([1-9]\d{{0,3}})", what)
    return int(found[1]) if found and int(found[1]) <= LARGEST_RANK else None


def can_learn(what: object) -> bool:
    """Whether a text says which weights learn."""
    return type(what) is str and (what in (ALL, ATTENTION) or rank_of(what) is not None)


class LowRank(nn.Module):
    """W + B·A (LoRA, Hu et al. 2022); B starts at zero, so that W stays what it was."""

    def __init__(self, weight: Tensor, rank: int):
        super().__init__()
        options = {"device": weight.device, "dtype": torch.float32}
        self.down = nn.Parameter(torch.empty(rank, weight.shape[1], **options))
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank, **options))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def learn_only(branch: ControlNet, what: str, frozen: torch.dtype) -> None:
    """Let of a branch learn what `what` says, and keep the matrices of the rest in the dtype `frozen`."""
    if what == ALL:
        return
    branch.requires_grad_(False)
    for part in (branch.input_hint_block, branch.zero_convs, branch.middle_block_out):
        part.requires_grad_(True)
    rank = rank_of(what)
    if rank is None:
        for block in cross_attentions(branch):
            block.attn2.requires_grad_(True)
    else:
        for layer in _attention_layers(branch):
            parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank), unsafe=True)
            layer.parametrizations.weight.original.requires_grad_(False)
    for parameter in branch.parameters():
        if not parameter.requires_grad and parameter.ndim > 1:  # norms and biases stay in float32
            parameter.data = parameter.data.to(frozen)


def _attention_layers(branch: ControlNet) -> list[nn.Linear]:
    """All projections of self- and cross-attention."""
    attentions = [module for module in branch.modules() if isinstance(module, CrossAttention)]
    return [layer for attention in attentions for layer in attention.modules() if isinstance(layer, nn.Linear)]


def merged(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state with the low-rank additions added in, under the names that the layers have without them."""
    plain = {}
    for name, value in state.items():
        if name.endswith(ORIGINAL):
            layer = name.removesuffix(ORIGINAL)
            up, down = (state[f"{layer}.parametrizations.weight.0.{side}"] for side in ("up", "down"))
            plain[f"{layer}.weight"] = value.float() + up @ down
        elif ".parametrizations.weight.0." not in name:
            plain[name] = value
    return plain
