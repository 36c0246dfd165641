"""A person: one individual's ID embedding, pose-expression landmarks and face box, with each branch's strength."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from .geometry import FaceBox, FaceBoxes
from .identity.encoder import Encoded, IDEmbedding
from .model import RealisIDModel
from .perception import Faces, require_faces
from .perception.landmarks import checked_frames, landmarked

LONGEST_NAME = 200  # characters of a box's name that are looked at


@dataclass(frozen=True)
class Person:
    """One individual in one picture.

    Attributes:
        embedding: who it is: `p_id`, and whatever else the method wants to know of a person. None for somebody who has
            words and a place only.
        landmarks: a face in the host's FACE_LANDMARKS form; its pose-expression image `c_pe` is drawn from it. None
            only without an embedding.
        box: where the face goes, in fractions of the frame.
        frame: (width, height) of that frame in pixels.
        strengths: weight of this person in each branch, by the branch's name; 1 where not named, 0 is not computed.
        words: the person's own prompt, [1, T, context_dim], or None.
        layout, number: the boxes of which this one is number so and so, counted from 1; None and 0 where not known.
    """

    embedding: IDEmbedding | None
    landmarks: dict | None
    box: FaceBox
    frame: tuple[int, int]
    strengths: Mapping[str, float] = field(default_factory=dict)
    words: Tensor | None = None
    layout: FaceBoxes | None = None
    number: int = 0

    @property
    def where(self) -> str:
        """What to call the box: "face box 2 (Ada)"."""
        return _where(self.number, self.box.name) if self.number else "the same face box"

    @property
    def tokens(self) -> Tensor:
        """`p_id`, [1, T, D]. Raises ValueError for a person without an embedding."""
        if self.embedding is None:
            raise ValueError("This person has no ID embedding. Connect id_embedding of Person.")
        return self.embedding.tokens

    def strength(self, branch: str) -> float:
        """Weight of this person's injections by a branch; without an embedding there are none."""
        return 0.0 if self.embedding is None else self.strengths.get(branch, 1.0)


def embed_person(realisid: RealisIDModel, image_encoder: object, faces: Faces) -> tuple[IDEmbedding, Encoded]:
    """The ID embedding of the person whose photos these faces are, and what the encoder saw and has to say.

    Args:
        image_encoder: the host's CLIP_VISION; None takes what came with `realisid`.

    Raises:
        ValueError: no face, several in one picture, a checkpoint without an encoder, or an image encoder of another
            kind.
    """
    encoder = realisid.encoder  # before the work that its lack would waste
    require_faces(faces)
    for number, found in enumerate(faces.faces, 1):
        if len(found) > 1:
            raise ValueError(
                f"There are {len(found)} faces in picture {number} of faces, and an ID embedding is of one person. "
                "In the node that found them, set face to the number of theirs; its preview shows the numbers."
            )
    encoded = encoder.embed(realisid.image_encoder if image_encoder is None else image_encoder, faces)
    method, landmarks = realisid.config.method, _own_landmarks(faces)
    return IDEmbedding(encoded.tokens, landmarks, method, encoder.digest, encoded.extra, faces), encoded


def _own_landmarks(faces: Faces) -> dict | None:
    """Those of the first photo that has any; None also where MediaPipe is not there to look."""
    return next((face.landmarks for _, face in landmarked(faces) if face.landmarks is not None), None)


def check_persons(persons: object) -> None:
    """Raises ValueError where a value is not what Person and Combine Persons make: other packs have such sockets."""
    for person in persons if isinstance(persons, (list, tuple)) else [persons]:
        if not isinstance(person, Person):
            raise ValueError(f"persons holds a {type(person).__name__}. Connect RealisID's Person or Combine Persons.")


def refuse_foreign(persons: Sequence[Person], realisid: RealisIDModel) -> None:
    """Raises ValueError naming the first person who was embedded for another method or another model."""
    check_persons(persons)
    config, digest = realisid.config, None
    for number, person in enumerate(persons, 1):
        embedding = person.embedding
        if embedding is None:
            continue
        width = getattr(realisid.config, "context_dim", embedding.tokens.shape[-1])
        remedy = "Make the embedding with the same RealisID model."
        if embedding.method != config.method:
            raise ValueError(
                f"Person {number} was embedded for the method {embedding.method}; {realisid.name} is of "
                f"{config.method}. {remedy}"
            )
        if embedding.tokens.shape[-1] != width:
            raise ValueError(
                f"The ID embedding of person {number} has width {embedding.tokens.shape[-1]}; {realisid.name} expects "
                f"{width}. {remedy}"
            )
        if embedding.digest:
            digest = digest or realisid.encoder.digest
            if embedding.digest != digest:
                raise ValueError(
                    f"Person {number} was embedded with another RealisID model than {realisid.name}, whose branches "
                    f"read other tokens. {remedy}"
                )


def first_face(landmarks: dict) -> dict:
    """The first face of a FACE_LANDMARKS value. Raises ValueError where no frame has one."""
    for frame in checked_frames(landmarks):
        if frame:
            return frame[0]
    raise ValueError(
        "landmarks has no face in it, so there is no pose or expression to follow. Connect landmarks of a photo in "
        "which a face was found, or disconnect the input to use the reference photo's own."
    )


def place(
    embedding: IDEmbedding | None,
    boxes: FaceBoxes,
    box: str | int = 1,
    landmarks: dict | None = None,
    strengths: Mapping[str, float] | None = None,
    words: Tensor | None = None,
) -> Person:
    """Put a person into a face box, with the pose and expression of `landmarks`.

    Args:
        box: number, counted from 1, or name.

    Raises:
        ValueError: a box that is not there, a strength that is no number, neither landmarks nor a reference photo that
            has them, or neither an identity nor words.
    """
    if embedding is None and words is None:
        raise ValueError(
            "Neither id_embedding nor prompt is connected, so nothing is known of this person. Connect one."
        )
    for branch, strength in (strengths or {}).items():
        if not math.isfinite(strength):
            raise ValueError(f"{branch}_strength is {strength}; expected a number from 0 to 2.")
    number = box_number(boxes, box)
    own = None if embedding is None else embedding.landmarks
    if embedding is not None and landmarks is None and own is None:
        raise ValueError(
            "No landmarks are known of the reference photo, and so no pose and expression: none were found, or "
            "MediaPipe is not installed. Connect the landmarks of another photo."
        )
    face = own if landmarks is None else first_face(landmarks)
    frame = boxes.width, boxes.height
    return Person(embedding, face, boxes.boxes[number - 1], frame, strengths or {}, words, boxes, number)


def box_number(boxes: FaceBoxes, box: str | int) -> int:
    """Which box is meant, counted from 1. Raises ValueError where there is none, or several of the name."""
    wanted = " ".join(str(box)[:LONGEST_NAME].split())
    names = [" ".join(each.name.split()) for each in boxes.boxes]
    named = [number for number, name in enumerate(names, 1) if name and name.casefold() == wanted.casefold()]
    if len(named) > 1:
        numbers = " and ".join(map(str, named))
        raise ValueError(f"Face boxes {numbers} have the same name {wanted!r}. Give the number of one, or rename it.")
    if named:
        return named[0]
    numbers = [str(number) for number in range(1, len(names) + 1)]
    if wanted in numbers:
        return int(wanted)
    there = ", ".join(f"{number} ({name})" if name else str(number) for number, name in enumerate(names, 1))
    raise ValueError(
        f"There is no face box {wanted!r}. "
        + (f"The boxes are {there}: choose one by its number or its name." if names else "No box is drawn: draw one.")
    )


def refuse_several_pictures(persons: Sequence[Person]) -> None:
    """Raises ValueError where the persons' boxes were drawn for frames of different sizes."""
    frames = {person.frame for person in persons}
    if len(frames) > 1:
        sizes = " and ".join(f"{width}×{height}" for width, height in sorted(frames))
        raise ValueError(f"The persons' face boxes are for different pictures: {sizes}. Use boxes of one picture size.")


def combine(groups: Sequence[tuple[Person, ...]]) -> tuple[Person, ...]:
    """All persons of one picture.

    Raises:
        ValueError: boxes that were drawn for different frames, or two persons in one box; names both.
    """
    persons = tuple(person for group in groups for person in group)
    check_persons(persons)
    refuse_several_pictures(persons)
    for place, person in enumerate(persons, 1):
        for other_place, other in enumerate(persons[: place - 1], 1):
            if replace(person.box, name="") == replace(other.box, name=""):
                raise ValueError(
                    f"Persons {other_place} and {place} are both in {person.where}, where they would become one. "
                    "Choose another box for one of them."
                )
    return persons


def empty_boxes(persons: Sequence[Person]) -> list[str]:
    """What to call the boxes of these persons' picture that nobody is in: "face box 2 (Ada)"."""
    layouts = {person.layout for person in persons if person.layout is not None}
    if len(layouts) != 1:  # boxes of several nodes: which of them are meant is not known
        return []
    (layout,) = layouts
    taken = {person.number for person in persons}
    return [_where(number, box.name) for number, box in enumerate(layout.boxes, 1) if number not in taken]


def _where(number: int, name: str) -> str:
    name = " ".join(name.split())
    return f"face box {number} ({name})" if name else f"face box {number}"
