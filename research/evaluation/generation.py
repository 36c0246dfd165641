"""Makes the pictures of the evaluation as a user would: reference photos in, the host's sampler, pictures out."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from realisid_core.attention.own_words import words_of
from realisid_core.branches.sharing import Sharing
from realisid_core.checkpoint import load_checkpoint
from realisid_core.geometry import FaceBox
from realisid_core.identity.encoder import IDEmbedding
from realisid_core.methods.realisid import global_branch, local_branch
from realisid_core.miniature.loading import load_miniature
from realisid_core.perception import Faces, detect_faces, face_landmarks, faces_from_boxes
from realisid_core.perception.faces import to_image, to_uint8
from realisid_core.persons import Person, embed_person
from realisid_core.sampling.apply import Settings, apply_branch
from realisid_core.sampling.apply_attention import apply_attention
from realisid_core.sampling.guidance import IdentityGuidance
from realisid_core.sampling.rows import IdentityMode

from ..world import Scene, caption, render
from ..world.captions import own_caption, shared_caption
from .tasks import Task

PHOTO_SIZE = 512


@dataclass(frozen=True)
class Sampling:
    """How pictures are sampled. Where `identity_guidance` is None it equals `guidance`, and a step takes two passes."""

    steps: int = 16
    guidance: float = 3.0
    without_identity: IdentityMode = IdentityMode.OFF
    text_only_range: tuple[float, float] = (0.0, 1.0)
    reuse: int = 1
    one_pass: bool = False
    sharing: Sharing = Sharing.OWN_REGION
    identity_guidance: float | None = None
    own_words: bool = False  # each person's clothes are in a prompt of their own, not in the common one


class Painter:
    """Draws tasks with one RealisID checkpoint.

    Args:
        weights: folder of the miniature's weights.
        checkpoint: the RealisID checkpoint; None for the one among the weights.
    """

    def __init__(self, weights: Path, checkpoint: Path | None, sampling: Sampling):
        self.miniature = load_miniature(weights)
        self.realisid = load_checkpoint(checkpoint) if checkpoint else self.miniature.realisid
        self.sampling = sampling

    @torch.inference_mode()
    def draw(self, task: Task, seed: int) -> np.ndarray:
        """[256, 256, 3] uint8."""
        s = self.sampling
        text = shared_caption(task.scene) if s.own_words else caption(task.scene)
        prompts = self.miniature.prompt(text), self.miniature.prompt("")
        persons, model = self.persons(task), self.miniature.model
        if s.own_words:
            persons = self._speaking(persons, task)
            model = apply_attention(model, persons)
        for branch in (local_branch(self.realisid), global_branch(self.realisid, None, s.sharing, s.one_pass)):
            prompts = apply_branch(branch, *prompts, persons, Settings(reuse=s.reuse))
        lambda_i = s.guidance if s.identity_guidance is None else s.identity_guidance
        guidance = IdentityGuidance(lambda_i, s.without_identity, text_only_range=s.text_only_range)
        model = guidance.patch(model)
        return to_uint8(self.miniature.sample(*prompts, seed, s.steps, s.guidance, model).cpu())

    def _speaking(self, persons: list[Person], task: Task) -> list[Person]:
        """The persons with their clothes as their own words."""
        texts = (own_caption(person) for person in task.scene.people)
        return [
            replace(person, words=words_of(self.miniature.prompt(text)))
            for person, text in zip(persons, texts, strict=True)
        ]

    @torch.inference_mode()
    def reconstruct(self, task: Task) -> np.ndarray:
        """The true picture as the autoencoder alone leaves it: no checkpoint can draw a better one."""
        true = to_image(render(task.scene, self.miniature.architecture.image_size).image)
        vae = self.miniature.vae
        return to_uint8(vae.decode(vae.encode(true))[0].cpu())

    def persons(self, task: Task) -> list[Person]:
        frame = (self.miniature.architecture.image_size,) * 2
        return [
            Person(self._embedding(reference), donor_landmarks(donor), FaceBox(x, y, side, side), frame)
            for reference, donor, (x, y, side) in zip(
                task.references, task.donors, (person.box for person in task.scene.people), strict=True
            )
        ]

    @lru_cache(512)  # noqa: B019  the painter lives as long as its process
    def _embedding(self, reference: Scene) -> IDEmbedding:
        return embed_person(self.realisid, self.miniature.clip_vision, _photo(reference))[0]


def _photo(scene: Scene) -> Faces:
    """The face that is found in a portrait, as the shipped workflows find it; ID Embedding then parses it."""
    return detect_faces(to_image(render(scene, PHOTO_SIZE).image), maximum=1)


@lru_cache(1024)
def donor_landmarks(scene: Scene) -> dict:
    """What MediaPipe sees in a donor's portrait."""
    return landmarks_in(render(scene, PHOTO_SIZE).image, scene.people[0].box)


def landmarks_in(pixels: np.ndarray, box: tuple[float, float, float]) -> dict | None:
    """The face that MediaPipe finds about a box (x, y, side in fractions) of a picture uint8, or None."""
    size = len(pixels)
    x, y, side = (value * size for value in box)
    image = to_image(pixels)
    faces = faces_from_boxes(image, [{"x": x, "y": y, "width": side, "height": side}])
    found = face_landmarks(faces, skip=True)["frames"][0]
    return found[0] if found else None
