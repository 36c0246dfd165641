"""One softmax over text, own words and everybody's face tokens (InstantFamily, Eq. 4 to 8).

    out = softmax([q K_tᵀ; q K_f1ᵀ; …]/√d + β) [V_t; V_f1; …]

The paper multiplies the logits by the mask. A hidden token then has the logit 0 and keeps the weight e⁰, which a
network has to learn its way round; added logarithms hide it.
"""

import math
from collections.abc import Sequence
from enum import Enum

import torch
from comfy.ldm.modules.attention import attention_pytorch
from einops import einsum, rearrange
from torch import Tensor

LEAST = 1e-4


class Mask(Enum):
    """What a position makes of the tokens of a person whose region it is not in."""

    EXCLUDE = "exclude"  # nothing: β = log m, which is −∞ there
    SOFT = "soft"  # little: β = log max(m, 1e-4)
    LITERAL = "literal"  # the paper's product, logits × m; for research

    @classmethod
    def offered(cls) -> list[str]:
        """Those for making pictures."""
        return [cls.EXCLUDE.value, cls.SOFT.value]


def face_bias(regions: Tensor, known: Sequence[int], tokens: int, mask: Mask, weight: float = 1.0) -> Tensor:
    """β for the face tokens of the persons `known`, [h · w, N · tokens]: log m and log w; w scales their odds.

    Args:
        regions: m_n of all persons, [persons, h · w].
    """
    m = regions[list(known)]
    if mask == Mask.LITERAL:
        m = torch.ones_like(m)
    elif mask == Mask.SOFT:
        m = m.clamp(min=LEAST)
    return rearrange(m.log()[..., None].expand(-1, -1, tokens), "n p t -> p (n t)") + math.log(weight)


def face_factor(regions: Tensor, known: Sequence[int], tokens: int) -> Tensor:
    """M of Eq. 6 for the same tokens, [h · w, N · tokens]."""
    return rearrange(regions[list(known)][..., None].expand(-1, -1, tokens), "n p t -> p (n t)")


def stacked_attention(
    q: Tensor, k: Tensor, v: Tensor, heads: int, bias: Tensor, factor: Tensor | None = None
) -> Tensor:
    """softmax(M ⊙ q kᵀ/√d + β) v for q [B, P, C], k and v [B, L, C], bias and factor [P, L] or [B, P, L].

    PyTorch's attention, whichever one the host was started with: SageAttention leaves masks out without a word.

    Args:
        factor: M; None for 1 everywhere.
    """
    if factor is None:
        return attention_pytorch(q, k, v, heads, mask=bias)
    q, k, v = (rearrange(each, "b p (h d) -> b h p d", h=heads) for each in (q, k, v))
    logits = einsum(q, k, "b h p d, b h l d -> b h p l") / math.sqrt(q.shape[-1])
    factor, bias = (each if each.ndim == 2 else each[:, None] for each in (factor, bias))
    read = (logits * factor + bias).softmax(-1)
    return rearrange(einsum(read, v, "b h p l, b h l d -> b h p d"), "b h p d -> b p (h d)")
