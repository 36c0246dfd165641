"""The real photos that perception is tested on, and what is done to them."""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from realisid_core.perception import detect_faces, face_landmarks

EXAMPLES = Path(__file__).resolve().parent.parent / "portraits"
ASTRONAUT_BOX = (181, 62, 268, 172)  # by MTCNN, on the 512×512 picture


@lru_cache
def pixels(name: str) -> np.ndarray:
    return np.asarray(Image.open(EXAMPLES / f"{name}.jpg").convert("RGB"))


def photo(name: str = "astronaut") -> torch.Tensor:
    """[1, H, W, 3] in 0..1."""
    return as_image(pixels(name))


def as_image(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.ascontiguousarray(array)).float()[None] / 255


def side_by_side() -> torch.Tensor:
    """Two people in one picture: the astronaut left, the admiral (the larger face) right."""
    return as_image(np.concatenate([pixels("astronaut"), pixels("grace_hopper")[44:556]], axis=1))


def turned(degrees: float) -> tuple[torch.Tensor, np.ndarray]:
    """The astronaut turned clockwise round the picture's middle, and the [2, 3] that takes points along."""
    matrix = cv2.getRotationMatrix2D((256, 256), -degrees, 1)
    return as_image(cv2.warpAffine(pixels("astronaut"), matrix, (512, 512))), matrix


def small_face(edge: int, fraction: float) -> torch.Tensor:
    """The astronaut's head on grey, its face 1/`fraction` of the edge high."""
    head = pixels("astronaut")[30:210, 140:310]
    ratio = edge / fraction / (ASTRONAUT_BOX[3] - ASTRONAUT_BOX[1])
    head = cv2.resize(head, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_CUBIC)
    picture = np.full((edge, edge, 3), 120, np.uint8)
    start = edge // 3
    picture[start : start + head.shape[0], start : start + head.shape[1]] = head
    return as_image(picture)


def landmarks(image: torch.Tensor) -> dict:
    """The landmarks of the largest face."""
    return face_landmarks(detect_faces(image, maximum=1))["frames"][0][0]


def overlap(a, b) -> float:
    """Intersection over union of two boxes."""
    across = min(a[2], b[2]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[1], b[1])
    common = max(across, 0) * max(down, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)
