"""What is asked for in the evaluation: held-out people of the face world in given places, poses and clothes."""

from dataclasses import dataclass, replace

import numpy as np

from ..world import Person, Pose, Scene, portrait, sample_identity, sample_scene

HELD_OUT = 5 << 33  # the first of their seeds; trainings draw theirs below 2³³, the recogniser below 2³⁴
DONORS = 6 << 33
MOST_PEOPLE = 4


@dataclass(frozen=True)
class Protocol:
    """A kind of picture: how many people, and the relative size of their faces.

    In every second picture of `overlapping` protocols the face boxes cover each other in part.
    """

    people: int
    side: float
    overlapping: bool = False


PROTOCOLS = {
    "one person, 1/4": Protocol(1, 1 / 4),
    "one person, 1/5": Protocol(1, 1 / 5),
    "one person, 1/6": Protocol(1, 1 / 6),
    "one person, 1/7": Protocol(1, 1 / 7),
    "two people, 1/4": Protocol(2, 1 / 4, overlapping=True),
    "three people, 1/5": Protocol(3, 1 / 5),
}


@dataclass(frozen=True)
class Task:
    """One picture to make.

    Attributes:
        scene: as the face world would draw it; the truth to compare with.
        references: for each person a portrait of theirs in another pose, which the ID embedding is made from.
        donors: for each person a portrait of somebody else with the pose and expression that are wanted.
    """

    scene: Scene
    references: tuple[Scene, ...]
    donors: tuple[Scene, ...]


def task(protocol: Protocol, number: int, seed: int = 0) -> Task:
    """Task `number` of a protocol. The same number shows the same people in every protocol.

    Args:
        seed: 0 are the held-out people; anything else is another set of people, for choosing settings.
    """
    rng = np.random.default_rng([HELD_OUT + seed, number])
    overlap = protocol.overlapping and number % 2 == 1
    scene = sample_scene(rng, protocol.people, (protocol.side, protocol.side), overlap, styles=("photo",))
    people, references, donors = [], [], []
    for place, person in enumerate(scene.people):
        own = (seed << 24) + number * MOST_PEOPLE + place
        person = replace(person, identity=sample_identity(HELD_OUT + own))
        people.append(person)
        references.append(portrait(person.identity, facing_the_camera(own)))
        donors.append(portrait(sample_identity(DONORS + own), person.pose))
    return Task(replace(scene, people=tuple(people)), tuple(references), tuple(donors))


def facing_the_camera(number: int) -> Pose:
    """The pose of an ordinary portrait."""
    yaw, pitch, roll, smile = np.random.default_rng([HELD_OUT, number, 1]).uniform(-1, 1, 4) * (20, 10, 8, 0.6)
    return Pose(yaw=float(yaw), pitch=float(pitch), roll=float(roll), smile=max(0.0, float(smile)))


def frame_box(person: Person, size: int) -> tuple[float, float, float, float]:
    """The person's face box in pixels of a picture of side `size`: x0, y0, x1, y1."""
    x, y, side = (value * size for value in person.box)
    return x, y, x + side, y + side
