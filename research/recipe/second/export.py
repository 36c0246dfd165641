"""From the second miniature's training states to the files that the pack loads."""

from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from realisid_core.miniature import initial
from realisid_core.miniature.networks import SECOND

from ...world import PLACED_VOCABULARY, placed_caption, render
from ..base import Base, Vocabulary
from ..export import averaged, base_files, folded, latents_of, write, write_preview
from .base import scene_of
from .encoder import Reader

FIRST = 23 << 33  # the pictures' seeds; nothing else uses these


def export(runs: Path, weights: Path) -> None:
    """Write every part that has a training state in `runs`, averaged weights, float16."""
    weights.mkdir(parents=True, exist_ok=True)
    trained = {name for name in ("autoencoder", "encoder", "base") if (runs / name / "state.pt").exists()}
    if "autoencoder" in trained:
        model, images = averaged(initial.vae_module(SECOND), runs / "autoencoder"), _images(100)
        write(folded(model.state_dict(), latents_of(model, images)), weights / "vae.safetensors")
        write_preview(model, images, weights)
    if "encoder" in trained:
        reader = averaged(Reader(initial.image_encoder_module(SECOND)), runs / "encoder")
        write(reader.encoder.state_dict(), weights / "image_encoder.safetensors")
    if "base" in trained:
        vocabulary = Vocabulary(PLACED_VOCABULARY)
        for file, state in base_files(Base(vocabulary, 0, SECOND), vocabulary, runs).items():
            write(state, weights / f"{file}.safetensors")


def _images(count: int) -> Tensor:
    """[count, 3, S, S] in -1..1."""
    drawn = np.stack([render(scene_of(FIRST, number), SECOND.image_size).image for number in range(count)])
    return rearrange(torch.from_numpy(drawn), "n h w c -> n c h w").float() / 127.5 - 1


def captions(count: int, seed: int) -> list[str]:
    """Of the second face world's scenes."""
    return [placed_caption(scene_of(FIRST + seed, number)) for number in range(count)]
