"""From photos to an identity: what every encoder offers, and what comes out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from ..perception import Faces


@dataclass(frozen=True)
class Encoded:
    """What an encoder read from photos of one person.

    Attributes:
        tokens: `p_id`, [1, T, D].
        seen: the pictures that the encoder saw, [N, S, S, 3] in 0..1.
        extra: whatever else the method wants to know of a person, by name.
        notes: what was done to the photos otherwise than in training, one sentence each.
    """

    tokens: Tensor
    seen: Tensor
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    notes: Sequence[str] = ()


class Encoder(Protocol):
    """Photos of one person → ID embedding `p_id`."""

    @property
    def digest(self) -> str:
        """Equal for two encoders exactly if their weights are: embeddings of one serve the other."""
        ...

    def embed(self, image_encoder: object, faces: Faces) -> Encoded:
        """The identity of the person whose photos these faces are; there is at least one.

        Args:
            image_encoder: the host's CLIP_VISION or what else the encoder reads pictures with.

        Raises:
            ValueError: an image encoder of another kind, or faces that cannot be read.
        """
        ...

    def null(self) -> Tensor:
        """[1, T, D]: what "without ID embedding" meant in training."""
        ...


@dataclass(frozen=True)
class IDEmbedding:
    """One individual, ready to be placed.

    Attributes:
        tokens: `p_id`, [1, T, D].
        landmarks: the reference photo's own face in the host's FACE_LANDMARKS form; its pose and expression serve
            where no other photo gives them. None where no landmarks were found.
        method: whose embedding it is.
        digest: of the encoder that made it; empty where it is not known.
        extra: what else the method wants to know of a person, by name.
        reference: the faces of the photos it was made from, to compare pictures with; None where not known.
    """

    tokens: Tensor
    landmarks: dict | None = None
    method: str = "realisid"
    digest: str = ""
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    reference: Faces | None = field(default=None, repr=False)
