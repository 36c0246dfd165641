"""Training data on disk: a folder of WebDataset shards, each beside a small JSON that says it is complete.

`dataset.json` says what all of them were prepared for. A sample's members:

| member | what |
| --- | --- |
| `latent.npy` | VAE latent of the square picture, [C, H, W] float16 |
| `features.npy` | CLIP's penultimate features of the masked crop, [T, W] float16 |
| `landmarks.npy` | [478, 2] float32, fractions of the picture |
| `json` | `caption`, `source`, and `sizes`: SDXL's (height, width, crop top, crop left, target height, target width) |
| `jpg` | the picture, small, to look at |

The text embedding is not among them: SDXL's takes 315 KB a sample, more than its latent, and encoding captions while
training takes one or two hundredths of a step.
"""

import io
import json
import mmap
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np

from .requirements import needed

FORMAT_VERSION = 1
DATASET, SHARD, DONE = "dataset.json", "shard-{:06d}.tar", "shard-{:06d}.json"


@dataclass(frozen=True)
class DatasetInfo:
    """What a data set was prepared for.

    Attributes:
        base: architecture whose VAE made the latents, "sdxl" or "miniature".
        image_size: side of the square pictures in pixels.
        clip_vision: the image encoder, in words; `clip_tokens` and `clip_width` are its features' shape.
        keep: what the face parser kept of the crops.
    """

    base: str
    image_size: int
    latent_channels: int
    clip_vision: str
    clip_tokens: int
    clip_width: int
    keep: str
    format_version: int = FORMAT_VERSION

    def write(self, folder: Path) -> None:
        """Raises ValueError where the folder already holds shards that were prepared otherwise."""
        path = folder / DATASET
        if path.exists() and (found := DatasetInfo.read(folder)) != self:
            differing = [f.name for f in fields(self) if getattr(found, f.name) != getattr(self, f.name)]
            raise ValueError(
                f"{folder} holds shards prepared with another {', '.join(differing)}. "
                "Prepare into an empty folder, or with the same settings to resume."
            )
        write_atomically(path, json.dumps(asdict(self), indent=1).encode())

    @classmethod
    def read(cls, folder: Path) -> "DatasetInfo":
        path = folder / DATASET
        if not path.is_file():
            raise ValueError(f"{folder} is not a prepared data set (no {DATASET} in it). Run `prepare` first.")
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.get("format_version") != FORMAT_VERSION:
            raise ValueError(f"{path} has format version {values.get('format_version')}; expected {FORMAT_VERSION}.")
        return cls(**values)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(data)
    unfinished.replace(path)


def write_shard(folder: Path, number: int, samples: Iterable[Mapping[str, bytes]], report: Mapping) -> int:
    """Write one shard, whole or not at all, then the JSON that says so. Returns the number of samples.

    `report` is read when the samples are used up, so that who makes them may fill it meanwhile.
    """
    webdataset = needed("webdataset")
    path = folder / SHARD.format(number)
    unfinished = path.with_name(path.name + ".part")
    count = 0
    with open(unfinished, "wb") as stream, webdataset.TarWriter(stream, encoder=False, mtime=0) as tar:
        for count, sample in enumerate(samples, 1):
            tar.write({"__key__": f"{number:06d}-{count - 1:06d}", **sample})
    unfinished.replace(path)
    write_atomically(folder / DONE.format(number), json.dumps({"samples": count, **report}).encode())
    return count


def is_done(folder: Path, number: int) -> bool:
    return (folder / DONE.format(number)).is_file()


def shard_reports(folder: Path) -> dict[int, dict]:
    """What is said of each complete shard, by its number: `samples` and `dropped`, {reason: names}."""
    paths = sorted(folder.glob("shard-*.json"))
    return {int(path.stem.partition("-")[2]): json.loads(path.read_text(encoding="utf-8")) for path in paths}


def npy(array: np.ndarray) -> bytes:
    """An array as the bytes of a .npy file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def read_npy(data: bytes) -> np.ndarray:
    """And back; pickled ones are refused."""
    return np.load(io.BytesIO(data), allow_pickle=False)


class Shards:
    """Random access to the samples of a prepared folder; only offsets are kept in memory, the system caches the rest.

    Raises:
        ValueError: a folder without complete shards.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.info = DatasetInfo.read(folder)
        counts = {number: report["samples"] for number, report in shard_reports(folder).items() if report["samples"]}
        self.paths = [folder / SHARD.format(number) for number in counts]
        self.counts = np.array(list(counts.values()), np.int64)
        if not self.paths:
            raise ValueError(f"{folder} has no samples. Look at its report.json for why `prepare` dropped them all.")
        self._open = lru_cache(32)(_OpenShard)

    def __len__(self) -> int:
        return int(self.counts.sum())

    def read(self, shard: int, row: int) -> dict[str, bytes]:
        """The members of sample `row` of a shard, by extension."""
        return self._open(self.paths[shard]).read(row)

    def __getstate__(self) -> dict:
        return {"folder": self.folder}

    def __setstate__(self, state: dict) -> None:
        self.__init__(**state)


class _OpenShard:
    """One tar file, mapped, and where its members are."""

    def __init__(self, path: Path):
        self.rows: list[dict[str, slice]] = []
        keys: dict[str, int] = {}
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                if keys.setdefault(key, len(keys)) == len(self.rows):
                    self.rows.append({})
                self.rows[keys[key]][extension] = slice(member.offset_data, member.offset_data + member.size)
        with open(path, "rb") as file:
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def read(self, row: int) -> dict[str, bytes]:
        return {extension: self.data[where] for extension, where in self.rows[row].items()}


@lru_cache(2)
def epoch_order(counts: tuple[int, ...], seed: int, epoch: int, shards_at_once: int) -> np.ndarray:
    """[N, 2]: (shard, row) of every sample in the order of this epoch.

    Shards come in random order and are taken `shards_at_once` at a time, whose samples are mixed; so reading stays
    near-sequential, whatever the number of samples.
    """
    random = np.random.default_rng([seed, epoch])
    shards = random.permutation(len(counts))
    order = []
    for start in range(0, len(shards), shards_at_once):
        window = [
            np.stack([np.full(counts[shard], shard), np.arange(counts[shard])], axis=1)
            for shard in shards[start : start + shards_at_once]
        ]
        order.append(random.permutation(np.concatenate(window)))
    return np.concatenate(order)
