"""What is read from a picture, to be held against what was asked for. Nobody here trained the two detectors."""

from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from realisid_core.geometry import square
from realisid_core.metrics.drawn_people import embed_faces
from realisid_core.metrics.place import overlaps
from realisid_core.metrics.pose import pose_errors
from realisid_core.perception import detect_faces
from realisid_core.perception.faces import to_image

from ..world import Scene, render
from .colours import background_colour, shirt_colour
from .generation import PHOTO_SIZE, donor_landmarks, landmarks_in
from .tasks import Task, frame_box


@dataclass(frozen=True)
class Measures:
    """Of one person in one picture; NaN where there is nothing to read.

    Attributes:
        task, person: numbers.
        similarity: of the face in the box with the person's own reference photo, -1..1.
        stranger: the same with the reference photo of somebody who is not in the picture.
        neighbour: the greatest with the reference photo of somebody else in the picture.
        overlap: intersection over union of YuNet's square with the face box; 0 where it found nobody there.
        people: how many faces YuNet found in the picture, less how many were asked for.
        yaw, pitch, roll: degrees between MediaPipe's reading of the picture and of the donor.
        jaw, smile, blink_left, blink_right: the same for blendshapes, 0..1.
        shirt, background: whether the colour is the one that the prompt names, 1 or 0.
    """

    task: int
    person: int
    similarity: float
    stranger: float
    neighbour: float
    overlap: float
    people: int
    yaw: float
    pitch: float
    roll: float
    jaw: float
    smile: float
    blink_left: float
    blink_right: float
    shirt: float
    background: float

    def row(self) -> dict[str, float]:
        return asdict(self)


@lru_cache(1024)
def reference_vector(reference: Scene) -> Tensor:
    """The recogniser's vector [128] of a portrait."""
    drawn = render(reference, PHOTO_SIZE)
    return embed_faces([drawn.image], drawn.boxes)[0]


def measure(picture: np.ndarray, number: int, task: Task, stranger: Scene) -> list[Measures]:
    """Everything about each person of `task` in a picture [S, S, 3] uint8."""
    size = len(picture)
    people = task.scene.people
    boxes = [frame_box(person, size) for person in people]
    faces = embed_faces([picture] * len(people), boxes)
    similar = faces @ torch.stack([reference_vector(one) for one in (*task.references, stranger)]).T
    squares = [square(*face.found) for face in _found(picture)]
    places = overlaps(boxes, squares)
    rows = []
    for i, person in enumerate(people):
        others = [similar[i, j].item() for j in range(len(people)) if j != i]
        angles = pose_errors(landmarks_in(picture, person.box), donor_landmarks(task.donors[i]))
        rows.append(
            Measures(
                task=number,
                person=i,
                similarity=similar[i, i].item(),
                stranger=similar[i, -1].item(),
                neighbour=max(others, default=float("nan")),
                overlap=places[i],
                people=len(squares) - len(people),
                **angles,
                shirt=shirt_colour(picture, task.scene, i),
                background=background_colour(picture, task.scene),
            )
        )
    return rows


def _found(picture: np.ndarray) -> list:
    image = to_image(picture)
    return detect_faces(image, required=False).faces[0]
