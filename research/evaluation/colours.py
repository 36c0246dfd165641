"""Whether shirts and backgrounds have the colours that the prompt names: is the nearest of the world's colours theirs?

What each colour looks like is learnt from true pictures, light and folds included, not from the names' own values.
"""

from functools import lru_cache

import numpy as np

from ..world import Scene, render, sample_scene
from .tasks import frame_box

SEED = 17 << 33
EXAMPLES = 300
REACH = 1.1  # of a face's side, to each side of its middle: how far a body may reach


def shirt_colour(picture: np.ndarray, scene: Scene, person: int) -> float:
    """1 where the shirt's colour is the one asked for, 0 where it is another, NaN where no shirt can be seen."""
    colour = _shirt(picture, scene, person)
    return float("nan") if colour is None else float(_nearest("shirt", colour) == scene.people[person].shirt[0])


def background_colour(picture: np.ndarray, scene: Scene) -> float:
    """The same for a plain background; NaN where the prompt names a place."""
    kind, name = scene.background
    return float("nan") if kind != "plain" else float(_nearest("background", _background(picture)) == name)


def _shirt(picture: np.ndarray, scene: Scene, person: int) -> np.ndarray | None:
    """The median colour of both sides of the chest: ties, zips and what a suit leaves open are in its middle.

    What the body of somebody in front may cover is left out.
    """
    size = len(picture)
    x0, _, x1, y1 = frame_box(scene.people[person], size)
    side, middle = x1 - x0, (x0 + x1) / 2
    columns = np.arange(size)
    off = np.abs(columns - middle) / side
    seen = (off >= 0.4) & (off < 0.7)
    for other in scene.people[:person] + scene.people[person + 1 :]:
        left, _, right, _ = frame_box(other, size)
        if right - left >= 0.9 * side:  # larger faces stand in front; a turned one may be found smaller
            seen &= np.abs(columns - (left + right) / 2) > REACH * (right - left)
    top = y1 + 0.42 * side
    pixels = picture[round(top) : round(top + 0.3 * side)][:, seen].reshape(-1, 3)
    return None if len(pixels) < 8 else np.median(pixels, axis=0)


def _background(picture: np.ndarray) -> np.ndarray:
    """The median colour of the strip along the upper edge."""
    return np.median(picture[: len(picture) // 16].reshape(-1, 3), axis=0)


def _nearest(kind: str, colour: np.ndarray) -> str:
    names, colours = _prototypes()[kind]
    return names[int(np.linalg.norm(colours - colour, axis=1).argmin())]


@lru_cache
def _prototypes() -> dict[str, tuple[list[str], np.ndarray]]:
    """For shirts and for backgrounds the names, and the mean colours [N, 3] of true pictures that have them."""
    seen: dict[str, dict[str, list]] = {"shirt": {}, "background": {}}
    for number in range(EXAMPLES):
        scene = sample_scene(np.random.default_rng([SEED, number]), people=1, sizes=(1 / 7, 1 / 4), styles=("photo",))
        picture = render(scene, 128).image
        shirt = _shirt(picture, scene, 0)
        if shirt is not None:
            seen["shirt"].setdefault(scene.people[0].shirt[0], []).append(shirt)
        if scene.background[0] == "plain":
            seen["background"].setdefault(scene.background[1], []).append(_background(picture))
    return {kind: (list(found), np.stack([np.mean(c, axis=0) for c in found.values()])) for kind, found in seen.items()}
