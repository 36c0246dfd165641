"""An evaluation on disk: `NAME/PROTOCOL/00000.png`, one folder of pictures a checkpoint, and `NAME/measures.csv`."""

import csv
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from realisid_core.bootstrap import start_worker

from .tasks import PROTOCOLS, task

TRUE, AUTOENCODER = "true", "autoencoder"  # names of pictures that no checkpoint has drawn
MEASURES = "measures.csv"


def folder_name(protocol: str) -> str:
    return protocol.replace(", 1/", "-").replace(" ", "-")


@dataclass(frozen=True)
class Evaluation:
    """Attributes:
    output: the folder.
    images: pictures of each protocol.
    seed: of the people; 0 are the held-out ones.
    chosen: beginnings of the protocols' names; None for all of them.
    processes: how many draw and measure at once.
    """

    output: Path
    images: int
    seed: int
    chosen: list[str] | None
    processes: int

    @property
    def protocols(self) -> list[str]:
        return [name for name in PROTOCOLS if not self.chosen or name.startswith(tuple(self.chosen))]

    def draw(self, name: str, weights: Path | None, checkpoint: Path | None, sampling) -> None:
        """The pictures that are missing; "true" are the face world's own, "autoencoder" these after its round trip."""
        jobs = [(protocol, n) for n in range(self.images) for protocol in self.protocols]
        jobs = [job for job in jobs if not self._path(name, *job).exists()]
        draw = partial(_draw, self, name, weights, checkpoint, sampling)
        for _ in self._spread(draw, jobs, name):
            pass

    def measure(self) -> None:
        """Add what is missing to the measures of every name that has pictures."""
        for folder in sorted(path for path in self.output.iterdir() if path.is_dir()):
            path = folder / MEASURES
            known = {(row["protocol"], int(row["task"])) for row in read_measures(path)}
            jobs = [(protocol, n) for protocol in self.protocols for n in range(self.images)]
            jobs = [job for job in jobs if job not in known and self._path(folder.name, *job).exists()]
            for rows in self._spread(partial(_measure, self, folder.name), jobs, folder.name):
                new = not path.exists()
                with open(path, "a", newline="", encoding="utf-8") as file:
                    writer = csv.DictWriter(file, fieldnames=list(rows[0]))
                    if new:
                        writer.writeheader()
                    writer.writerows(rows)

    def _spread(self, function, jobs: Iterable, name: str) -> Iterator:
        jobs = list(jobs)
        shown = partial(tqdm, total=len(jobs), desc=name, unit="picture")
        if self.processes == 1 or not jobs:
            yield from shown(map(function, jobs))
            return
        with ProcessPoolExecutor(self.processes, get_context("spawn"), initializer=start_worker) as pool:
            yield from shown(pool.map(function, jobs))

    def _path(self, name: str, protocol: str, number: int) -> Path:
        return self.output / name / folder_name(protocol) / f"{number:05d}.png"


def read_measures(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@lru_cache
def _painter(*arguments):
    from .generation import Painter

    return Painter(*arguments)


def _draw(run: Evaluation, name: str, weights, checkpoint, sampling, job: tuple[str, int]) -> None:
    from realisid_core.miniature.loading import WEIGHTS
    from realisid_core.miniature.networks import FIRST

    from ..world import render

    protocol, number = job
    wanted = task(PROTOCOLS[protocol], number, run.seed)
    if name == TRUE:
        picture = render(wanted.scene, FIRST.image_size).image
    else:
        painter = _painter(weights or WEIGHTS, checkpoint, sampling)
        picture = painter.reconstruct(wanted) if name == AUTOENCODER else painter.draw(wanted, number)
    path = run._path(name, protocol, number)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part.png")
    Image.fromarray(picture).save(unfinished)
    os.replace(unfinished, path)


def _measure(run: Evaluation, name: str, job: tuple[str, int]) -> list[dict]:
    from .measures import measure

    protocol, number = job
    asked = PROTOCOLS[protocol]
    stranger = task(asked, number + 1, run.seed).references[0]
    picture = np.array(Image.open(run._path(name, protocol, number)))
    rows = measure(picture, number, task(asked, number, run.seed), stranger)
    return [{"protocol": protocol, **row.row()} for row in rows]
