"""A person: one individual's ID embedding, pose-expression landmarks and face box, with each branch's strength."""

from dataclasses import dataclass

from torch import Tensor

from .geometry import FaceBox, FaceBoxes
from .identity.clip_projector import IDEmbedding


@dataclass(frozen=True)
class Person:
    """One individual in one picture.

    Attributes:
        tokens: `p_id`, [1, T, context_dim].
        landmarks: a face in the host's FACE_LANDMARKS form; its pose-expression image `c_pe` is drawn from it.
        box: where the face goes, in fractions of the frame.
        frame: (width, height) of that frame in pixels.
        local_strength, global_strength: weights of this person's injections; 0 is not computed at all.
    """

    tokens: Tensor
    landmarks: dict
    box: FaceBox
    frame: tuple[int, int]
    local_strength: float = 1.0
    global_strength: float = 1.0


def first_face(landmarks: dict) -> dict:
    """The first face of a FACE_LANDMARKS value. Raises ValueError where no frame has one."""
    for frame in landmarks["frames"]:
        if frame:
            return frame[0]
    raise ValueError(
        "landmarks has no face in it, so there is no pose or expression to follow. Connect landmarks of a photo in "
        "which a face was found, or disconnect the input to use the reference photo's own."
    )


def place(
    embedding: IDEmbedding,
    boxes: FaceBoxes,
    index: int,
    landmarks: dict | None = None,
    local_strength: float = 1.0,
    global_strength: float = 1.0,
) -> Person:
    """Put a person into the box number `index` (from 0), with the pose and expression of `landmarks`.

    Raises:
        ValueError: an index without a box, or neither landmarks nor a reference photo that has them.
    """
    if not 0 <= index < len(boxes.boxes):
        raise ValueError(
            f"index is {index}, but there {_are(len(boxes.boxes))}, numbered from 0. "
            "Draw one more box or choose a smaller index."
        )
    if landmarks is None and embedding.landmarks is None:
        raise ValueError(
            "No landmarks were found in the reference photo, so its pose and expression are unknown. "
            "Connect the landmarks of another photo."
        )
    return Person(
        embedding.tokens,
        first_face(landmarks) if landmarks is not None else embedding.landmarks,
        boxes.boxes[index],
        (boxes.width, boxes.height),
        local_strength,
        global_strength,
    )


def _are(count: int) -> str:
    return {0: "are no face boxes", 1: "is 1 face box"}.get(count, f"are {count} face boxes")


def combine(groups: list[tuple[Person, ...]]) -> tuple[Person, ...]:
    """All persons of one picture. Raises ValueError where their boxes were drawn for different frames."""
    persons = tuple(person for group in groups for person in group)
    frames = {person.frame for person in persons}
    if len(frames) > 1:
        sizes = " and ".join(f"{width}×{height}" for width, height in sorted(frames))
        raise ValueError(f"The persons' face boxes are for different pictures: {sizes}. Use boxes of one picture size.")
    return persons
