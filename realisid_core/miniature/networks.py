"""What the miniature is made of: SDXL's own classes with few channels.

| part | the host's class | size |
| --- | --- | --- |
| UNet | `model_base.SDXL` | 3 levels, of 128 channels (first) or 64, 128 and 192 (second), attention on the lower two |
| branches | `cldm.ControlNet` | the UNet's encoder and middle, hints of 3 and 1 channels |
| VAE | `AutoencoderKL` in `sd.VAE` | factor 8, 12 or 16 channels |
| text encoder | `SDClipModel` in `sd.CLIP` | 2 layers of width 192 behind SDXL's tokenizer |
| image encoder | `clip_vision.ClipVisionModel` | 4 layers of width 160 or 192, 65 tokens from 128 x 128 pixels |

The first ships. The second is in training (`research/recipe/second`).

Channels are multiples of 64 because the host's ControlNet loader gives every attention head 64 of them.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
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

from ..geometry import LATENT_CELL
from ..host import core_patcher

CONTEXT_DIM = 192
IMAGE_TOKENS = 65
VOCABULARY_SIZE = 49408

TEXT_CONFIG = {
    "num_hidden_layers": 2,
    "hidden_size": CONTEXT_DIM,
    "num_attention_heads": 3,
    "intermediate_size": 4 * CONTEXT_DIM,
    "hidden_act": "gelu",
    "max_position_embeddings": 77,
    "eos_token_id": 49407,
}

# The pooled text, and SDXL's six size numbers in 256 sinusoids each.
ADM_CHANNELS = CONTEXT_DIM + 6 * 256


@dataclass(frozen=True)
class Architecture:
    """What the first and the second miniature differ in.

    Attributes:
        image_size: px of a square picture's side.
        latent_channels: of the VAE.
        channels: of the UNet's first level, of its levels as multiples of that, of the VAE's as multiples of 32.
        image_encoder: the name of the image encoder's sizes, a file in the form of the host's own.
        local_size: latent cells of a side of the local branch's grid.
    """

    image_size: int
    latent_channels: int
    channels: int
    multiples: tuple[int, ...]
    vae_multiples: tuple[int, ...]
    image_encoder: str
    local_size: int

    def unet_config(self) -> dict:
        """What the host's UNet is to be built with."""
        return {
            "image_size": self.image_size // LATENT_CELL,
            "in_channels": self.latent_channels,
            "out_channels": self.latent_channels,
            "model_channels": self.channels,
            "channel_mult": list(self.multiples),
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

    def branch_config(self) -> dict:
        """What the host's ControlNet is to be built with, but for its hint."""
        config = self.unet_config()
        del config["out_channels"]
        return {**config, "num_head_channels": 64}

    def vae_config(self) -> dict:
        """What the host's autoencoder is to be built with; it gives the decoder one block more on every level."""
        return {
            "embed_dim": self.latent_channels,
            "ddconfig": {
                "double_z": True,
                "z_channels": self.latent_channels,
                "resolution": self.image_size,
                "in_channels": 3,
                "out_ch": 3,
                "ch": 32,
                "ch_mult": list(self.vae_multiples),
                "num_res_blocks": 1,
                "attn_resolutions": [],
                "dropout": 0.0,
            },
        }

    @property
    def image_encoder_file(self) -> Path:
        return Path(__file__).with_name(self.image_encoder)

    def image_encoder_config(self) -> dict:
        """The image encoder's sizes."""
        return json.loads(self.image_encoder_file.read_text(encoding="utf-8"))


FIRST = Architecture(256, 12, 128, (1, 1, 1), (1, 1, 2, 2), "image_encoder.json", 16)
SECOND = Architecture(384, 16, 64, (1, 2, 3), (1, 1, 2, 4), "image_encoder_second.json", 24)
FIRST_CONVOLUTION = "input_blocks.0.0.weight"
BY_CHANNELS = {architecture.channels: architecture for architecture in (FIRST, SECOND)}


def architecture_of(state: Mapping[str, Tensor]) -> Architecture:
    """Of which miniature a UNet or a branch is. Raises ValueError where it is of none."""
    first = state.get(FIRST_CONVOLUTION)
    if first is None or first.shape[0] not in BY_CHANNELS:
        found = "no first convolution" if first is None else f"a first convolution of {first.shape[0]} channels"
        expected = " or ".join(map(str, BY_CHANNELS))
        raise ValueError(f"The weights have {found}; the miniature's UNet and branches have {expected}.")
    return BY_CHANNELS[first.shape[0]]


class MiniatureLatents(comfy.latent_formats.LatentFormat):
    """The VAE's own scale is folded into its weights, so that latents come out with a deviation of one."""

    def __init__(self, channels: int):
        self.latent_channels = channels


class MiniatureSDXL(comfy.supported_models.SDXL):
    """SDXL's model definition with the miniature's sizes; predicts v."""

    def __init__(self, unet_config: dict):
        super().__init__(unet_config)
        self.latent_format = MiniatureLatents(unet_config["out_channels"])

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


def unet(state: dict[str, Tensor], plain: bool = False) -> ModelPatcher:
    """MODEL from the UNet's weights, on the device and in the dtype that the host chooses.

    Args:
        plain: wrapped so that a host's dynamic VRAM leaves it alone.
    """
    config = MiniatureSDXL(architecture_of(state).unet_config())
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


def branch(state: dict[str, Tensor]) -> ControlNet:
    """A branch's ControlNet from its weights. The host's loader does not know this architecture."""
    load_device = comfy.model_management.get_torch_device()
    dtype = comfy.model_management.unet_dtype(supported_dtypes=MiniatureSDXL.supported_inference_dtypes)
    cast = comfy.model_management.unet_manual_cast(dtype, load_device)
    network = comfy.cldm.cldm.ControlNet(
        **architecture_of(state).branch_config(),
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


def vae(state: dict[str, Tensor], architecture: Architecture) -> comfy.sd.VAE:
    """VAE from the autoencoder's weights."""
    autoencoder = comfy.sd.VAE(sd=state, config={"params": architecture.vae_config()})
    _load(autoencoder.first_stage_model, state, "VAE")  # the host's constructor only logs what does not fit
    autoencoder.latent_channels = architecture.latent_channels  # and assumes 4, which its tiled encoder uses
    return autoencoder


def image_encoder(state: dict[str, Tensor], architecture: Architecture) -> comfy.clip_vision.ClipVisionModel:
    """CLIP_VISION from the image encoder's weights; its penultimate layer is [N, 65, 160], of the second 192 wide."""
    encoder = comfy.clip_vision.ClipVisionModel(str(architecture.image_encoder_file))
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
