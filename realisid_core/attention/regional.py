"""Cross-attention by region: what a position of the picture reads depends on whose region it lies in."""

import math
from collections.abc import Sequence
from enum import Enum

import torch
from einops import rearrange
from torch import Tensor

from ..geometry import FaceBox, scaled_about_centre
from ..resampling import covered_regions, own_regions

MARGIN = 0.25
HEAD = 1.8  # sides of the face box


class Region(Enum):
    """Which part of the picture is a person's."""

    OWN = "own region"  # all to which their face is the nearest
    FACE = "face"  # the face box with a margin (InstantFamily, Eq. 8); elsewhere nobody's
    HEAD = "head"  # the face box 1.8 times as large


def level_regions(
    boxes: Sequence[FaceBox],
    level: tuple[int, int],
    latent: tuple[int, ...],
    kind: Region = Region.OWN,
    margin: float = MARGIN,
) -> Tensor:
    """m_n of every person on the grid of one level of the UNet, [N, h · w], by exact coverage of its cells.

    Own regions add up to 1 at every position, the others to 1 or less.

    Args:
        level: (height, width) of the level.
        latent: (height, width) of the latent. An odd side of it that was halved leaves a last cell that reaches past
            the frame, which the regions allow for.
        margin: of a face, in sides of its box, both sides together.
    """
    frame = _frame(level, latent)
    if kind == Region.OWN:
        regions = own_regions(boxes, *level, frame=frame)
    else:
        scale = 1 + margin if kind == Region.FACE else HEAD
        regions = covered_regions([scaled_about_centre(box, scale) for box in boxes], *level, frame=frame)
    return rearrange(regions, "n h w -> n (h w)")


def _frame(level: tuple[int, int], latent: tuple[int, ...]) -> tuple[float, float]:
    """(height, width) of the frame in cells of the level."""
    halvings = max(0, round(math.log2(latent[0] / level[0])))
    stride = 2**halvings
    if tuple(-(-side // stride) for side in latent) == tuple(level):
        return latent[0] / stride, latent[1] / stride
    return level  # something else than the UNet's own halving made it: another pack's downscaling


def joint_bias(regions: Tensor, tokens: Sequence[int], prompt_tokens: int, share: float) -> Tensor:
    """What is added to the logits so that position i reads the prompt and the words of those whose region it is in.

    InstantFamily, Eq. 6 and 7, with log m in place of its product: a token that must not be read has weight 0, not e⁰.

    Args:
        regions: m_n, [N, h · w].
        tokens: how many tokens each of the N persons has.
        share: weight of the prompt's tokens where somebody has words, 0..1; elsewhere the prompt is alone.

    Returns:
        [h · w, prompt_tokens + Σ tokens].
    """
    speaking = [n for n, count in enumerate(tokens) if count]
    spoken_for = regions[speaking].sum(0)
    prompt = (1 - spoken_for * (1 - share)).log()[:, None].expand(-1, prompt_tokens)
    words = [regions[n].log()[:, None].expand(-1, tokens[n]) for n in speaking]
    return torch.cat([prompt, *words], dim=1)
