"""What differs between versions of ComfyUI, asked in one place."""

import comfy.model_patcher
import torch
from comfy.model_patcher import ModelPatcher
from torch import nn


def core_patcher(module: nn.Module, load_device: torch.device, offload_device: torch.device) -> ModelPatcher:
    """A ModelPatcher of the kind that the host gives its own models.

    Newer hosts decide at start-up which that is (`CoreModelPatcher`): under dynamic VRAM, models of any other kind are
    moved as a whole and may be evicted. ComfyUI 0.3.75 has one kind.
    """
    kind = getattr(comfy.model_patcher, "CoreModelPatcher", ModelPatcher)
    return kind(module, load_device=load_device, offload_device=offload_device)
