"""What the miniature is made of: SDXL's own classes with few channels.

| part | the host's class | size |
| --- | --- | --- |
| UNet | `model_base.SDXL` | 12-channel latents, 3 levels of 128 channels, attention on the lower two |
| branches | `cldm.ControlNet` | the UNet's encoder and middle, hints of 3 and 1 channels |
| VAE | `AutoencoderKL` in `sd.VAE` | factor 8 |
| text encoder | `SDClipModel` in `sd.CLIP` | 2 layers of width 192 behind SDXL's tokenizer |
| image encoder | `clip_vision.ClipVisionModel` | 4 layers of width 160, 65 tokens from 128 x 128 pixels |

Channels are multiples of 64 because the host's ControlNet loader gives every attention head 64 of them.
"""

import copy
import json
from pathlib import Path

import comfy.cldm.cldm
import comfy.clip_vision
import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.ops
import comfy.sd
import comfy.sd1_clip
import comfy.sdxl_clip
import comfy.supported_models
import comfy.supported_models_base
from comfy.controlnet import ControlNet
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ..host import core_patcher

IMAGE_SIZE = 256
LATENT_CHANNELS = 12
CONTEXT_DIM = 192
IMAGE_TOKENS, IMAGE_WIDTH = 65, 160
LOCAL_SIZE = 16

VOCABULARY_SIZE = 49408
IMAGE_ENCODER_CONFIG = Path(__file__).with_name("image_encoder.json")

TEXT_CONFIG = {
    "num_hidden_layers": 2,
    "hidden_size": CONTEXT_DIM,
    "num_attention_heads": 3,
    "intermediate_size": 4 * CONTEXT_DIM,
    "hidden_act": "gelu",
    "max_position_embeddings": 77,
    "eos_token_id": 49407,
}

VAE_CONFIG = {
    "embed_dim": LATENT_CHANNELS,
    "ddconfig": {
        "double_z": True,
        "z_channels": LATENT_CHANNELS,
        "resolution": IMAGE_SIZE,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 32,
        "ch_mult": [1, 1, 2, 2],
        "num_res_blocks": 1,
        "attn_resolutions": [],
        "dropout": 0.0,
    },
}

# The pooled text, and SDXL's six size numbers in 256 sinusoids each.
ADM_CHANNELS = CONTEXT_DIM + 6 * 256

UNET_CONFIG = {
    "image_size": 32,
    "in_channels": LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    "model_channels": 128,
    "channel_mult": [1, 1, 1],
    "num_res_blocks": [2, 2, 1],
    "transformer_depth": [0, 0, 1, 1, 1],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [0, 0, 0, 1, 1, 1, 1, 1],
    "context_dim": CONTEXT_DIM,
    "num_classes": "sequential",
    "adm_in_channels": ADM_CHANNELS,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": True,
    "use_temporal_attention": False,
    "use_temporal_resblock": False,
    "use_checkpoint": False,
    "legacy": False,
}


class MiniatureLatents(comfy.latent_formats.LatentFormat):
    """The VAE's own scale is folded into its weights, so that latents come out with a deviation of one."""

    latent_channels = LATENT_CHANNELS


class MiniatureSDXL(comfy.supported_models.SDXL):
    """SDXL's model definition with the miniature's sizes; predicts v."""

    latent_format = MiniatureLatents

    def model_type(self, state_dict, prefix=""):
        return comfy.model_base.ModelType.V_PREDICTION

    def inpaint_model(self) -> bool:
        return False  # the host takes more than 4 latent channels for a model with inpainting inputs


class MiniatureText(comfy.sd1_clip.SDClipModel):
    """The text transformer: width 192, context from its last layer."""

    def __init__(self, device="cpu", dtype=None, model_options=None):
        super().__init__(
            device=device,
            dtype=dtype,
            textmodel_json_config=copy.deepcopy(TEXT_CONFIG),
            special_tokens={"start": 49406, "end": 49407, "pad": 0},
            model_options=model_options or {},
        )


class MiniatureClip(comfy.sd1_clip.SD1ClipModel):
    """One text encoder, fed by the `g` half of SDXL's tokenizer, so that the nodes for either kind of prompt work."""

    def __init__(self, device="cpu", dtype=None, model_options=None):
        super().__init__(
            device=device, dtype=dtype, model_options=model_options or {}, clip_name="g", clip_model=MiniatureText
        )


def image_encoder_config() -> dict:
    """The image encoder's sizes, in the form of the host's own config files."""
    return json.loads(IMAGE_ENCODER_CONFIG.read_text(encoding="utf-8"))


def unet(state: dict[str, Tensor], plain: bool = False) -> ModelPatcher:
    """MODEL from the UNet's weights, on the device and in the dtype that the host chooses.

    Args:
        plain: wrapped so that a host's dynamic VRAM leaves it alone.
    """
    config = MiniatureSDXL(copy.deepcopy(UNET_CONFIG))
    load_device = comfy.model_management.get_torch_device()
    parameters = sum(value.numel() for value in state.values())
    dtype = comfy.model_management.unet_dtype(
        model_params=parameters, supported_dtypes=list(config.supported_inference_dtypes)
    )
    cast = comfy.model_management.unet_manual_cast(dtype, load_device, config.supported_inference_dtypes)
    config.set_inference_dtype(dtype, cast)
    offload_device = comfy.model_management.unet_offload_device()
    model = config.get_model(state, "", device=offload_device)
    _load(model.diffusion_model, state, "UNet")
    return (ModelPatcher if plain else core_patcher)(model, load_device, offload_device)


def branch_config() -> dict:
    """What the host's ControlNet is to be built with for the miniature, but for its hint."""
    config = {key: value for key, value in UNET_CONFIG.items() if key != "out_channels"}
    return {**copy.deepcopy(config), "num_head_channels": 64}


def branch(state: dict[str, Tensor]) -> ControlNet:
    """A branch's ControlNet from its weights. The host's loader does not know this architecture."""
    load_device = comfy.model_management.get_torch_device()
    dtype = comfy.model_management.unet_dtype(supported_dtypes=MiniatureSDXL.supported_inference_dtypes)
    cast = comfy.model_management.unet_manual_cast(dtype, load_device)
    network = comfy.cldm.cldm.ControlNet(
        **branch_config(),
        hint_channels=state["input_hint_block.0.weight"].shape[1],
        dtype=dtype,
        device=comfy.model_management.unet_offload_device(),
        operations=comfy.ops.pick_operations(dtype, cast),
    )
    network.load_state_dict(state, strict=False)
    return ControlNet(network, load_device=load_device, manual_cast_dtype=cast)


def clip(state: dict[str, Tensor]) -> comfy.sd.CLIP:
    """CLIP from the text encoder's weights (`clip_g.*`)."""
    target = comfy.supported_models_base.ClipTarget(comfy.sdxl_clip.SDXLTokenizer, MiniatureClip)
    text_encoder = comfy.sd.CLIP(target, parameters=sum(value.numel() for value in state.values()))
    _load(text_encoder.cond_stage_model, state, "text encoder")
    return text_encoder


def vae(state: dict[str, Tensor]) -> comfy.sd.VAE:
    """VAE from the autoencoder's weights."""
    autoencoder = comfy.sd.VAE(sd=state, config={"params": copy.deepcopy(VAE_CONFIG)})
    _load(autoencoder.first_stage_model, state, "VAE")  # the host's constructor only logs what does not fit
    autoencoder.latent_channels = LATENT_CHANNELS  # and assumes 4, which its tiled encoder uses
    return autoencoder


def image_encoder(state: dict[str, Tensor]) -> comfy.clip_vision.ClipVisionModel:
    """CLIP_VISION from the image encoder's weights; its penultimate layer is [N, 65, 160]."""
    encoder = comfy.clip_vision.ClipVisionModel(str(IMAGE_ENCODER_CONFIG))
    _load(encoder.model, state, "image encoder")
    return encoder


def _load(module: nn.Module, state: dict[str, Tensor], part: str) -> None:
    """Raises ValueError, naming the first key that is missing or foreign, where the weights are another network's."""
    missing, unexpected = module.load_state_dict(state, strict=False)
    missing = [key for key in missing if not key.endswith("logit_scale")]
    if missing or unexpected:
        raise ValueError(
            f"The miniature's {part}: {(missing + unexpected)[0]} is {'missing' if missing else 'foreign'}. "
            "The weights belong to another version; install the pack anew."
        )
