"""Faces turned upright by their five points, as recognisers of photos want them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..conditions.five_points import LANDMARKS
from ..perception import Face, Faces
from ..perception.landmarks import find_landmarks, landmarks_available


def upright_vectors(faces: Faces, vector: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Tensor:
    """Unit vectors [N, D] from `vector(pixels uint8 [H, W, 3], five points [5, 2])`; NaN where there are no points."""
    found: list[Tensor | None] = []
    for index, face in faces:
        pixels = faces.pixels(index)
        points = five_points(pixels, face)
        found.append(None if points is None else torch.from_numpy(vector(pixels, points)).float())
    width = next((len(one) for one in found if one is not None), 1)
    missing = torch.full((width,), float("nan"))
    return F.normalize(torch.stack([missing if one is None else one for one in found]), dim=1)


def five_points(pixels: np.ndarray, face: Face) -> np.ndarray | None:
    """[5, 2] in pixels: eyes (image-left first), nose tip, corners of the mouth: the detector's or the landmarks'."""
    if face.points is not None:
        return np.asarray(face.points, np.float64)
    landmarks = face.landmarks
    if landmarks is None and landmarks_available():
        landmarks = find_landmarks(pixels, face)
    return None if landmarks is None else np.asarray(landmarks["landmarks_xy"], np.float64)[list(LANDMARKS)]
