"""InstantID's `image_proj`: the vector of a face recogniser → 16 tokens, by a Perceiver resampler (IP-Adapter)."""

from functools import cached_property

import comfy.model_management
import comfy.ops
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ..host import core_patcher
from ..model import Part, State, same_keys
from ..perception import Faces
from .arcface import VECTOR, Recogniser, face_vectors
from .clip_projector import project
from .encoder import Encoded
from .fingerprint import digest

HEAD = 64  # channels of an attention head
LARGEST, DEEPEST = 16384, 64  # what a file may ask for


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
        for attention, feed_forward in self.layers:  # pyright: ignore[reportGeneralTypeIssues]
            latents = latents + attention(x, latents)
            latents = latents + feed_forward(latents)
        return self.norm_out(self.proj_out(latents))


def shape_of(state: State) -> dict[str, int]:
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


def build_resampler(name: str, state: State, context_dim: int) -> ModelPatcher:
    """The resampler in float32. Raises ValueError naming the key that does not fit."""
    try:
        shape = shape_of(state)
    except (KeyError, ValueError, IndexError) as error:
        raise ValueError(f"{name}.* is not InstantID's image_proj ({error} is missing or of another kind).") from error
    if shape["context_dim"] != context_dim:
        raise ValueError(f"{name}.* gives tokens of width {shape['context_dim']}; its config says {context_dim}.")
    if shape["embedding"] != VECTOR:
        raise ValueError(
            f"{name}.* reads vectors of {shape['embedding']}; a face recogniser gives {VECTOR}. This is an IP-Adapter "
            "for another image encoder: use InstantID's own ip-adapter."
        )
    if shape["inner"] % HEAD or not 0 < shape["inner"] <= LARGEST or shape["depth"] > DEEPEST:
        raise ValueError(f"{name}.* is not InstantID's image_proj: it has {shape['depth']} layers of {shape['inner']}.")
    same_keys(name, state, Resampler(**shape, device="meta").state_dict())
    load_device = comfy.model_management.get_torch_device()
    offload_device = comfy.model_management.unet_offload_device()
    resampler = Resampler(**shape, device=offload_device, dtype=torch.float32)
    resampler.load_state_dict(dict(state))
    return core_patcher(resampler.eval(), load_device, offload_device)


RESAMPLER = Part("ID resampler", build_resampler, ("context_dim",))


class RecogniserEncoder:
    """The `Encoder` of InstantID: faces put upright → the recogniser's vectors, averaged as they are → the resampler.

    Args:
        recogniser: None where nobody loaded one.
    """

    def __init__(self, resampler: ModelPatcher, recogniser: Recogniser | None):
        self.resampler = resampler
        self.recogniser = recogniser

    @property
    def digest(self) -> str:
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return digest(self.resampler.model)

    def embed(self, image_encoder: object, faces: Faces) -> Encoded:
        if self.recogniser is None:
            raise ValueError(
                "This model reads the vectors of a face recogniser, and none is loaded. Load it with Load InstantID, "
                "which takes the recogniser's file."
            )
        vectors, seen = face_vectors(self.recogniser, faces)
        return Encoded(project(self.resampler, vectors.mean(0)[None, None]), seen)

    def null(self) -> Tensor:
        return project(self.resampler, torch.zeros(1, 1, VECTOR))
