"""The sizes of the second miniature's parts, in the form of the host's own classes."""

import copy

import comfy.ldm.models.autoencoder
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
