"""Training pictures of the face world: drawn, so landmarks, masks and captions are exact and nothing is detected."""

from dataclasses import replace

import cv2
import numpy as np
import torch

from ..identity import CROP_SIZE
from ..miniature.world import Person, caption, render, sample_scene, vary
from ..perception import Face, Faces, masked_crops
from ..perception.drawing import FACE_OVAL
from .pictures import Portrait

REFERENCE_SIDES = (0.3, 0.6)  # relative sizes of the face in the picture that the ID embedding is made from


def world_portrait(seed: int, number: int, image_size: int) -> Portrait:
    """Picture `number` of the world of `seed`.

    The ID embedding comes from another picture of the same person, in other pose and clothes: what a collection of
    photos cannot give, and what makes the branches take pose and expression from the landmarks alone.
    """
    rng = np.random.default_rng([seed, number])
    scene = sample_scene(rng, people=1)
    drawn = render(scene, image_size)
    return Portrait(
        source=f"world {seed}/{number}",
        image=drawn.image,
        face_crop=_reference_crop(scene.people[0], rng, image_size),
        landmarks=drawn.landmarks[0] / image_size,
        caption=caption(scene),
        sizes=(image_size, image_size, 0, 0, image_size, image_size),
    )


def _reference_crop(person: Person, rng: np.random.Generator, image_size: int) -> torch.Tensor:
    """The masked crop of a reference picture, as unsteady as detectors and parsers make it.

    The box is up to 25 % larger than the landmarks' and up to 6 % off; half of the masks keep face and hair,
    the others the face's outline alone, which is what parsing without BiSeNet gives.
    """
    side = float(rng.uniform(*REFERENCE_SIDES))
    at = (1 - side) / 2 + rng.uniform(-0.1, 0.1, 2)
    scene = sample_scene(rng, people=1, styles=("photo",))
    person = replace(vary(person, rng), box=(*map(float, at), side))
    drawn = render(replace(scene, people=(person,)), image_size)
    x0, y0, x1, y1 = drawn.boxes[0]
    centre = np.array([x0 + x1, y0 + y1]) / 2 + rng.uniform(-0.06, 0.06, 2) * (x1 - x0)
    half = (x1 - x0) / 2 * rng.uniform(0.95, 1.25)
    box = (*(centre - half).tolist(), *(centre + half).tolist())
    mask = drawn.masks[0]
    if rng.random() < 0.5:
        mask = np.zeros_like(mask)
        cv2.fillPoly(mask, [np.round(drawn.landmarks[0][list(FACE_OVAL)]).astype(np.int32)], 1)
    image = torch.from_numpy(drawn.image).float()[None] / 255
    return masked_crops(Faces(image, [[Face(box, box, mask=torch.from_numpy(mask).float())]]), CROP_SIZE)[0]
