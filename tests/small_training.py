"""What the training tests share: a base small enough to train in a test, random shards, a run of a few steps."""

import copy
import io
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from accelerate.state import GradientState
from comfy.model_patcher import ModelPatcher
from PIL import Image

from realisid_core.identity.photo_path import WORLD
from realisid_core.miniature import networks
from realisid_core.miniature.initial import seeded
from realisid_core.miniature.loading import load_miniature
from realisid_core.training.base import Base
from realisid_core.training.loop import Training
from realisid_core.training.settings import Settings
from realisid_core.training.setup import make_accelerator
from realisid_core.training.shards import DatasetInfo, npy, write_shard

CELLS, CHANNELS = 16, networks.FIRST.latent_channels
TOKENS, WIDTH = networks.IMAGE_TOKENS, networks.FIRST.image_encoder_config()["hidden_size"]
SMALLER = {
    "model_channels": 64,
    "channel_mult": [1, 1],
    "num_res_blocks": [1, 1],
    "transformer_depth": [0, 1],
    "transformer_depth_output": [0, 0, 1, 1],
}


@lru_cache(1)
def miniature():
    return load_miniature(weights=Path("no such folder"))


def small_base() -> Base:
    """SDXL's classes with 64 channels on two levels, random weights; text encoder and VAE are the miniature's."""
    config = networks.MiniatureSDXL({**networks.FIRST.unet_config(), **copy.deepcopy(SMALLER)})
    model = config.get_model({}, "", device="cpu")
    model.diffusion_model.load_state_dict(seeded(model.diffusion_model, seed=7))
    parts = miniature()
    cpu = torch.device("cpu")
    return Base("small", ModelPatcher(model, cpu, cpu), parts.clip, parts.vae)


def random_shards(folder: Path, shards: int = 2, samples: int = 5, base: str = "small") -> Path:
    """Shards as `prepare` writes them, of noise; with square faces of different sizes in different places."""
    folder.mkdir(parents=True, exist_ok=True)
    image_size = CELLS * 8
    DatasetInfo(base, image_size, CHANNELS, "miniature", TOKENS, WIDTH, replace(WORLD, keep="face")).write(folder)
    random = np.random.default_rng(0)
    for number in range(shards):
        write_shard(folder, number, [_random_sample(random, image_size) for _ in range(samples)], {"dropped": {}})
    return folder


def random_samples(seed: int, count: int) -> list[dict[str, bytes]]:
    """More of them, for a shard that comes later."""
    random = np.random.default_rng(seed)
    return [_random_sample(random, CELLS * 8) for _ in range(count)]


def _random_sample(random: np.random.Generator, size: int) -> dict[str, bytes]:
    side = random.uniform(0.2, 0.6)
    landmarks = random.random((478, 2)) * side + random.random(2) * (1 - side)
    picture = io.BytesIO()
    Image.new("RGB", (16, 16)).save(picture, "JPEG")
    colour = random.choice(["red", "blue"])
    facts = {
        "caption": f"a person in {colour}",
        "source": f"noise {random.integers(10**6)}",
        "sizes": [size, size, 0, 0, size, size],
    }
    return {
        "latent.npy": npy(random.standard_normal((CHANNELS, size // 8, size // 8)).astype(np.float16)),
        "features.npy": npy(random.standard_normal((TOKENS, WIDTH)).astype(np.float16)),
        "landmarks.npy": npy(landmarks.astype(np.float32)),
        "json": json.dumps(facts).encode(),
        "jpg": picture.getvalue(),
    }


def training(data: Path, output: Path, **changes) -> Training:
    """A run on the small base, ready for its first step."""
    defaults = {
        "steps": 4,
        "batch_size": 2,
        "learning_rate": 1e-3,
        "local_size": 8,
        "precision": "no",
        "workers": 0,
        "ema": 0.9,
        "save_every": 0,
        "sample_every": 0,
        "log_every": 1,
    }
    settings = Settings(base="small", data=data, output=output, **(defaults | changes))
    GradientState._reset_state()  # accelerate keeps it for the process, which has one run outside of tests
    return Training(settings, make_accelerator(settings), small_base())


def weights(module) -> dict:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
