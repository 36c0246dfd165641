"""What learns: both branches and the ID projector, as one module that accelerate can wrap."""

from collections.abc import Sequence
from functools import partial

import comfy.ops
import torch
from comfy.cldm.cldm import ControlNet
from comfy.ldm.modules.attention import BasicTransformerBlock
from comfy.ldm.modules.diffusionmodules.openaimodel import ResBlock
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..branches.injection import Injection, add_injections
from ..branches.local import local_view
from ..branches.views import Inputs, WholeLatent, branch_vector
from ..conditions.location_mask import location_mask
from ..config import RealisIDConfig
from ..geometry import LATENT_CELL, FaceBox
from ..identity.clip_projector import IDProjector
from .base import Base
from .learning import learn_only

PART_NAMES = {"local": "local", "global_": "global", "projector": "id_projector"}  # of the trainee → of a checkpoint
LOCAL_HINT, GLOBAL_HINT = 3, 1  # channels of the pose-expression image and of the location mask


class Trainee(nn.Module):
    """The local branch, the global branch and the ID projector; the sum of what both branches inject."""

    names = PART_NAMES

    def __init__(self, base: Base, config: RealisIDConfig):
        super().__init__()
        self.config = config
        self.local = new_branch(base, LOCAL_HINT)
        self.global_ = new_branch(base, GLOBAL_HINT)
        self.projector = new_projector(config)

    def learn_only(self, what: str, frozen: torch.dtype) -> None:
        """Let of both branches learn what `what` says; see `learning`."""
        for branch in (self.local, self.global_):
            learn_only(branch, what, frozen)

    def parts(self) -> dict[str, nn.Module]:
        """What learns, by the names that a checkpoint has for its parts."""
        return {name: getattr(self, own) for own, name in self.names.items() if hasattr(self, own)}

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        boxes: Sequence[FaceBox],
        pose_images: Tensor,
        features: Tensor,
        y: Tensor | None,
    ) -> Injection:
        """`i_t_l` relocated plus `i_t_g` (RealisID, Eq. 4–6; Eq. 3 in place of 4 and 5 without the local crop).

        Args:
            x: [B, C, H, W], the noisy latent as the UNet sees it.
            timesteps: [B].
            boxes: the B face boxes.
            pose_images: `c_pe`, [B, 3, S, S] in the face boxes (crop) or [B, 3, 8·H, 8·W] in the frame (no crop).
            features: CLIP's [B, T, W]; zero stands for the null identity.
            y: the UNet's vector conditioning [B, A].
        """
        tokens = self.projector(features)
        y = branch_vector(y, self.config.y_mode)
        height, width = (side * LATENT_CELL for side in x.shape[-2:])
        mask = location_mask(boxes, height, width, x.device, x.dtype)
        local = local_view(self.config.crop, self.config.local_size)
        return add_injections(
            local.injection(self.local, Inputs(x, timesteps, boxes, pose_images, tokens, y)),
            WholeLatent().injection(self.global_, Inputs(x, timesteps, boxes, mask, tokens, y)),
        )


def new_branch(base: Base, hint_channels: int) -> ControlNet:
    """The host's ControlNet with the UNet's encoder copied in, its zero convolutions zero, in float32 on the CPU.

    The hint block has the default initialisation but for its last convolution, which is a zero convolution too (Eq. 2).
    """
    network = branch_network(base, hint_channels)
    encoder = base.model.diffusion_model.state_dict()
    shared = {key: encoder[key].float() for key in network.state_dict() if key in encoder}
    left, _ = network.load_state_dict(shared, strict=False)
    hint, zero = network.input_hint_block, (network.zero_convs, network.middle_block_out, network.input_hint_block[-1])
    ours = ("input_hint_block.", "zero_convs.", "middle_block_out.")
    if foreign := [key for key in left if not key.startswith(ours)]:
        raise ValueError(f"The base model's UNet has no {foreign[0]} to start a branch from; it is not SDXL's.")
    for layer in hint:
        if isinstance(layer, nn.Conv2d):
            nn.Conv2d.reset_parameters(layer)  # the host's own layers leave their weights unset
    for part in zero:
        for parameter in part.parameters():
            nn.init.zeros_(parameter)
    hint.to(memory_format=torch.channels_last)  # wide pictures of few channels: nearly three times as fast on a CPU
    return network.train()


def branch_network(base: Base, hint_channels: int, device: str = "cpu") -> ControlNet:
    """The host's ControlNet for this base in float32, its weights not yet set."""
    config = {key: value for key, value in base.unet_config.items() if key not in ("out_channels", "dtype", "device")}
    operations = comfy.ops.disable_weight_init
    return ControlNet(**config, hint_channels=hint_channels, dtype=torch.float32, device=device, operations=operations)


def new_projector(config: RealisIDConfig) -> IDProjector:
    """An ID projector with PyTorch's own initialisation, in float32 on the CPU."""
    projector = IDProjector(config.clip_width, config.context_dim, device="cpu", dtype=torch.float32)
    nn.LayerNorm.reset_parameters(projector.norm)
    nn.Linear.reset_parameters(projector.proj)
    return projector


def recompute_in_backward(*networks: nn.Module) -> None:
    """Gradient checkpointing: every residual and transformer block forgets its activations and computes them again.

    torch's own `checkpoint_wrapper` puts another module in the block's place. The host asks of each layer what class it
    is, and would call a wrapped residual block without the timestep; so the block stays and its `forward` is replaced.
    """
    for network in networks:
        for block in network.modules():
            if isinstance(block, (ResBlock, BasicTransformerBlock)):
                block.forward = partial(_recomputed, block.forward)


def _recomputed(forward, *args, **kwargs):
    """`forward`, checkpointed with `transformer_options` as they are now: later the host notes other blocks in them."""
    if "transformer_options" in kwargs:
        kwargs["transformer_options"] = dict(kwargs["transformer_options"])
    return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)
