"""Training pictures of the face world: drawn, so landmarks, masks and captions are exact and nothing is detected."""

from dataclasses import replace

import numpy as np
import torch

from realisid_core.identity.clip_projector import CROP_SIZE
from realisid_core.training.pictures import Portrait

from . import Person, caption, render, sample_scene, vary
from .references import unsteady_crop

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
    """The masked crop of a photo of theirs, in other pose and clothes."""
    side = float(rng.uniform(*REFERENCE_SIDES))
    at = (1 - side) / 2 + rng.uniform(-0.1, 0.1, 2)
    scene = sample_scene(rng, people=1, styles=("photo",))
    person = replace(vary(person, rng), box=(*map(float, at), side))
    return unsteady_crop(render(replace(scene, people=(person,)), image_size), rng, (0.95, 1.25), CROP_SIZE)
