"""Weights from a seed: where training starts, and what the miniature runs on where a trained file is absent."""

from collections.abc import Mapping

import comfy.cldm.cldm
import comfy.clip_model
import comfy.ldm.models.autoencoder
import comfy.ops
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from torch import Tensor, nn

from ..identity.clip_projector import IDProjector
from . import networks
from .networks import FIRST, Architecture

CPU = {"dtype": torch.float32, "device": "cpu"}


def unet_module(architecture: Architecture = FIRST, operations=comfy.ops.disable_weight_init) -> UNetModel:
    """The UNet on the CPU in float32, its weights not yet set."""
    return UNetModel(**architecture.unet_config(), num_head_channels=64, operations=operations, **CPU)


def branch_module(
    hint_channels: int, architecture: Architecture = FIRST, operations=comfy.ops.disable_weight_init
) -> comfy.cldm.cldm.ControlNet:
    """A branch on the CPU in float32, its weights not yet set: hints of 3 channels (local) or 1 (global)."""
    config = architecture.branch_config()
    return comfy.cldm.cldm.ControlNet(**config, hint_channels=hint_channels, operations=operations, **CPU)


def vae_module(architecture: Architecture = FIRST) -> comfy.ldm.models.autoencoder.AutoencoderKL:
    """The autoencoder on the CPU in float32, its weights not yet set."""
    return comfy.ldm.models.autoencoder.AutoencoderKL(**architecture.vae_config())


def text_module() -> networks.MiniatureClip:
    """The text encoder on the CPU in float32, its weights not yet set."""
    return networks.MiniatureClip(**CPU)


def image_encoder_module(architecture: Architecture = FIRST) -> comfy.clip_model.CLIPVisionModelProjection:
    """The image encoder on the CPU in float32, its weights not yet set."""
    config = architecture.image_encoder_config()
    return comfy.clip_model.CLIPVisionModelProjection(config, **CPU, operations=comfy.ops.disable_weight_init)


def seeded(module: nn.Module, seed: int) -> dict[str, Tensor]:
    """Weights for `module`: norms are identities, biases zero, all else normal with deviation 1/√(fan in).

    A branch's zero convolutions become small instead of zero, so that an untrained branch does something.
    """
    generator = torch.Generator().manual_seed(seed)
    return {
        name: _seeded(name, value.shape, generator)
        for name, value in module.state_dict().items()
        if not name.endswith("logit_scale")
    }


def _seeded(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    if "embedding" in name and not name.endswith("patch_embedding.weight"):
        return 0.02 * torch.randn(shape, generator=generator)
    if len(shape) < 2:
        return torch.ones(shape) if name.endswith("weight") else torch.zeros(shape)
    gain = 0.1 if name.startswith(("zero_convs", "middle_block_out")) else 1.0
    return gain * torch.randn(shape, generator=generator) / shape[1:].numel() ** 0.5


def zero_init_residuals(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every residual branch of a UNet or an autoencoder starts at zero, as SDXL's own did: it trains faster."""
    last = ("out_layers.3.weight", "proj_out.weight", "out.2.weight", "conv2.weight")
    return {name: torch.zeros_like(value) if name.endswith(last) else value for name, value in state.items()}


def weights(part: str, seed: int, architecture: Architecture = FIRST) -> dict[str, Tensor]:
    """Seeded weights of one part: "unet", "text_encoder", "vae", "image_encoder" or "realisid"."""
    if part == "text_encoder":
        return seeded(text_module(), seed)
    makers = {"unet": unet_module, "vae": vae_module, "image_encoder": image_encoder_module}
    return seeded(makers[part](architecture), seed) if part in makers else _realisid(seed, architecture)


def _realisid(seed: int, architecture: Architecture) -> dict[str, Tensor]:
    """A RealisID checkpoint's tensors, `local.*`, `global.*` and `id_projector.*`."""
    width = architecture.image_encoder_config()["hidden_size"]
    parts: Mapping[str, nn.Module] = {
        "local": branch_module(3, architecture),
        "global": branch_module(1, architecture),
        "id_projector": IDProjector(width, networks.CONTEXT_DIM, **CPU),
    }
    return {
        f"{part}.{name}": value
        for index, (part, module) in enumerate(parts.items())
        for name, value in seeded(module, seed + index).items()
    }
