"""The cross-attentions of a UNet, by the names that the host calls them by."""

from collections.abc import Iterator
from typing import Any

from comfy.ldm.modules.attention import CrossAttention, SpatialTransformer
from torch import nn

Place = tuple[str, int, int]
"""(block, number, index): "input" | "middle" | "output", which block of them, and which transformer in it."""


def cross_attentions(unet: nn.Module) -> dict[Place, CrossAttention]:
    """Every cross-attention, in the order down, up, middle, which public adapter files number them in."""
    return dict(_walk(unet))


def _walk(unet: Any) -> Iterator[tuple[Place, CrossAttention]]:
    middle = [] if unet.middle_block is None else [unet.middle_block]
    for name, blocks in (("input", unet.input_blocks), ("output", unet.output_blocks), ("middle", middle)):
        for number, block in enumerate(blocks):
            for layer in block:
                if isinstance(layer, SpatialTransformer):
                    for index, transformer in enumerate(layer.transformer_blocks):
                        if transformer.attn2 is not None:
                            yield (name, number, index), transformer.attn2
