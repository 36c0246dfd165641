"""Where a likeness comes from: from inside the face box, where the local branch works, or from the hair around it."""

from pathlib import Path

import numpy as np
from PIL import Image

from realisid_core.metrics.drawn_people import embed_faces

from ..world import render
from .measures import reference_vector
from .report import SIZE_NAMES, SIZES, table
from .runs import TRUE, folder_name
from .tasks import PROTOCOLS, frame_box, task


def parts(folder: Path, seed: int) -> str:
    """A table of the identity similarity of one person's pictures in which half of a face is the true one.

    For each name and size: of the true picture with the inside of the drawn face box, and of the drawn picture with
    the inside of the true one.
    """
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name != TRUE)

    def of(name: str) -> dict[str, list[Path]]:
        return {size: sorted((folder / name / folder_name(size)).glob("*.png")) for size in SIZES}

    def cells(pictures: dict[str, list[Path]]) -> list[str]:
        similar = [np.mean([_exchanged(size, path, seed) for path in pictures[size]], axis=0) for size in SIZES]
        return [" / ".join(f"{value:.3f}" for value in pair) for pair in similar]

    drawn = {name: pictures for name in names if all((pictures := of(name)).values())}
    return table("Similarity of the box's inside in the true picture / of its surroundings", SIZE_NAMES, drawn, cells)


def _exchanged(size: str, path: Path, seed: int) -> list[float]:
    wanted = task(PROTOCOLS[size], int(path.stem), seed)
    drawn = np.array(Image.open(path))
    true = render(wanted.scene, len(drawn)).image
    box = frame_box(wanted.scene.people[0], len(drawn))
    vectors = embed_faces([with_inside(true, drawn, box), with_inside(drawn, true, box)], [box, box])
    return (vectors @ reference_vector(wanted.references[0])).tolist()


def with_inside(picture: np.ndarray, other: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """`picture` with the pixels of `other` inside the box x0, y0, x1, y1."""
    x0, y0, x1, y1 = (max(0, round(value)) for value in box)
    picture = picture.copy()
    picture[y0:y1, x0:x1] = other[y0:y1, x0:x1]
    return picture
