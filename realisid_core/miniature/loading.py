"""Reads the miniature: MODEL, CLIP, VAE, CLIP_VISION and REALISID_MODEL, all of the host's own kinds."""

import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import comfy.clip_vision
import comfy.sample
import comfy.sd
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from safetensors import safe_open
from torch import Tensor

from .. import checkpoint
from ..geometry import LATENT_CELL
from ..identity.photo_path import WORLD
from . import initial, networks

WEIGHTS = Path(__file__).with_name("weights")
SEED = 0
SAMPLER, SCHEDULER = "ddim", "ddim_uniform"  # the paper's
PARTS = ("unet", "text_encoder", "vae", "image_encoder", "realisid")

TOKEN_EMBEDDING = "clip_g.transformer.text_model.embeddings.token_embedding"


def realisid_config(architecture: networks.Architecture) -> checkpoint.RealisIDConfig:
    """What a RealisID checkpoint for this miniature says of itself, when made as the recipe makes it."""
    return checkpoint.RealisIDConfig(
        base="miniature",
        context_dim=networks.CONTEXT_DIM,
        clip_vision="miniature",
        clip_tokens=networks.IMAGE_TOKENS,
        clip_width=architecture.image_encoder_config()["hidden_size"],
        local_size=architecture.local_size,
        **asdict(WORLD),
    )


@dataclass(frozen=True)
class Miniature:
    """The whole system. `untrained` names the parts whose weights were made from the seed."""

    model: ModelPatcher
    clip: comfy.sd.CLIP
    vae: comfy.sd.VAE
    clip_vision: comfy.clip_vision.ClipVisionModel
    realisid: checkpoint.RealisIDModel
    untrained: tuple[str, ...]
    architecture: networks.Architecture

    def describe(self) -> str:
        """One sentence on where the weights come from."""
        if not self.untrained:
            return "The miniature, with its trained weights."
        return (
            f"The miniature with random weights (seed {SEED}) in its {', '.join(self.untrained)}: "
            "it runs, but its pictures show nothing."
        )

    def prompt(self, text: str) -> list[list]:
        """The text as a conditioning."""
        return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))

    @torch.inference_mode()
    def sample(
        self,
        positive: list[list],
        negative: list[list],
        seed: int,
        steps: int,
        guidance: float,
        model: ModelPatcher | None = None,
    ) -> Tensor:
        """A square picture [H, W, 3] in 0..1 by the host's sampler; `model` is a patched clone of the miniature's."""
        model = model or self.model
        cells = self.architecture.image_size // LATENT_CELL
        empty = comfy.sample.fix_empty_latent_channels(model, torch.zeros(1, 4, cells, cells))
        noise = comfy.sample.prepare_noise(empty, seed)
        latent = comfy.sample.sample(
            model, noise, steps, guidance, SAMPLER, SCHEDULER, positive, negative, empty, disable_pbar=True, seed=seed
        )
        return self.vae.decode(latent)[0]


def load_miniature(weights: Path = WEIGHTS) -> Miniature:
    """The miniature from the folder `weights`; parts that have no file there are made from a fixed seed.

    Raises:
        ValueError: naming the part whose file does not fit its network.
    """
    untrained = tuple(part for part in PARTS if not (weights / f"{part}.safetensors").is_file())
    architecture = architecture_in(weights)
    image_encoder = networks.image_encoder(_weights(weights, "image_encoder", architecture), architecture)
    miniature = Miniature(
        model=load_unet(weights),
        clip=networks.clip(expand_vocabulary(_weights(weights, "text_encoder"))),
        vae=networks.vae(_weights(weights, "vae", architecture), architecture),
        clip_vision=image_encoder,
        realisid=replace(_realisid(weights, architecture), image_encoder=image_encoder),
        untrained=untrained,
        architecture=architecture,
    )
    logging.info(miniature.describe())
    return miniature


def load_unet(weights: Path = WEIGHTS, disable_dynamic: bool = False) -> ModelPatcher:
    """MODEL alone. Newer hosts call this again where they need a second copy: to compile it, for hooks, for more GPUs.

    Args:
        disable_dynamic: how such a host asks for a copy that its dynamic VRAM leaves alone.
    """
    patcher = networks.unet(_weights(weights, "unet"), plain=disable_dynamic)
    if (weights / "preview.json").is_file():
        for name, value in json.loads((weights / "preview.json").read_text(encoding="utf-8")).items():
            setattr(patcher.model.latent_format, name, value)
    if hasattr(patcher, "cached_patcher_init"):
        patcher.cached_patcher_init = load_unet, (weights,)
    return patcher


def architecture_in(weights: Path) -> networks.Architecture:
    """Of which miniature a folder of weights is: of the first where it has no UNet."""
    file = weights / "unet.safetensors"
    if not file.is_file():
        return networks.FIRST
    with safe_open(file, "pt") as tensors:
        return networks.architecture_of({networks.FIRST_CONVOLUTION: tensors.get_tensor(networks.FIRST_CONVOLUTION)})


def _weights(folder: Path, part: str, architecture: networks.Architecture = networks.FIRST) -> dict[str, Tensor]:
    path = folder / f"{part}.safetensors"
    if path.is_file():
        return comfy.utils.load_torch_file(str(path), safe_load=True)
    return initial.weights(part, SEED, architecture)


def _realisid(folder: Path, architecture: networks.Architecture) -> checkpoint.RealisIDModel:
    path = folder / "realisid.safetensors"
    if path.is_file():
        return checkpoint.load_checkpoint(path)
    tensors = initial.weights("realisid", SEED, architecture)
    return checkpoint.build(realisid_config(architecture), tensors, "miniature")


def expand_vocabulary(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The token embedding [49408, D] from the rows that the face world's words use.

    A trained file holds `….rows` [R + 1, D] and `….tokens` [R]: row i belongs to token i of `tokens`, and the last row
    to every other token. A state that already has the whole table comes back as it is.
    """
    if f"{TOKEN_EMBEDDING}.rows" not in state:
        return state
    state = dict(state)
    rows, tokens = state.pop(f"{TOKEN_EMBEDDING}.rows"), state.pop(f"{TOKEN_EMBEDDING}.tokens")
    table = rows[-1:].repeat(networks.VOCABULARY_SIZE, 1)
    table[tokens.long()] = rows[:-1]
    return {**state, f"{TOKEN_EMBEDDING}.weight": table}
