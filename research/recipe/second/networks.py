"""The sizes of the second miniature's parts, in the form of the host's own classes."""

import copy
import json
from pathlib import Path

import comfy.clip_model
import comfy.ldm.models.autoencoder
import comfy.ops
import torch
from torch import nn

IMAGE_SIZE = 384
LATENT_CHANNELS = 16

# 2.8 M parameters, 1.7 M of them in the decoder: the host gives it one block more on every level.
VAE_CONFIG = {
    "embed_dim": LATENT_CHANNELS,
    "ddconfig": {
        "double_z": True,
        "z_channels": LATENT_CHANNELS,
        "resolution": IMAGE_SIZE,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 32,
        "ch_mult": [1, 1, 2, 4],
        "num_res_blocks": 1,
        "attn_resolutions": [],
        "dropout": 0.0,
    },
}


def vae_module() -> nn.Module:
    """The autoencoder on the CPU in float32, its weights not yet set."""
    return comfy.ldm.models.autoencoder.AutoencoderKL(**copy.deepcopy(VAE_CONFIG))


def image_encoder_config() -> dict:
    """The image encoder's sizes, in the form of the host's own config files: 1.9 M parameters, 65 tokens."""
    return json.loads(Path(__file__).with_name("image_encoder.json").read_text(encoding="utf-8"))


def image_encoder_module() -> nn.Module:
    """The image encoder on the CPU in float32, its weights not yet set."""
    options = {"dtype": torch.float32, "device": "cpu", "operations": comfy.ops.disable_weight_init}
    return comfy.clip_model.CLIPVisionModelProjection(image_encoder_config(), **options)
