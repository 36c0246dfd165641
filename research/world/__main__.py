"""Pictures of the face world: `python -m research.world sheets|portraits FOLDER`.

`sheets` are contact sheets; `portraits` are the people whose photos ship with the pack, in `portraits/`.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from . import Pose, portrait, render, sample_identity, sample_pose, sample_scene

IDENTITIES, POSES = (102, 107, 111, 118, 104), 6
CELL = 192
PORTRAITS = {  # seed and pose
    "world_mara": (22, Pose(yaw=10, pitch=2, smile=0.4)),
    "world_omar": (12, Pose(yaw=-12, smile=0.2)),
    "world_lena": (5, Pose(yaw=6, pitch=-2, roll=3, smile=0.5)),
}


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


def sheets() -> dict[str, np.ndarray]:
    return {"world_identities": identities(), "world_scenes": scenes()}


def portraits() -> dict[str, np.ndarray]:
    return {
        name: render(portrait(sample_identity(seed), pose, 0.42), 512).image for name, (seed, pose) in PORTRAITS.items()
    }


if __name__ == "__main__":
    what, folder = {"sheets": sheets, "portraits": portraits}[sys.argv[1]], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in what().items():
        file = folder / f"{name}.jpg"
        file.write_bytes(cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
        print(file)
