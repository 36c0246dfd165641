"""The base of the second miniature: everybody in a picture has words and a place of their own in its caption."""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from safetensors.torch import load_file
from torch import Tensor
from tqdm import tqdm

from realisid_core.bootstrap import start_worker
from realisid_core.miniature import initial
from realisid_core.miniature.networks import SECOND

from ...world import PLACED_VOCABULARY, Scene, placed_caption, render, sample_scene
from ..base import Base, Scenes, Vocabulary, finished, fit
from ..run import Plan

SHARD = 200  # pictures
PEOPLE = (0.5, 0.25, 0.15, 0.1)  # how often one to four people
TOGETHER = 8  # pictures that are encoded at once


def scene_of(seed: int, number: int) -> Scene:
    """Picture `number` of a drawing; nothing else decides what it shows."""
    rng = np.random.default_rng([seed, 0xBA, number])
    people = int(rng.choice(len(PEOPLE), p=PEOPLE)) + 1
    return sample_scene(rng, people=people, overlap=people > 1 and rng.random() < 0.25, world=2)


def encode(weights: Path, folder: Path, shards: int, seed: int, workers: int) -> None:
    """Draw and encode the shards that are missing from `folder`, with the exported autoencoder in `weights`."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [index for index in range(shards) if not (folder / f"{index:05d}.npy").exists()]
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=start_worker) as pool:
        jobs = [pool.submit(encode_shard, weights, folder, index, seed) for index in missing]
        for job in tqdm(jobs, desc="latents", unit="shard"):
            job.result()


@torch.inference_mode()
def encode_shard(weights: Path, folder: Path, index: int, seed: int) -> None:
    """The latents [SHARD, C, S, S] float16 come last: where they exist, captions and boxes do."""
    model = initial.vae_module(SECOND)
    model.load_state_dict({key: value.float() for key, value in load_file(weights / "vae.safetensors").items()})
    model.eval()
    scenes = [scene_of(seed, number) for number in range(index * SHARD, (index + 1) * SHARD)]
    latents, notes = [], []
    for start in range(0, SHARD, TOGETHER):
        part = scenes[start : start + TOGETHER]
        drawn = [render(scene, SECOND.image_size) for scene in part]
        latents.append(_means(model, np.stack([one.image for one in drawn])))
        notes += [
            {"caption": placed_caption(scene), "boxes": [list(map(float, box)) for box in one.boxes]}
            for scene, one in zip(part, drawn, strict=True)
        ]
    path = folder / f"{index:05d}.npy"
    path.with_suffix(".json").write_text(json.dumps(notes), encoding="utf-8")
    unfinished = path.with_suffix(".part.npy")
    np.save(unfinished, torch.cat(latents).half().numpy())
    os.replace(unfinished, path)


def _means(model: torch.nn.Module, images: np.ndarray) -> Tensor:
    pixels = rearrange(torch.from_numpy(images), "n h w c -> n c h w").float() / 127.5 - 1
    return model.quant_conv(model.encoder(pixels)).chunk(2, dim=1)[0]


def train(latents: Path, folder: Path, plan: Plan, windows: bool) -> None:
    """Train on all latents there are. Resumes where `folder` holds a state."""
    paths = finished(latents)
    if not paths:
        raise FileNotFoundError(f"No latents in {latents}. Draw them first: recipe.second latents.")
    notes = [note for path in paths for note in json.loads(path.with_suffix(".json").read_text("utf-8"))]
    vocabulary = Vocabulary(PLACED_VOCABULARY)
    scenes = Scenes(torch.from_numpy(np.concatenate([np.load(path) for path in paths])), notes, vocabulary)
    fit(Base(vocabulary, plan.seed, SECOND), scenes, vocabulary, folder, plan, windows)
