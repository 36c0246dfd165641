"""A person: one individual's ID embedding, pose-expression landmarks and face box, with each branch's strength."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from .geometry import FaceBox, FaceBoxes
from .identity.encoder import IDEmbedding
from .model import RealisIDModel
from .perception import Faces, face_landmarks


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
    """

    embedding: IDEmbedding | None
    landmarks: dict | None
    box: FaceBox
    frame: tuple[int, int]
    strengths: Mapping[str, float] = field(default_factory=dict)
    words: Tensor | None = None

    @property
    def tokens(self) -> Tensor:
        """`p_id`, [1, T, D]. Raises ValueError for a person without an embedding."""
        if self.embedding is None:
            raise ValueError("This person has no ID embedding. Connect id_embedding of Person.")
        return self.embedding.tokens

    def strength(self, branch: str) -> float:
        """Weight of this person's injections by a branch; without an embedding there are none."""
        return 0.0 if self.embedding is None else self.strengths.get(branch, 1.0)


def embed_person(realisid: RealisIDModel, image_encoder: object, faces: Faces) -> tuple[IDEmbedding, Tensor]:
    """The ID embedding of the person whose photos these faces are, and the pictures that the encoder saw, [N, S, S, 3].

    Raises:
        ValueError: no face, a checkpoint without an encoder, or an image encoder of another kind.
    """
    encoder = realisid.encoder  # before the work that its lack would waste
    if len(faces) == 0:
        raise ValueError("faces holds no face. Connect faces that RealisID_DetectFaces found.")
    encoded = encoder.embed(image_encoder, faces)
    found = [face for frame in face_landmarks(faces, skip=True)["frames"] for face in frame]
    landmarks = found[0] if found else None
    method = realisid.config.method
    return IDEmbedding(encoded.tokens, landmarks, method, encoder.digest, encoded.extra), encoded.seen


def refuse_foreign(persons: Sequence[Person], realisid: RealisIDModel) -> None:
    """Raises ValueError naming the first person who was embedded for another method or another model."""
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
    for frame in landmarks["frames"]:
        if frame:
            return frame[0]
    raise ValueError(
        "landmarks has no face in it, so there is no pose or expression to follow. Connect landmarks of a photo in "
        "which a face was found, or disconnect the input to use the reference photo's own."
    )


def place(
    embedding: IDEmbedding | None,
    boxes: FaceBoxes,
    index: int,
    landmarks: dict | None = None,
    strengths: Mapping[str, float] | None = None,
    words: Tensor | None = None,
) -> Person:
    """Put a person into the box number `index` (from 0), with the pose and expression of `landmarks`.

    Raises:
        ValueError: an index without a box, neither landmarks nor a reference photo that has them, or neither an
            identity nor words.
    """
    if embedding is None and words is None:
        raise ValueError(
            "Neither id_embedding nor prompt is connected, so nothing is known of this person. Connect one."
        )
    if not 0 <= index < len(boxes.boxes):
        raise ValueError(
            f"index is {index}, but there {_are(len(boxes.boxes))}, numbered from 0. "
            "Draw one more box or choose a smaller index."
        )
    own = None if embedding is None else embedding.landmarks
    if embedding is not None and landmarks is None and own is None:
        raise ValueError(
            "No landmarks were found in the reference photo, so its pose and expression are unknown. "
            "Connect the landmarks of another photo."
        )
    face = own if landmarks is None else first_face(landmarks)
    return Person(embedding, face, boxes.boxes[index], (boxes.width, boxes.height), strengths or {}, words)


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
