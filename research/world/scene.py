"""Who is in a picture, where, wearing what."""

from dataclasses import dataclass, replace

import numpy as np

from .background import PLACES, PLAIN
from .identity import Identity, sample_identity, sample_person
from .pose import Pose, sample_pose
from .texture import SHIRT_COLOURS, SHIRTS

Box = tuple[float, float, float]  # x, y, side
Light = tuple[float, float, float]  # degrees to the right of the viewer, degrees above, strength of the key light
STUDIO: Light = (-29.578, 31.419, 1.0)
STYLES = ("photo", "watercolor", "anime")


@dataclass(frozen=True)
class Person:
    """`box` (x, y, side), normalised: the square round the projected 468 landmarks by their longer edge."""

    identity: Identity
    pose: Pose
    box: Box
    shirt: tuple[str, str]  # colour, kind


@dataclass(frozen=True)
class Scene:
    """All that a picture of the face world shows. Larger faces stand in front."""

    people: tuple[Person, ...]
    background: tuple[str, str]  # ("plain", colour) or (place, "")
    style: str = "photo"
    seed: int = 0  # moves the background's details about
    light: Light = STUDIO


def sample_box(rng: np.random.Generator, side: float) -> Box:
    """A place for a face of this side, hair included, with room for shoulders below."""
    edge = 0.16 * side
    x = rng.uniform(edge, max(edge, 1 - edge - side))
    return _box(x, rng.uniform(*_heights(side)), side)


def _box(x: float, y: float, side: float) -> Box:
    return round(float(x), 4), round(float(y), 4), round(float(side), 4)


def _heights(side: float) -> tuple[float, float]:
    """Between which `y` a face of this side has its hair and some of its chest in the picture."""
    return 0.42 * side, max(0.42 * side, min(0.55 - 0.5 * side, 1 - 1.45 * side))


def sample_shirt(rng: np.random.Generator) -> tuple[str, str]:
    return str(rng.choice(tuple(SHIRT_COLOURS))), str(rng.choice(SHIRTS))


def sample_background(rng: np.random.Generator) -> tuple[str, str]:
    if rng.random() < 0.5:
        return "plain", str(rng.choice(tuple(PLAIN)))
    return str(rng.choice(tuple(PLACES))), ""


def sample_light(rng: np.random.Generator) -> Light:
    """From either side or from in front, from eye level to high above, weaker or stronger."""
    values = rng.uniform(-50, 50), rng.uniform(0, 60), rng.uniform(0.65, 1.2)
    return tuple(round(float(value), 3) for value in values)


def sample_scene(
    rng: np.random.Generator,
    people: int | tuple[int, int] = (1, 4),
    sizes: tuple[float, float] = (1 / 7, 1 / 2),
    overlap: bool = False,
    styles: tuple[str, ...] = ("photo",) * 7 + STYLES[1:] * 2,
    world: int = 1,
) -> Scene:
    """A scene of `people` (how many, or the range), faces of relative `sizes` as far as so many fit side by side.

    `overlap`: neighbours stand so close that their face boxes cover each other in part.
    `world`: whose people; in the second the light varies too.
    """
    count = int(people if isinstance(people, int) else rng.integers(people[0], people[1], endpoint=True))
    low, high = sizes
    high = max(low, min(high, (0.80 if count > 1 else 1.0) / count)) if not overlap else min(high, 1.1 / count)
    side = float(np.exp(rng.uniform(np.log(low), np.log(max(low, high)))))
    sides = side * np.exp(rng.uniform(-0.12, 0.12, count)) if count > 1 else np.array([side])
    sides = np.clip(sides, low, max(low, high))
    boxes = _close(rng, sides) if overlap and count > 1 else _apart(rng, sides)
    placed = []
    for box in boxes:
        who = (sample_person if world == 2 else sample_identity)(int(rng.integers(2**31)))
        placed.append(Person(who, sample_pose(rng), box, sample_shirt(rng)))
    scene = Scene(tuple(placed), sample_background(rng), str(rng.choice(styles)), int(rng.integers(2**31)))
    return replace(scene, light=sample_light(rng)) if world == 2 else scene


def _apart(rng: np.random.Generator, sides: np.ndarray) -> list[Box]:
    """The free width is dealt out at random between people of 1.3 face widths each."""
    if len(sides) == 1:
        return [sample_box(rng, float(sides[0]))]
    free = max(0.0, 1 - 1.3 * sides.sum())
    gaps = rng.dirichlet(np.ones(len(sides) + 1)) * free
    row = rng.uniform(*_heights(float(sides.max())))
    boxes, x = [], 0.0
    for side, gap in zip(sides, gaps, strict=False):
        x += gap + 0.15 * side
        y = max(row + rng.uniform(-0.25, 0.25) * side, 0.42 * side)
        boxes.append(_box(x, y, side))
        x += 1.15 * side
    return [boxes[index] for index in rng.permutation(len(boxes))]


def _close(rng: np.random.Generator, sides: np.ndarray) -> list[Box]:
    steps = sides * rng.uniform(0.7, 0.95, len(sides))
    start = rng.uniform(0, max(0.0, 1 - steps.sum()))
    y = 0.42 * sides.max() + rng.uniform(0, 0.2)
    boxes = []
    for side, step in zip(sides, steps, strict=True):
        boxes.append(_box(start, y + rng.uniform(-0.2, 0.2) * side, side))
        start += step
    return boxes


def vary(person: Person, rng: np.random.Generator) -> Person:
    """The same identity and place in another pose and other clothes."""
    return replace(person, pose=sample_pose(rng), shirt=sample_shirt(rng))


def portrait(identity: Identity, pose: Pose | None = None, side: float = 0.5) -> Scene:
    """One person in a white t-shirt in the middle of a gray picture: a reference photo."""
    box = _box(0.5 - side / 2, 0.56 - side / 2, side)
    return Scene((Person(identity, pose or Pose(), box, ("white", "t-shirt")),), ("plain", "gray"))
