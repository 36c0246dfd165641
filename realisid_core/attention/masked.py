"""One global pass for all persons: cross-attention over their stacked ID tokens, each region seeing its person's.

InstantFamily (2024), sections 3.3 and 3.4. There the mask multiplies the logits of a network trained that way; these
branches were trained on one person at a time, so tokens that a position must not see are left out of the softmax. And
there a mask is the face with a margin, and what lies outside sees everyone: hair and shoulders would mix.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from comfy.ldm.modules.attention import BasicTransformerBlock, attention_pytorch
from einops import repeat
from torch import Tensor, nn

from ..geometry import FaceBox
from ..resampling import own_regions


def cross_attentions(network: nn.Module) -> list[BasicTransformerBlock]:
    """The blocks whose `attn2` reads the context."""
    return [module for module in network.modules() if isinstance(module, BasicTransformerBlock)]


def token_mask(boxes: Sequence[FaceBox], tokens: int, height: int, width: int, device=None) -> Tensor:
    """M (InstantFamily, Eq. 7 and 8): [height · width, N · tokens], True where a position may see a token.

    A position sees the tokens of the person whose face is the nearest.
    """
    seen = own_regions(boxes, height, width).to(device) > 0
    return repeat(seen, "n h w -> (h w) (n t)", t=tokens)


@contextmanager
def masked_cross_attention(
    network: nn.Module, people: Sequence[Sequence[FaceBox]], tokens: int, latent: tuple[int, ...]
) -> Iterator[None]:
    """While it lasts, every cross-attention of `network` works under `token_mask` at its own resolution.

    Args:
        people: for each picture of the batch, or for all of them, the boxes: one a person, in the order in which their
            `tokens` tokens each are stacked. Tokens behind those of a picture's last person are not seen.
        latent: (height, width) of the latent; the network halves it level by level.
    """
    biases: dict[tuple, Tensor] = {}

    def add_mask(module, args, kwargs):
        queries = args[0]
        key = (queries.shape[1], queries.device, queries.dtype)
        if key not in biases:
            grid = level_grid(queries.shape[1], latent)
            seen = [token_mask(boxes, tokens, *grid, queries.device).mT for boxes in people]
            hidden = ~torch.nn.utils.rnn.pad_sequence(seen, batch_first=True).mT
            biases[key] = queries.new_zeros(hidden.shape).masked_fill_(hidden, -torch.finfo(queries.dtype).max)
        options = {**kwargs.get("transformer_options", {}), "optimized_attention_override": _with_mask}
        return args, {**kwargs, "mask": biases[key], "transformer_options": options}

    hooks = [block.attn2.register_forward_pre_hook(add_mask, with_kwargs=True) for block in cross_attentions(network)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _with_mask(_, *args, **kwargs) -> Tensor:
    """PyTorch's attention, whichever one the host was started with: SageAttention leaves masks out without a word."""
    return attention_pytorch(*args, **kwargs)


def level_grid(positions: int, latent: tuple[int, ...]) -> tuple[int, int]:
    """(height, width) of the level that has so many positions."""
    height, width = latent
    while height * width > positions:
        height, width = -(-height // 2), -(-width // 2)
    return height, width
