"""The frozen text-to-image model that the branches are trained for."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import comfy.model_base
import comfy.model_management
import comfy.sd
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..miniature.loading import WEIGHTS, architecture_in, load_miniature
from .loss import TRAINABLE_TYPES

MINIATURE = "miniature"
TEXT_TOKENS = 77
CAPTIONS_KEPT = 4096


@dataclass(frozen=True)
class Text:
    """`p_text`: context [1, 77, D] and pooled [1, P], float16 on the CPU."""

    context: Tensor
    pooled: Tensor


class Base:
    """A base model as ComfyUI loaded it.

    Attributes:
        name: the architecture, as a RealisID checkpoint's config names it.
        patcher, clip, vae: the host's MODEL, CLIP and VAE; a checkpoint file may lack the last two.
    """

    def __init__(self, name: str, patcher: ModelPatcher, clip: comfy.sd.CLIP | None, vae: comfy.sd.VAE | None):
        self.name, self.patcher, self.clip, self.vae = name, patcher, clip, vae
        self.text = lru_cache(CAPTIONS_KEPT)(self._text)
        self._sizes = lru_cache(CAPTIONS_KEPT)(self._embedded_sizes)

    @property
    def model(self) -> comfy.model_base.SDXL:
        return self.patcher.model

    @property
    def unet_config(self) -> dict:
        """The arguments that the host built the UNet with."""
        return self.model.model_config.unet_config

    def freeze(self, device: torch.device, dtype: torch.dtype) -> None:
        """Make it ready to train against: no gradients to its weights, and those on `device` in `dtype`."""
        self.model.requires_grad_(False).eval()
        self.model.to(device)
        self.model.diffusion_model.to(dtype)
        self.model.diffusion_model.dtype = dtype
        self.model.manual_cast_dtype = None

    def take_back(self, device: torch.device) -> None:
        """Put the model on `device` and out of the host's books, once the host has sampled with it.

        What the host has loaded it may offload at any time to make room, in the midst of a training step too.
        """
        comfy.model_management.unload_all_models()
        self.model.to(device)

    def _text(self, caption: str) -> Text:
        if self.clip is None:
            raise ValueError("The base checkpoint holds no text encoder; give one that does, as SDXL checkpoints do.")
        rounding = torch.autocast(self.clip.patcher.load_device.type, enabled=False)  # of the training step's
        with torch.no_grad(), rounding:
            context, pooled = self.clip.encode_from_tokens(self.clip.tokenize(caption), return_pooled=True)
        return Text(context[:, :TEXT_TOKENS].half().cpu(), pooled.half().cpu())

    def prompt(self, caption: str) -> list[list]:
        """The caption as the host's CONDITIONING."""
        text = self.text(caption)
        return [[text.context.float(), {"pooled_output": text.pooled.float()}]]

    def vector(self, pooled: Tensor, sizes: Sequence[tuple[int, ...]]) -> Tensor:
        """The UNet's vector conditioning, [B, A].

        Args:
            pooled: [B, P].
            sizes: for each sample SDXL's (height, width, crop top, crop left, target height, target width).
        """
        return torch.cat([pooled, torch.cat([self._sizes(size) for size in sizes]).to(pooled)], dim=1)

    def _embedded_sizes(self, size: tuple[int, ...]) -> Tensor:
        names = ("height", "width", "crop_h", "crop_w", "target_height", "target_width")
        return self.model.encode_adm(pooled_output=torch.zeros(1, 0), **dict(zip(names, size, strict=True)))


def is_miniature(name: str) -> bool:
    """Whether `--base` names the miniature: "miniature", or a folder that holds its weights."""
    return name == MINIATURE or Path(name).is_dir()


def miniature_weights(name: str) -> Path:
    return WEIGHTS if name == MINIATURE else Path(name)


def image_size(name: str) -> int:
    """Side in px of the square pictures that the base draws."""
    return architecture_in(miniature_weights(name)).image_size if is_miniature(name) else 1024


def _read(name: str, dtype: torch.dtype) -> tuple[ModelPatcher, comfy.sd.CLIP | None, comfy.sd.VAE | None]:
    """A checkpoint file as the host reads it. Raises ValueError where the host cannot."""
    try:
        patcher, clip, vae, _ = comfy.sd.load_checkpoint_guess_config(name, model_options={"dtype": dtype})
    except (torch.OutOfMemoryError, FileNotFoundError):
        raise
    except Exception as error:  # what the host's readers raise differs by version and by what is broken
        raise ValueError(
            f"{name} is no checkpoint that ComfyUI can read ({error}). Give an SDXL checkpoint."
        ) from error
    if patcher is None:
        raise ValueError(f"{name} holds no diffusion model. Give an SDXL checkpoint.")
    return patcher, clip, vae


def load_base(name: str, dtype: torch.dtype = torch.float32) -> Base:
    """The base that `--base` names: the miniature, or a checkpoint file that ComfyUI reads, its UNet in `dtype`.

    Raises:
        ValueError: a file that the host cannot read, a model that is not of SDXL's architecture or made for
            inpainting, or one that predicts neither ε nor v.
    """
    if is_miniature(name):
        parts = load_miniature(miniature_weights(name))
        base = Base(MINIATURE, parts.model, parts.clip, parts.vae)
    else:
        patcher, clip, vae = _read(name, dtype)
        base = Base("sdxl", patcher, clip, vae)
    channels, latent = base.unet_config["in_channels"], base.model.latent_format.latent_channels
    if isinstance(base.model, comfy.model_base.SDXL) and channels != latent:
        raise ValueError(
            f"The UNet of {name} takes {channels} channels, {latent} of them the latent: it was made for inpainting or "
            "editing. Give the plain model that it was made from."
        )
    if not isinstance(base.model, comfy.model_base.SDXL):
        raise ValueError(f"{name} is of type {type(base.model).__name__}; RealisID trains for SDXL and its fine-tunes.")
    if base.model.model_type not in TRAINABLE_TYPES:
        raise ValueError(f"{name} predicts {base.model.model_type.name}; the trainer knows EPS and V_PREDICTION.")
    return base
