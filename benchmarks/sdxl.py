"""SDXL's own architecture with random weights: what a step costs does not depend on the values."""

import copy

import comfy.cldm.cldm
import comfy.model_management
import comfy.ops
import comfy.supported_models
import numpy as np
import torch
from comfy.controlnet import ControlNet
from comfy.model_patcher import ModelPatcher

from realisid_core.config import RealisIDConfig
from realisid_core.geometry import FaceBox
from realisid_core.identity.clip_projector import IDProjector
from realisid_core.identity.encoder import IDEmbedding
from realisid_core.methods import METHODS
from realisid_core.model import RealisIDModel
from realisid_core.persons import Person

UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "channel_mult": [1, 2, 4],
    "num_res_blocks": [2, 2, 2],
    "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_middle": 10,
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
    "context_dim": 2048,
    "num_classes": "sequential",
    "adm_in_channels": 2816,
    "num_head_channels": 64,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": True,
    "use_temporal_attention": False,
    "use_temporal_resblock": False,
    "use_checkpoint": False,
    "legacy": False,
}
TOKENS = 77


def randomise(module: torch.nn.Module) -> torch.nn.Module:
    """Small random weights, so that no value overflows and none is denormal."""
    for name, parameter in module.named_parameters():
        if parameter.ndim == 1:
            parameter.data.fill_(1.0 if name.endswith("weight") else 0.0)
        else:
            parameter.data.uniform_(-0.02, 0.02)
    return module.eval()


def sdxl(dtype: torch.dtype) -> ModelPatcher:
    """MODEL with 2.57 billion parameters in `dtype`, in the host's care."""
    config = comfy.supported_models.SDXL(copy.deepcopy(UNET))
    config.set_inference_dtype(dtype, None)
    device = comfy.model_management.get_torch_device()
    model = config.get_model({}, "", device=device)
    randomise(model.diffusion_model)
    return ModelPatcher(model, load_device=device, offload_device=comfy.model_management.unet_offload_device())


def controlnet(dtype: torch.dtype, hint_channels: int) -> ControlNet:
    """A ControlNet with 1.25 billion parameters in `dtype`."""
    device = comfy.model_management.get_torch_device()
    config = {key: value for key, value in UNET.items() if key not in ("out_channels", "transformer_depth_output")}
    network = comfy.cldm.cldm.ControlNet(
        **config, hint_channels=hint_channels, dtype=dtype, device=device, operations=comfy.ops.disable_weight_init
    )
    return ControlNet(randomise(network), load_device=device)


def realisid(dtype: torch.dtype, local_size: int) -> RealisIDModel:
    """Both branches at full size, and a projector for CLIP-ViT-H."""
    config = RealisIDConfig(local_size=local_size)
    device = comfy.model_management.get_torch_device()
    projector = randomise(IDProjector(config.clip_width, config.context_dim, device=device, dtype=torch.float32))
    patcher = ModelPatcher(projector, load_device=device, offload_device=torch.device("cpu"))
    parts = {"local": controlnet(dtype, 3), "global": controlnet(dtype, 1), "id_projector": patcher}
    return RealisIDModel(METHODS["realisid"], config, parts, "random weights")


def text(model: ModelPatcher, seed: int) -> list:
    """A conditioning as a prompt gives it."""
    context = torch.randn(1, TOKENS, UNET["context_dim"], generator=torch.Generator().manual_seed(seed))
    return [[context, {"pooled_output": torch.zeros(1, 1280)}]]


def people(number: int, tokens: int, side: int) -> list[Person]:
    """`number` persons in a row of boxes on a square frame of `side` pixels."""
    generator = np.random.default_rng(0)
    size = min(0.3, 0.9 / number)
    return [
        Person(
            IDEmbedding(torch.randn(1, tokens, UNET["context_dim"])),
            {"landmarks_xy": generator.uniform(0, 100, (478, 2)), "bbox_xyxy": np.array([0.0, 0.0, 100.0, 100.0])},
            FaceBox(0.05 + 0.9 * i / number, 0.3, size, size),
            (side, side),
        )
        for i in range(number)
    ]
