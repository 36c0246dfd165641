"""From shards to batches: sample number `n` of a run is always the same sample with the same draw."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..branches.local import PoseHint
from ..conditions.location_mask import location_mask
from ..geometry import LATENT_CELL, FaceBox, from_pixels
from ..perception import crop_frame
from .draws import draw
from .shards import Shards, read_npy
from .windows import place_window, window_sizes


@dataclass(frozen=True)
class Sample:
    """One training sample, before its draw."""

    latent: Tensor  # [C, H, W] float32, as the VAE gave it
    features: Tensor  # [T, W] float16
    face: dict  # landmarks_xy and bbox_xyxy, pixels of the square picture
    box: FaceBox
    caption: str
    sizes: tuple[int, ...]
    thumbnail: bytes
    source: str


@dataclass(frozen=True)
class Batch:
    """What one step learns from; lists and tensors of B items.

    Attributes:
        latents, noise: [B, C, H, W] float32.
        timesteps: [B], of the noise schedule.
        boxes: the face boxes.
        pose_images: `c_pe`, [B, 3, S, S] uint8.
        features: [B, T, W], zero where the ID embedding was dropped.
        captions: "" where the text was dropped.
        sizes: SDXL's six, for each.
        sources: where each picture is from, to name it.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    boxes: list[FaceBox]
    pose_images: Tensor
    features: Tensor
    captions: list[str]
    sizes: list[tuple[int, ...]]
    sources: list[str]

    def pictures(self) -> tuple:
        """What else the trainee is told."""
        return ()

    def face_mask(self, height: int, width: int, device: torch.device) -> Tensor:
        """`c_loc`, [B, 1, height, width]."""
        return location_mask(self.boxes, height, width, device=device)

    def broken(self) -> list[str]:
        """The sources of samples with values that are not finite."""
        sums = self.latents.flatten(1).sum(1) + self.features.float().flatten(1).sum(1)
        return [source for source, value in zip(self.sources, sums.tolist(), strict=True) if not math.isfinite(value)]

    def pin_memory(self) -> "Batch":
        values = {
            name: value.pin_memory() if isinstance(value, Tensor) else value for name, value in vars(self).items()
        }
        return type(self)(**values)


def read_sample(shards: Shards, shard: int, row: int) -> Sample:
    """Sample `row` of shard `shard`; where it has several faces, with the first."""
    return read_faces(shards, shard, row)[0]


def read_faces(shards: Shards, shard: int, row: int) -> list[Sample]:
    """Sample `row` of shard `shard` once for each of its faces; version 1 has one."""
    members = shards.read(shard, row)
    facts = json.loads(members["json"])
    size = shards.info.image_size
    landmarks, features = (read_npy(members[f"{name}.npy"]) for name in ("landmarks", "features"))
    if landmarks.ndim == 2:
        landmarks, features = landmarks[None], features[None]
    faces = [face_of(points, size) for points in landmarks]
    first = Sample(
        latent=torch.from_numpy(read_npy(members["latent.npy"])).float(),
        features=torch.from_numpy(features[0]),
        face=faces[0],
        box=from_pixels(*crop_frame(faces[0]), size, size),
        caption=facts["caption"],
        sizes=tuple(facts["sizes"]),
        thumbnail=members["jpg"],
        source=facts["source"],
    )
    others = (
        replace(first, features=torch.from_numpy(own), face=face, box=from_pixels(*crop_frame(face), size, size))
        for own, face in zip(features[1:], faces[1:], strict=True)
    )
    return [first, *others]


def windowed(sample: Sample, window: int, place: Sequence[float]) -> Sample:
    """What a window of the picture, `window` latent cells wide, holds of the sample (`place_window`)."""
    cells = height, width = tuple(sample.latent.shape[-2:])
    area = top, left, _, _ = place_window(sample.box.scaled(width, height), cells, window, place)
    return replace(
        sample,
        latent=sample.latent[:, top : top + window, left : left + window],
        box=sample.box.seen_from(area, width, height),
        sizes=window_sizes(sample.sizes, area),
    )


def face_of(landmarks: np.ndarray, size: float) -> dict:
    """A face of FACE_LANDMARKS with what `crop_frame` and the drawing need, in pixels of a picture of side `size`.

    Args:
        landmarks: [478, 2] in fractions of the picture.
    """
    points = landmarks * size
    return {"landmarks_xy": points, "bbox_xyxy": np.concatenate([points.min(0), points.max(0)])}


def pose_image(hint: PoseHint, sample: Sample, image_size: int) -> Tensor:
    """`c_pe`, [3, S, S] in 0..1: of the face, or in place in what the sample shows of a picture of `image_size`."""
    shown = sample.latent.shape[-1] * LATENT_CELL
    return hint.draw(sample.face, sample.box, shown, shown, detail=image_size)[0]


class RunSamples(Dataset):
    """The samples of a whole run, epoch after epoch, by number; of windows where `window` is not 0."""

    def __init__(self, shards: Shards, hint: PoseHint, seed: int, timesteps: int, window: int = 0):
        self.shards, self.hint, self.seed, self.timesteps, self.window = shards, hint, seed, timesteps, window

    def where(self, number: int) -> tuple[int, int]:
        """(shard, row) of sample `number` of the run."""
        return self.shards.where(number, self.seed)

    def __getitem__(self, number: int) -> tuple:
        sample = read_sample(self.shards, *self.where(number))
        channels, height, width = sample.latent.shape
        shape = (channels, self.window or height, self.window or width)
        drawn = draw(self.seed, number, shape, self.timesteps)
        if self.window:
            sample = windowed(sample, self.window, drawn.place)
        hint = pose_image(self.hint, sample, self.shards.info.image_size)
        return sample, drawn, (hint * 255 + 0.5).to(torch.uint8)


def collate(items: Sequence[tuple]) -> Batch:
    """A batch of (sample, draw, hint): a dropped identity has features of zero, a dropped text the empty prompt."""
    samples, draws, hints = zip(*items, strict=True)
    features = [s.features * (not d.drop_identity) for s, d in zip(samples, draws, strict=True)]
    return Batch(
        latents=torch.stack([sample.latent for sample in samples]),
        noise=torch.stack([torch.from_numpy(d.noise) for d in draws]),
        timesteps=torch.tensor([d.timestep for d in draws]),
        boxes=[sample.box for sample in samples],
        pose_images=torch.stack(hints),
        features=torch.stack(features),
        captions=["" if d.drop_text else s.caption for s, d in zip(samples, draws, strict=True)],
        sizes=[sample.sizes for sample in samples],
        sources=[sample.source for sample in samples],
    )


RunSamples.collate = staticmethod(collate)


@dataclass(frozen=True)
class Share:
    """The sample numbers of one process's batches: a batch of all processes is a consecutive stretch of the run."""

    start: int
    batch_size: int
    process: int
    processes: int

    def __iter__(self) -> Iterator[list[int]]:
        first = self.start + self.process * self.batch_size
        while True:
            yield list(range(first, first + self.batch_size))
            first += self.processes * self.batch_size


def batches(samples: RunSamples, share: Share, workers: int, pin: bool) -> Iterator[Batch]:
    """Batches without end, from `share.start` on; `workers` processes read ahead (0: none)."""
    return iter(
        DataLoader(
            samples,
            batch_sampler=share,
            collate_fn=samples.collate,
            num_workers=workers,
            pin_memory=pin,
            prefetch_factor=4 if workers else None,
            worker_init_fn=_start_worker,
        )
    )


def _start_worker(_: int) -> None:
    import cv2

    cv2.setNumThreads(0)  # one core each; its thread pool does not survive a fork
