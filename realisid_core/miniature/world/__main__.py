"""Contact sheets of the face world: `python -m realisid_core.miniature.world FOLDER`."""

import sys
from pathlib import Path

import cv2
import numpy as np

from . import portrait, render, sample_identity, sample_pose, sample_scene

IDENTITIES, POSES = (102, 107, 111, 118, 104), 6
CELL = 192


def identities() -> np.ndarray:
    """One identity a row, in several poses and expressions."""
    rng = np.random.default_rng(1)
    rows = [
        [render(portrait(sample_identity(seed), sample_pose(rng)), CELL) for _ in range(POSES)] for seed in IDENTITIES
    ]
    return _sheet([[cell.image for cell in row] for row in rows])


def scenes() -> np.ndarray:
    """One person, two persons, three or four, overlapping ones: a row of each."""
    rng = np.random.default_rng(11)
    kinds = ({"people": 1}, {"people": 1, "styles": ("watercolor", "anime")}, {"people": 2}, {"people": (3, 4)})
    rows = [[sample_scene(rng, **kind) for _ in range(POSES)] for kind in (*kinds, {"people": 2, "overlap": True})]
    return _sheet([[render(scene, CELL).image for scene in row] for row in rows])


def _sheet(rows: list[list[np.ndarray]]) -> np.ndarray:
    return np.concatenate([np.concatenate(row, 1) for row in rows])


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for sheet in (identities, scenes):
        file = folder / f"world_{sheet.__name__}.jpg"
        file.write_bytes(cv2.imencode(".jpg", sheet()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes())
        print(file)
