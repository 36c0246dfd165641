"""Training data on disk: a folder of WebDataset shards, each beside a small JSON that says it is complete.

`dataset.json` says what all of them were prepared for. A sample's members:

| member | what |
| --- | --- |
| `latent.npy` | VAE latent of the square picture, [C, H, W] float16 |
| `features.npy` | CLIP's penultimate features of the masked crop, [T, W] float16; in version 2 [N, T, W], of N faces |
| `landmarks.npy` | [478, 2] float32, fractions of the picture; in version 2 [N, 478, 2] |
| `json` | `caption`, `source`, and `sizes`: SDXL's (height, width, crop top, crop left, target height, target width) |
| `jpg` | the picture, small, to look at |

The text embedding is not among them: SDXL's takes 315 KB a sample, more than its latent, and encoding captions while
training takes one or two hundredths of a step.
"""

import io
import json
import mmap
import tarfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..identity.fingerprint import same_fingerprint
from ..identity.photo_path import PhotoPath
from .requirements import needed

FORMAT_VERSION, SEVERAL_FACES = 1, 2  # of samples with one face, and with several
DATASET, SHARD, DONE = "dataset.json", "shard-{:06d}.tar", "shard-{:06d}.json"
REPORT = "report.json"  # `prepare` has gone through everything
SHARDS_AT_ONCE = 16
WAIT, PATIENCE = 0.5, 600.0  # seconds


@dataclass(frozen=True)
class DatasetInfo:
    """What a data set was prepared for.

    Attributes:
        base: architecture whose VAE made the latents, "sdxl" or "miniature".
        image_size: side of the square pictures in pixels.
        clip_vision: the image encoder, in words; `clip_tokens` and `clip_width` are its features' shape, and
            `clip_fingerprint` tells its weights from others' (empty in data sets from before it).
        photo_path: from the photo to the crop that the image encoder saw.
    """

    base: str
    image_size: int
    latent_channels: int
    clip_vision: str
    clip_tokens: int
    clip_width: int
    photo_path: PhotoPath
    clip_fingerprint: str = ""
    format_version: int = FORMAT_VERSION

    def write(self, folder: Path) -> None:
        """Raises ValueError where the folder already holds shards that were prepared otherwise."""
        path = folder / DATASET
        if path.exists() and (differing := self._differences(DatasetInfo.read(folder))):
            raise ValueError(
                f"{folder} holds shards prepared with another {', '.join(differing)}. "
                "Prepare into an empty folder, or with the same settings to resume."
            )
        write_atomically(path, json.dumps(asdict(self), indent=1).encode())

    def _differences(self, other: "DatasetInfo") -> list[str]:
        mine, theirs = (asdict(info) | asdict(info.photo_path) for info in (self, other))
        del mine["photo_path"], theirs["photo_path"]
        prints = mine.pop("clip_fingerprint"), theirs.pop("clip_fingerprint")
        differing = [name for name in mine if mine[name] != theirs[name]]
        return differing if not all(prints) or same_fingerprint(*prints) else [*differing, "clip_fingerprint"]

    @classmethod
    def read(cls, folder: Path) -> "DatasetInfo":
        path = folder / DATASET
        if not path.is_file():
            raise ValueError(f"{folder} is not a prepared data set (no {DATASET} in it). Run `prepare` first.")
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.get("format_version") not in (FORMAT_VERSION, SEVERAL_FACES):
            raise ValueError(
                f"{path} has format version {values.get('format_version')}; expected {FORMAT_VERSION} or "
                f"{SEVERAL_FACES}. Update the pack."
            )
        if "keep" in values:  # of a data set from before the rest was recorded
            values["photo_path"] = asdict(PhotoPath.before(values["base"], values.pop("keep")))
        return cls(**{**values, "photo_path": PhotoPath(**values["photo_path"])})


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

    endless = False

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

    def where(self, number: int, seed: int) -> tuple[int, int]:
        """(shard, row) of sample `number` of a run that takes everything in random order, epoch after epoch."""
        epoch, index = divmod(number, len(self))
        shard, row = epoch_order(tuple(self.counts.tolist()), seed, epoch, SHARDS_AT_ONCE)[index]
        return int(shard), int(row)

    def read(self, shard: int, row: int) -> dict[str, bytes]:
        """The members of sample `row` of a shard, by extension."""
        return self._open(self.paths[shard]).read(row)

    def __getstate__(self) -> dict:
        return {"folder": self.folder}

    def __setstate__(self, state: dict) -> None:
        self.__init__(**state)


class FreshShards(Shards):
    """A folder that `prepare` is still filling: every sample is taken once, in the order of the shards.

    A sample that is not there yet is waited for. So the order does not depend on when it was written, and a run can be
    resumed exactly, or another run can take the same samples.
    """

    endless = True

    def __init__(self, folder: Path):
        self.folder = folder
        self.info = DatasetInfo.read(folder)
        self.paths: list[Path] = []
        self.counts = np.zeros(0, np.int64)
        self._open = lru_cache(32)(_OpenShard)
        while self._take_next():
            pass

    def where(self, number: int, seed: int = 0) -> tuple[int, int]:
        """(shard, row) of sample `number`, which is waited for.

        Raises:
            ValueError: `prepare` has finished without it, or wrote nothing for ten minutes.
        """
        deadline = time.monotonic() + PATIENCE
        while number >= len(self):
            if self._take_next():
                deadline = time.monotonic() + PATIENCE
            elif (self.folder / REPORT).is_file() or time.monotonic() > deadline:
                raise ValueError(
                    f"{self.folder} has {len(self)} samples and the run needs number {number + 1}. "
                    "Keep `prepare` running beside the training, for as many pictures as the run takes samples."
                )
            else:
                time.sleep(WAIT)
        ends = np.cumsum(self.counts)
        shard = int(np.searchsorted(ends, number, side="right"))
        return shard, int(number - (ends[shard] - self.counts[shard]))

    def _take_next(self) -> bool:
        """Whether one shard more is complete."""
        number = len(self.paths)
        if not is_done(self.folder, number):
            return False
        report = json.loads((self.folder / DONE.format(number)).read_text(encoding="utf-8"))
        self.paths.append(self.folder / SHARD.format(number))
        self.counts = np.append(self.counts, report["samples"])
        return True


class _OpenShard:
    """One tar file, mapped, and where its members are.

    WebDataset's index reader, `wids`, is no longer part of its releases, keeps an index in a file of its own, and takes
    names for URLs.
    """

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
