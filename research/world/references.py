"""Masked face crops of the face world's pictures: what an image encoder is shown of a reference photo."""

import cv2
import numpy as np
import torch
from torch import Tensor

from realisid_core.perception import Face, Faces, masked_crops
from realisid_core.perception.faces import to_image
from realisid_core.perception.landmark_paths import FACE_OVAL

from . import Rendered


def unsteady_crop(drawn: Rendered, rng: np.random.Generator, growth: tuple[float, float], size: int) -> Tensor:
    """[size, size, 3] in 0..1 of the first person, with box, light and mask as unsteady as photos and detectors are.

    The box is up to 6 % off and larger by a factor within `growth`. Half of the masks keep face and hair, the others
    the face's outline alone, which parsing without BiSeNet gives.
    """
    x0, y0, x1, y1 = drawn.boxes[0]
    centre = np.array([x0 + x1, y0 + y1]) / 2 + rng.uniform(-0.06, 0.06, 2) * (x1 - x0)
    half = (x1 - x0) / 2 * rng.uniform(*growth)
    box = (*(centre - half).tolist(), *(centre + half).tolist())
    image = to_image(drawn.image) * float(rng.uniform(0.8, 1.2))
    mask = drawn.masks[0]
    if rng.random() < 0.5:
        mask = np.zeros_like(mask)
        cv2.fillPoly(mask, [np.round(drawn.landmarks[0][list(FACE_OVAL)]).astype(np.int32)], 1)
    face = Face(box, box, mask=torch.from_numpy(mask).float())
    return masked_crops(Faces(image.clamp(0, 1), [[face]]), size)[0]
