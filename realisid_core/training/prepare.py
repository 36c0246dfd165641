"""`prepare`: pictures with captions → shards, by several processes, resumable, with a report of what was dropped."""

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import comfy.clip_vision
import comfy.sd
import numpy as np
import torch
from tqdm import tqdm

from ..bootstrap import start_worker
from ..identity.clip_projector import clip_features, fingerprint_of
from ..identity.photo_path import PhotoPath
from ..miniature.loading import load_miniature
from .base import MINIATURE, is_miniature, miniature_weights
from .pictures import Portrait, contact_sheet, thumbnail
from .shards import (
    FORMAT_VERSION,
    REPORT,
    SEVERAL_FACES,
    DatasetInfo,
    Shards,
    is_done,
    npy,
    read_npy,
    shard_reports,
    write_atomically,
    write_shard,
)

AT_ONCE = 8  # pictures encoded together
SIZE_STEP = 64  # pixels: eight latent cells, which the UNet halves twice, as SDXL is trained
WORK, SHEET = "work.json", "contact_sheet.jpg"
NAMES_A_REASON = 1000


class PictureSource(Protocol):
    """Where the pictures of a data set come from. Every process gets a copy of it.

    Attributes:
        image_size: side of the square pictures, in pixels.
        faces: at most so many faces in a sample.
        photo_path: from the photo to the crop that the image encoder sees.
    """

    image_size: int
    faces: int
    photo_path: PhotoPath

    def settings(self) -> Mapping[str, object]:
        """What decides the pictures, ready for JSON: where it has changed, a begun folder is not gone on with."""
        ...

    def items(self) -> Sequence[Any]:
        """One work item a shard, ready for JSON. Raises ValueError where there is nothing to do."""
        ...

    def portraits(self, item: Any, dropped: dict[str, list[str]]) -> Iterator[Portrait]:
        """The pictures of an item. `dropped` gets the names of those that are not used, by reason."""
        ...


@dataclass(frozen=True)
class Job:
    """What every process is told.

    Attributes:
        source: of the pictures.
        base, clip_vision: whose VAE, and which image encoder (a file; for the miniature its own).
        processes: shards made at once.
    """

    output: Path
    base: str
    source: PictureSource
    clip_vision: str | None = None
    processes: int = 1


def prepare(job: Job) -> dict:
    """Fill `job.output`; shards that are already there are left. Returns the report, which is also in report.json.

    Raises:
        ValueError: no pictures at all, a size that the networks cannot halve, or a folder that was filled with other
            settings.
    """
    if (size := job.source.image_size) < SIZE_STEP or size % SIZE_STEP:
        raise ValueError(
            f"Pictures of {size} pixels cannot be trained on; --image-size takes multiples of {SIZE_STEP}."
        )
    job.output.mkdir(parents=True, exist_ok=True)
    dataset_info(job).write(job.output)
    items = work_items(job)
    missing = [number for number in range(len(items)) if not is_done(job.output, number)]
    if missing:
        (job.output / REPORT).unlink(missing_ok=True)  # it says that there is no more to come
    start = time.perf_counter()
    with tqdm(total=len(items), initial=len(items) - len(missing), unit="shard") as bar:
        for _ in _run(job, [(number, items[number]) for number in missing]):
            bar.update()
    return summarise(job.output, time.perf_counter() - start)


def _run(job: Job, work: list) -> Iterator[int]:
    if job.processes <= 1:
        yield from (make_shard(job, number, item) for number, item in work)
        return
    with ProcessPoolExecutor(job.processes, get_context("spawn"), initializer=start_worker) as pool:
        waiting = [pool.submit(make_shard, job, number, item) for number, item in work]
        try:
            for done in as_completed(waiting):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def work_items(job: Job) -> list:
    """One item for each shard; written down once, so that resuming does not depend on what files came since.

    Raises ValueError where the folder was begun with other settings, naming them.
    """
    path = job.output / WORK
    settings = dict(job.source.settings())
    if path.is_file():
        begun = json.loads(path.read_text(encoding="utf-8"))
        known = begun["settings"]
        if differing := [f"{key} {known.get(key)!r}" for key in settings if settings[key] != known.get(key)]:
            raise ValueError(
                f"{job.output} was begun with {', '.join(differing)}. Give the same to go on, or another --output."
            )
        return begun["items"]
    items = list(job.source.items())
    write_atomically(path, json.dumps({"settings": settings, "items": items}).encode())
    return items


def make_shard(job: Job, number: int, item: object) -> int:
    """One work item from end to end. Returns the number of samples kept."""
    dropped: dict[str, list[str]] = defaultdict(list)
    portraits = job.source.portraits(item, dropped)
    return write_shard(job.output, number, encode(job, portraits, dropped), {"dropped": dropped})


@torch.no_grad()
def encode(job: Job, portraits: Iterator[Portrait], dropped: dict[str, list[str]]) -> Iterator[dict[str, bytes]]:
    """The members of each sample; one with a value that is not finite is dropped: it would undo the whole training."""
    vae, clip_vision = encoders(job.base, job.clip_vision)
    while group := list(islice(portraits, AT_ONCE)):
        pixels = torch.from_numpy(np.stack([portrait.image for portrait in group])).float() / 255
        latents = vae.encode(pixels)
        counts = [len(portrait.faces) for portrait in group]
        crops = torch.stack([crop for portrait in group for crop, _ in portrait.faces])
        features = clip_features(clip_vision, crops).split(counts)
        for portrait, latent, feature in zip(group, latents, features, strict=True):
            facts = {"caption": portrait.caption, "source": portrait.source, "sizes": portrait.sizes}
            arrays = {
                "latent": latent.half().cpu().numpy(),
                "features": feature.half().cpu().numpy(),
                "landmarks": np.stack([points for _, points in portrait.faces]).astype(np.float32),
            }
            if job.source.faces == 1:
                arrays |= {name: arrays[name][0] for name in ("features", "landmarks")}
            if broken := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
                dropped[f"{', '.join(broken)} not finite"].append(portrait.source)
                continue
            yield {
                **{f"{name}.npy": npy(array) for name, array in arrays.items()},
                "json": json.dumps(facts).encode(),
                "jpg": thumbnail(portrait.image),
            }


@lru_cache(1)
def encoders(base: str, clip_vision: str | None) -> tuple[comfy.sd.VAE, comfy.clip_vision.ClipVisionModel]:
    """The base's VAE and the image encoder, once a process. Raises ValueError where either is missing."""
    if is_miniature(base):
        parts = load_miniature(miniature_weights(base))
        return parts.vae, parts.clip_vision
    if clip_vision is None:
        raise ValueError("--clip-vision is missing: give the image encoder's file, for instance CLIP-ViT-H-14.")
    _, _, vae, _ = comfy.sd.load_checkpoint_guess_config(base, output_clip=False, output_model=False)
    return vae, comfy.clip_vision.load(clip_vision)


def dataset_info(job: Job) -> DatasetInfo:
    """What the shards say of themselves: whose latents and whose features they hold."""
    vae, clip_vision = encoders(job.base, job.clip_vision)
    tokens, width = clip_features(clip_vision, torch.zeros(1, 64, 64, 3)).shape[1:]
    return DatasetInfo(
        base=MINIATURE if is_miniature(job.base) else "sdxl",
        image_size=job.source.image_size,
        latent_channels=vae.latent_channels,
        clip_vision=Path(job.clip_vision).stem if job.clip_vision else MINIATURE,
        clip_tokens=tokens,
        clip_width=width,
        clip_fingerprint=fingerprint_of(clip_vision),
        photo_path=job.source.photo_path,
        format_version=FORMAT_VERSION if job.source.faces == 1 else SEVERAL_FACES,
    )


def summarise(folder: Path, seconds: float) -> dict:
    """The report over all shards, and the contact sheet of what was kept."""
    shards = shard_reports(folder)
    reasons: dict[str, list[str]] = defaultdict(list)
    for shard in shards.values():
        for reason, names in shard["dropped"].items():
            reasons[reason] += names
    report = {
        "kept": sum(shard["samples"] for shard in shards.values()),
        "dropped": {reason: len(names) for reason, names in sorted(reasons.items())},
        "shards": len(shards),
        "seconds": round(seconds, 1),
        "dropped_files": {reason: names[:NAMES_A_REASON] for reason, names in sorted(reasons.items())},
    }
    write_atomically(folder / REPORT, json.dumps(report, indent=1).encode())
    if report["kept"]:
        _draw_sheet(Shards(folder)).save(folder / SHEET, quality=90)
    return report


def _draw_sheet(shards: Shards, count: int = 64):
    ends = np.cumsum(shards.counts)
    tiles = []
    for index in np.unique(np.linspace(0, len(shards) - 1, count).astype(int)):
        shard = int(np.searchsorted(ends, index, side="right"))
        members = shards.read(shard, int(index - (ends[shard] - shards.counts[shard])))
        tiles.append((members["jpg"], read_npy(members["landmarks.npy"]).reshape(-1, 478, 2)[0]))
    return contact_sheet(tiles)


def describe(report: dict) -> str:
    """The report in words."""
    dropped = ", ".join(f"{count} {reason}" for reason, count in report["dropped"].items()) or "none"
    return f"{report['kept']} pictures kept in {report['shards']} shards; dropped: {dropped}."
