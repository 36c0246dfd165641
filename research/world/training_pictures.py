"""Training pictures of the face world, as a source of the core's `prepare`: no picture twice, nothing detected."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
from torch import Tensor

from realisid_core.identity.clip_projector import CROP_SIZE
from realisid_core.identity.photo_path import WORLD, PhotoPath
from realisid_core.training.pictures import Portrait

from . import Person, caption, placed_caption, render, sample_scene, vary
from .references import reference_crop

PEOPLE = (0.6, 0.25, 0.15)  # how often one, two, three people
FAMILY = (0.3, 0.3, 0.2, 0.2)  # and one to four, where all of them are learnt from
OVERLAPPING = 0.25  # of the pictures of several people
REFERENCE_SIDES = (0.25, 0.6)  # relative sizes of the face in the picture that the ID embedding is made from


@dataclass(frozen=True)
class WorldPictures:
    """A `PictureSource`. Picture `number` depends on the seed and the number alone, so any part can be made anew.

    Attributes:
        seed: of all pictures.
        pictures: how many.
        image_size: their side in pixels.
        people: at most so many in a picture.
        world: whose people (`sample_scene`).
        shard_size: pictures in a shard.
        faces: with how many of them at most each picture comes.
        photo_path: what the checkpoint will say of the crops; of the masks, the widest of those that come up.
    """

    seed: int
    pictures: int
    image_size: int
    people: int = len(PEOPLE)
    world: int = 2
    shard_size: int = 512
    photo_path: PhotoPath = WORLD
    faces: int = 1

    def settings(self) -> dict[str, object]:
        settings = asdict(self)
        if self.faces == 1:  # folders that were begun before there could be more
            del settings["faces"]
        return settings

    def items(self) -> list[list[int]]:
        """The first picture's number and the one after the last."""
        starts = range(0, self.pictures, self.shard_size)
        return [[start, min(start + self.shard_size, self.pictures)] for start in starts]

    def portraits(self, item: list[int], dropped: dict[str, list[str]]) -> Iterator[Portrait]:
        return (self.portrait(number) for number in range(*item))

    def portrait(self, number: int) -> Portrait:
        """Picture `number`: the landmarks of its first `faces` people, and their faces from other pictures.

        The ID embedding comes from another pose, in other clothes and light: what a collection of photos cannot give,
        and what makes the branches take pose and expression from the landmarks alone. Others in the picture are in its
        caption only. People come in random order, so the first may stand anywhere.
        """
        rng = np.random.default_rng([self.seed, number])
        shares = np.array((PEOPLE if self.faces == 1 else FAMILY)[: self.people])
        count = int(rng.choice(len(shares), p=shares / shares.sum())) + 1
        overlap = count > 1 and rng.random() < OVERLAPPING
        scene = sample_scene(rng, people=count, overlap=overlap, world=self.world)
        drawn = render(scene, self.image_size)
        people = zip(scene.people[: self.faces], drawn.landmarks, strict=False)
        faces = [(self._reference(person, rng), points / self.image_size) for person, points in people]
        return Portrait(
            source=f"world {self.world}, seed {self.seed}, picture {number}",
            image=drawn.image,
            face_crop=faces[0][0],
            landmarks=faces[0][1],
            caption=(placed_caption if self.world == 2 else caption)(scene),
            sizes=(self.image_size, self.image_size, 0, 0, self.image_size, self.image_size),
            others=faces[1:],
        )

    def _reference(self, person: Person, rng: np.random.Generator) -> Tensor:
        """The masked crop of a photo of theirs."""
        side = float(rng.uniform(*REFERENCE_SIDES))
        at = (1 - side) / 2 + rng.uniform(-0.1, 0.1, 2)
        scene = sample_scene(rng, people=1, styles=("photo",), world=self.world)
        person = replace(vary(person, rng), box=(*map(float, at), side))
        return reference_crop(render(replace(scene, people=(person,)), self.image_size), rng, CROP_SIZE)
