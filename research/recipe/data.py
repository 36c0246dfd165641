"""Pictures of the face world, drawn once and kept in memory-mapped shards."""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from realisid_core.bootstrap import start_worker
from realisid_core.miniature import networks
from realisid_core.perception.faces import to_uint8

from ..world import Identity, caption, identity_vector, render, sample_identity, sample_scene, vary
from ..world.references import unsteady_crop

SHARD = 500
PEOPLE = (0.6, 0.2, 0.12, 0.08)  # how often one to four people
CROPS_OF_ONE = 2


def draw(folder: Path, shards: int, seed: int, kind: str, workers: int) -> None:
    """Draw the shards that are missing from `folder`; picture i depends on the seed and i alone."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [index for index in range(shards) if not _path(folder, index).exists()]
    draw_one = {"scenes": _scenes, "crops": _crops}[kind]
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=start_worker) as pool:
        jobs = [pool.submit(draw_one, folder, index, seed) for index in missing]
        for job in tqdm(jobs, desc=kind, unit="shard"):
            job.result()


def _path(folder: Path, index: int) -> Path:
    return folder / f"{index:05d}.npy"


def _scenes(folder: Path, index: int, seed: int) -> None:
    images, notes = [], []
    for number in range(index * SHARD, (index + 1) * SHARD):
        rng = np.random.default_rng([seed, number])
        people = int(rng.choice(len(PEOPLE), p=PEOPLE)) + 1
        scene = sample_scene(rng, people=people, overlap=people > 1 and rng.random() < 0.25)
        drawn = render(scene, networks.FIRST.image_size)
        images.append(drawn.image)
        notes.append({"caption": caption(scene), "boxes": [list(map(float, box)) for box in drawn.boxes]})
    _write(folder, index, np.stack(images), notes)


def _crops(folder: Path, index: int, seed: int) -> None:
    """Masked face crops, two of every identity in different pictures, with the identity's vector."""
    crops, notes = [], []
    for number in range(index * SHARD // CROPS_OF_ONE, (index + 1) * SHARD // CROPS_OF_ONE):
        rng = np.random.default_rng([seed, number])
        who = sample_identity(int(rng.integers(2**31)))
        for _ in range(CROPS_OF_ONE):
            crops.append(reference_crop(who, rng))
            notes.append(identity_vector(who).tolist())
    _write(folder, index, np.stack(crops), notes)


def reference_crop(who: Identity, rng: np.random.Generator) -> np.ndarray:
    """[128, 128, 3] uint8: a masked crop of somebody in any pose, clothes, style and size."""
    side = float(np.exp(rng.uniform(np.log(1 / 6), np.log(0.6))))
    scene = sample_scene(rng, people=1, sizes=(side, side))
    person = vary(replace(scene.people[0], identity=who), rng)
    drawn = render(replace(scene, people=(person,)), networks.FIRST.image_size)
    crop = unsteady_crop(drawn, rng, (0.9, 1.3), networks.FIRST.image_encoder_config()["image_size"])
    return to_uint8(crop)


def _write(folder: Path, index: int, images: np.ndarray, notes: list) -> None:
    """The picture file comes last: where it exists, the shard is whole."""
    path = _path(folder, index)
    path.with_suffix(".json").write_text(json.dumps(notes), encoding="utf-8")
    unfinished = path.with_suffix(".part.npy")
    np.save(unfinished, images)
    os.replace(unfinished, path)


class Pictures:
    """What `draw` wrote, or its first `shards`. Indexing gives uint8 [H, W, 3]; `notes` is one list over all."""

    def __init__(self, folder: Path, shards: int | None = None):
        paths = sorted(path for path in folder.glob("*.npy") if not path.stem.endswith(".part"))[:shards]
        if not paths:
            raise FileNotFoundError(f"No pictures in {folder}. Draw them first: recipe data.")
        self.shards = [np.load(path, mmap_mode="r") for path in paths]
        self.notes = [note for path in paths for note in json.loads(path.with_suffix(".json").read_text("utf-8"))]

    def __len__(self) -> int:
        return len(self.notes)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.shards[index // SHARD][index % SHARD]
