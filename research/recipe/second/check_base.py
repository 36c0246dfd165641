"""The gate of the base: does a picture show what its caption says, and do detectors find its faces?"""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from realisid_core.miniature.loading import load_miniature
from realisid_core.perception import detect_faces, face_landmarks, faces_from_boxes
from realisid_core.perception.faces import to_image, to_uint8

from ...evaluation.colours import background_colour, shirt_colour
from ...world import Scene, placed_caption, sample_scene

FIRST = 24 << 33  # the scenes' seeds; nothing else uses these
STEPS, GUIDANCE = 20, 4.0
SMALL, LARGE = 1 / 6, 1 / 5  # relative sizes of a face, by which detection is told apart


def check_base(weights: Path, pictures: int, show=print) -> None:
    """Print the share that is right of people, shirts and backgrounds, with standard errors over pictures.

    Args:
        pictures: of each number of people.
    """
    miniature = load_miniature(weights)
    for people in (1, 2, 3, 4):
        seen: dict[str, list[float]] = defaultdict(list)
        for number in range(pictures):
            scene = sample_scene(np.random.default_rng([FIRST, people, number]), people, styles=("photo",), world=2)
            prompts = miniature.prompt(placed_caption(scene)), miniature.prompt("")
            picture = to_uint8(miniature.sample(*prompts, number, STEPS, GUIDANCE))
            for name, values in judged(picture, scene).items():
                seen[name] += values
        shares = (f"{name} {_share(values)} (n = {len(values)})" for name, values in seen.items())
        show(f"{people} people, {pictures} pictures: {', '.join(shares)}", flush=True)


def judged(picture: np.ndarray, scene: Scene) -> dict[str, list[float]]:
    """What is right in a picture [S, S, 3] uint8 of a scene, 1 or 0 each; colours only where as many faces are found as
    the scene has people, from left to right."""
    side = len(picture)
    image = to_image(picture)
    boxes = sorted(face.square for face in detect_faces(image, required=False).faces[0])
    right = len(boxes) == len(scene.people)
    seen = {"right number": [float(right)], "backgrounds": [background_colour(picture, scene)]}
    if right:
        row = sorted(scene.people, key=lambda person: person.box[0] + person.box[2] / 2)
        places = [(x0 / side, y0 / side, (x1 - x0) / side) for x0, y0, x1, _ in boxes]
        there = tuple(replace(person, box=box) for person, box in zip(row, places, strict=True))
        seen["shirts"] = [shirt_colour(picture, replace(scene, people=there), number) for number in range(len(there))]
    for x0, y0, x1, y1 in boxes:
        faces = faces_from_boxes(image, [{"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0}])
        relative = (x1 - x0) / side
        size = "small" if relative < SMALL else "large" if relative > LARGE else "middling"
        read = bool(face_landmarks(faces, skip=True)["frames"][0])
        seen.setdefault(f"{size} faces read by MediaPipe", []).append(float(read))
    return {name: [value for value in values if not np.isnan(value)] for name, values in seen.items()}


def _share(values: list[float]) -> str:
    if not values:
        return "nan"
    error = np.std(values) / len(values) ** 0.5
    return f"{100 * np.mean(values):.1f} ± {100 * error:.1f} %"
