"""Is it them? The likeness of each person in finished pictures, by their reference photos and a judge."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..geometry import FaceBox, FaceBoxes
from ..perception import Face, Faces, checked_image, detect_faces, require_faces
from ..persons import Person, check_persons
from .judges import Judge
from .likeness import averaged, similarities
from .place import own_detections

SAME_SHAPE = 0.02  # how much the sides' ratio of picture and frame may differ


@dataclass(frozen=True)
class Wanted:
    """Somebody who should be in the picture.

    Attributes:
        name: to call them by.
        references: their photos' faces; all are of this one person.
        box: where their face should be; None takes the face that is most like them.
        frame: (width, height) in pixels of the picture that the box was drawn for; None where there is no box.
    """

    name: str
    references: Faces
    box: FaceBox | None = None
    frame: tuple[int, int] | None = None


@dataclass(frozen=True)
class Score:
    """Attributes:
    name: of the person.
    similarity: the judge's, -1..1; 0 where no face was found.
    square: the face that was judged, in pixels; None where none was found.
    """

    name: str
    similarity: float
    square: tuple[float, float, float, float] | None


def wanted_people(
    persons: object = None, references: Faces | None = None, boxes: FaceBoxes | None = None
) -> list[Wanted]:
    """Who should be in the picture: either `persons`, or `references` (faces of one person, or one for each box).

    Raises:
        ValueError: both or neither, persons whose photos are not known, or another number of faces than of boxes.
    """
    if (persons is None) == (references is None):
        both = "Neither persons nor references is" if persons is None else "Both persons and references are"
        raise ValueError(f"{both} connected. Connect one of them: it says who should be in the picture.")
    if persons is not None:
        return _of_persons(persons)
    faces = require_faces(references)
    if boxes is None or len(boxes.boxes) == 1:
        box = None if boxes is None else boxes.boxes[0]
        return [Wanted(_called(1, box), faces, box, None if boxes is None else (boxes.width, boxes.height))]
    if len(faces) != len(boxes.boxes):
        raise ValueError(
            f"references has {len(faces)} faces and boxes has {len(boxes.boxes)} boxes; expected one face for each "
            "box, in their order. To give several photos of a person, connect persons instead."
        )
    each = [Faces(faces.image[index : index + 1], [[face]]) for index, face in faces]
    frame = boxes.width, boxes.height
    return [
        Wanted(_called(n, box), one, box, frame) for n, (one, box) in enumerate(zip(each, boxes.boxes, strict=True), 1)
    ]


def _of_persons(persons: object) -> list[Wanted]:
    check_persons(persons)
    people: list[Person] = list(persons) if isinstance(persons, (list, tuple)) else [persons]  # pyright: ignore
    wanted = []
    for number, person in enumerate(people, 1):
        reference = None if person.embedding is None else person.embedding.reference
        if reference is not None:
            wanted.append(Wanted(_called(person.number or number, person.box), reference, person.box, person.frame))
    if not wanted:
        raise ValueError(
            "persons has nobody with a reference photo, so there is nothing to compare with. Connect id_embedding of "
            "Person, or references."
        )
    return wanted


def _called(number: int, box: FaceBox | None) -> str:
    name = " ".join(box.name.split()) if box is not None else ""
    return name or f"person {number}"


def score_pictures(image: Tensor, people: Sequence[Wanted], judge: Judge) -> list[list[Score]]:
    """For each picture of [B, H, W, C] everybody's score, in the order of `people`.

    Raises:
        ValueError: a reference photo in which the judge sees no face, or boxes drawn for another shape of picture.
    """
    image = checked_image(image)
    refuse_another_shape(image, people)
    own = torch.stack([averaged(judge.vectors(one.references)) for one in people])
    for one, vector in zip(people, own, strict=True):
        if vector.isnan().any():
            raise ValueError(f"{judge.name} sees no face in the reference photo of {one.name}. Take another photo.")
    found = detect_faces(image, required=False)
    return [_scores(Faces(image[n : n + 1], [faces]), people, own, judge) for n, faces in enumerate(found.faces)]


def refuse_another_shape(image: Tensor, people: Sequence[Wanted]) -> None:
    """Raises ValueError where the boxes were drawn for a picture of other proportions."""
    height, width = image.shape[1:3]
    for frame in (one.frame for one in people if one.frame is not None):
        if abs(width * frame[1] / (height * frame[0]) - 1) > SAME_SHAPE:
            raise ValueError(
                f"image is {width}×{height}, but the face boxes were drawn for {frame[0]}×{frame[1]}. Connect the "
                "picture that was made with these boxes, uncropped."
            )


def likeness(scores: Sequence[Score]) -> float:
    """Of a whole picture: the mean of everybody in it."""
    return sum(score.similarity for score in scores) / len(scores)


def _scores(faces: Faces, people: Sequence[Wanted], own: Tensor, judge: Judge) -> list[Score]:
    found: list[Face] = faces.faces[0]
    if not found:
        return [Score(one.name, 0.0, None) for one in people]
    table = similarities(own, judge.vectors(faces)).nan_to_num(0.0)
    which = _whose(people, found, faces.image, table)
    return [
        Score(one.name, 0.0, None) if j is None else Score(one.name, float(table[i, j]), found[j].square)
        for i, (one, j) in enumerate(zip(people, which, strict=True))
    ]


def _whose(people: Sequence[Wanted], found: list[Face], image: Tensor, table: Tensor) -> list[int | None]:
    """The number of each person's face: the one in their box, or without a box the one most like them."""
    height, width = image.shape[1:3]
    boxed = [i for i, one in enumerate(people) if one.box is not None]
    boxes = [one.box.scaled(width, height) for one in people if one.box is not None]
    which: list[int | None] = [None] * len(people)
    for i, j in zip(boxed, own_detections(boxes, [face.square for face in found]), strict=True):
        which[i] = j
    for i in set(range(len(people))) - set(boxed):
        which[i] = int(table[i].argmax())
    return which
