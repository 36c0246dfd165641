"""One face as a stack of tokens: one for the whole, a grid for its parts (InstantFamily, section 3.3).

The paper takes a recogniser's vector and its last map. CLIP's penultimate layer has both, 1 + L² tokens.
"""

import math
from functools import cached_property

import comfy.model_management
import comfy.ops
import torch
import torch.nn.functional as F
from comfy.model_patcher import ModelPatcher
from einops import rearrange
from torch import Tensor, nn

from ..host import core_patcher
from ..model import Part, State, same_keys
from .clip_projector import CLIPProjectorEncoder, IDProjector, project
from .fingerprint import digest

STACK = "stack"  # what a person's extra has its tokens under


class StackProjector(nn.Module):
    """CLIP's [B, 1 + L², clip_width] → [B, 1 + grid², context_dim]; the grid is averaged before it is projected.

    Args:
        grid: side of the grid of tokens, at most L.
    """

    def __init__(
        self, clip_width: int, context_dim: int, grid: int, operations=comfy.ops.manual_cast, device=None, dtype=None
    ):
        super().__init__()
        self.grid = grid
        self.whole = IDProjector(clip_width, context_dim, operations, device, dtype)
        self.parts = IDProjector(clip_width, context_dim, operations, device, dtype)

    def start_from(self, projector: IDProjector) -> None:
        """Begin with what an ID projector has learnt."""
        for own in (self.whole, self.parts):
            own.load_state_dict(projector.state_dict())

    def forward(self, features: Tensor) -> Tensor:
        side = math.isqrt(features.shape[1] - 1)
        grid = rearrange(features[:, 1:], "b (h w) c -> b c h w", h=side, w=side)
        parts = rearrange(F.adaptive_avg_pool2d(grid, self.grid), "b c h w -> b (h w) c")
        return torch.cat([self.whole(features[:, :1]), self.parts(parts)], dim=1)


def build_stack_projector(
    name: str, state: State, clip_width: int, context_dim: int, clip_tokens: int, stack_grid: int
) -> ModelPatcher:
    """The projector in float32. Raises ValueError naming the key that does not fit."""
    side = math.isqrt(max(clip_tokens - 1, 0))
    if side * side + 1 != clip_tokens or not stack_grid <= side:
        raise ValueError(
            f"the config's stack_grid is {stack_grid} and its clip_tokens {clip_tokens}; expected one token and a "
            "square grid of them, at least as large as stack_grid."
        )
    same_keys(name, state, StackProjector(clip_width, context_dim, stack_grid, device="meta").state_dict())
    load_device = comfy.model_management.get_torch_device()
    offload_device = comfy.model_management.unet_offload_device()
    projector = StackProjector(clip_width, context_dim, stack_grid, device=offload_device, dtype=torch.float32)
    projector.load_state_dict(dict(state))
    return core_patcher(projector.eval(), load_device, offload_device)


STACK_PROJECTOR = Part(
    "stack projector", build_stack_projector, ("clip_width", "context_dim", "clip_tokens", "stack_grid")
)


class StackEncoder(CLIPProjectorEncoder):
    """The `Encoder` of InstantFamily: RealisID's tokens for the branches, and the stack, averaged over photos too.

    Args:
        stack: the stack projector; None where a checkpoint has none, and so nothing for the UNet.
    """

    def __init__(self, stack: ModelPatcher | None, *options):
        super().__init__(*options)
        self.stack = stack

    @cached_property
    def _digest(self) -> str:
        both = nn.ModuleList([each.model for each in (self.projector, self.stack) if each is not None])
        return digest(both)

    def extra(self, features: Tensor) -> dict[str, Tensor]:
        return {} if self.stack is None else {STACK: project(self.stack, features).mean(dim=0, keepdim=True)}

    def null_stack(self) -> Tensor:
        """[1, 1 + grid², context_dim]: the stack of "without ID embedding"."""
        assert self.stack is not None
        return project(self.stack, torch.zeros(1, *self.shape))
