"""Socket types: the pack's own, and those of newer hosts that older ones lack."""

from typing import Any, TypeVar

from comfy.clip_vision import ClipVisionModel
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..realisid_core.geometry import FaceBoxes as Boxes
from ..realisid_core.identity.encoder import IDEmbedding as Embedding
from ..realisid_core.model import RealisIDModel as Model
from ..realisid_core.perception import Faces as FoundFaces

RealisIDModel = io.Custom("REALISID_MODEL")
Faces = io.Custom("FACES")
IDEmbedding = io.Custom("ID_EMBEDDING")
FaceBoxes = io.Custom("FACE_BOXES")
Persons = io.Custom("PERSONS")
FaceLandmarks = io.Custom("FACE_LANDMARKS")
BoundingBox = io.Custom("BOUNDING_BOX")

T = TypeVar("T")

# What arrives at inputs of these names, whichever node they are of.
KINDS: dict[str, type] = {
    "boxes": Boxes,
    "clip_vision": ClipVisionModel,
    "faces": FoundFaces,
    "id_embedding": Embedding,
    "model": ModelPatcher,
    "negative": list,
    "persons": tuple,
    "positive": list,
    "prompt": list,
    "realisid": Model,
}


def aliases(*words: str) -> dict[str, list[str]]:
    """Other words to find a node by, as a field of its schema; nothing on hosts that search by its name only."""
    return {"search_aliases": list(words)} if "search_aliases" in io.Schema.__dataclass_fields__ else {}


def connected(**values: Any) -> None:
    """Raises ValueError naming the first of a node's inputs that holds another kind of value than `KINDS` says.

    An API graph may give a number where a connection belongs, and other packs have sockets of the same names. None is
    an input that is not connected.
    """
    for name, value in values.items():
        if value is not None:
            received(name, value, KINDS[name])


def received(name: str, value: object, kind: type[T]) -> T:
    """`value`, if it is of our `kind`. Raises ValueError if not."""
    if not isinstance(value, kind):
        raise ValueError(
            f"{name} is of type {type(value).__name__}; expected {kind.__name__}. Connect an output of the right kind."
        )
    return value
