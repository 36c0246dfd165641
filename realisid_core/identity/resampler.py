"""InstantID's `image_proj`: the vector of a face recogniser → 16 tokens, by a Perceiver resampler (IP-Adapter)."""

import comfy.ops
import torch
from comfy.ldm.modules.attention import optimized_attention
from torch import Tensor, nn

HEAD = 64  # channels of an attention head


class PerceiverAttention(nn.Module):
    """Latents that read the input and themselves: Attn(LN₂ l, [LN₁ x; LN₂ l])."""

    def __init__(self, dim: int, inner: int, operations, **options):
        super().__init__()
        self.heads = inner // HEAD
        self.norm1 = operations.LayerNorm(dim, **options)
        self.norm2 = operations.LayerNorm(dim, **options)
        self.to_q = operations.Linear(dim, inner, bias=False, **options)
        self.to_kv = operations.Linear(dim, 2 * inner, bias=False, **options)
        self.to_out = operations.Linear(inner, dim, bias=False, **options)

    def forward(self, x: Tensor, latents: Tensor) -> Tensor:
        x, latents = self.norm1(x), self.norm2(latents)
        k, v = self.to_kv(torch.cat([x, latents], dim=1)).chunk(2, dim=-1)
        return self.to_out(optimized_attention(self.to_q(latents), k, v, self.heads))


class Resampler(nn.Module):
    """[B, N, E] → [B, T, context_dim].

    Args:
        shape: of the network; see `shape_of`.
    """

    def __init__(
        self,
        tokens: int,
        dim: int,
        inner: int,
        embedding: int,
        hidden: int,
        depth: int,
        context_dim: int,
        operations=comfy.ops.manual_cast,
        device=None,
        dtype=None,
    ):
        super().__init__()
        options = {"device": device, "dtype": dtype}
        self.latents = nn.Parameter(torch.empty(1, tokens, dim, **options))
        self.proj_in = operations.Linear(embedding, dim, **options)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    PerceiverAttention(dim, inner, operations, **options),
                    nn.Sequential(
                        operations.LayerNorm(dim, **options),
                        operations.Linear(dim, hidden, bias=False, **options),
                        nn.GELU(),
                        operations.Linear(hidden, dim, bias=False, **options),
                    ),
                ]
            )
            for _ in range(depth)
        )
        self.proj_out = operations.Linear(dim, context_dim, **options)
        self.norm_out = operations.LayerNorm(context_dim, **options)

    def forward(self, vectors: Tensor) -> Tensor:
        latents = self.latents.to(vectors).expand(len(vectors), -1, -1)
        x = self.proj_in(vectors)
        for attention, feed_forward in self.layers:
            latents = latents + attention(x, latents)
            latents = latents + feed_forward(latents)
        return self.norm_out(self.proj_out(latents))


def shape_of(state: dict[str, Tensor]) -> dict[str, int]:
    """The arguments of the Resampler that these tensors are of. Raises KeyError where one is missing."""
    _, tokens, dim = state["latents"].shape
    return {
        "tokens": tokens,
        "dim": dim,
        "inner": state["layers.0.0.to_q.weight"].shape[0],
        "embedding": state["proj_in.weight"].shape[1],
        "hidden": state["layers.0.1.1.weight"].shape[0],
        "depth": 1 + max(int(key.split(".")[1]) for key in state if key.startswith("layers.")),
        "context_dim": state["proj_out.weight"].shape[0],
    }
