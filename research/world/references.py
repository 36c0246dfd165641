"""Masked face crops of the face world's pictures: what an image encoder is shown of a reference photo."""

import cv2
import numpy as np
import torch
from torch import Tensor

from realisid_core.perception import Face, Faces, masked_crops
from realisid_core.perception.faces import to_image
from realisid_core.perception.landmark_paths import FACE_OVAL

from . import Rendered

MASKS = ("person", "outline", "none")  # face and hair, the face's outline, nothing zeroed
MARGINS = (0.0, 0.3)  # that the nodes may add to the box
UNSTEADY = 0.04  # of the box's side: how far off detectors and landmarks are
LIGHT = (0.8, 1.2)


def reference_crop(drawn: Rendered, rng: np.random.Generator, size: int) -> Tensor:
    """[size, size, 3] in 0..1 of the first person, cropped and masked in one of the ways that a graph may do it.

    Every mask and every margin comes up. Box and light are as unsteady as detectors and photos.
    """
    shift = rng.uniform(-UNSTEADY, UNSTEADY, 2)
    growth = (1 + rng.uniform(*MARGINS)) * rng.uniform(1 - UNSTEADY, 1 + UNSTEADY)
    return _crop(drawn, shift, growth, float(rng.uniform(*LIGHT)), str(rng.choice(MASKS)), size)


def unsteady_crop(drawn: Rendered, rng: np.random.Generator, growth: tuple[float, float], size: int) -> Tensor:
    """The first miniature's: a box up to 6 % off and larger by a factor within `growth`; either of two masks."""
    shift, factor, light = rng.uniform(-0.06, 0.06, 2), rng.uniform(*growth), float(rng.uniform(*LIGHT))
    return _crop(drawn, shift, factor, light, "outline" if rng.random() < 0.5 else "person", size)


def _crop(drawn: Rendered, shift: np.ndarray, growth: float, light: float, mask: str, size: int) -> Tensor:
    """The first person's box, moved by `shift` of its side and enlarged by `growth`."""
    x0, y0, x1, y1 = drawn.boxes[0]
    centre = np.array([x0 + x1, y0 + y1]) / 2 + shift * (x1 - x0)
    half = (x1 - x0) / 2 * growth
    box = (*(centre - half).tolist(), *(centre + half).tolist())
    face = Face(box, box, mask=masked_as(drawn, mask))
    return masked_crops(Faces((to_image(drawn.image) * light).clamp(0, 1), [[face]]), size)[0]


def masked_as(drawn: Rendered, mask: str) -> Tensor | None:
    """The first person's mask [H, W] of one of `MASKS`; None where nothing is masked."""
    if mask == "none":
        return None
    kept = drawn.masks[0]
    if mask == "outline":
        kept = np.zeros_like(kept)
        cv2.fillPoly(kept, [np.round(drawn.landmarks[0][list(FACE_OVAL)]).astype(np.int32)], 1)
    return torch.from_numpy(kept).float()
