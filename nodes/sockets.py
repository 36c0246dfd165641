"""Socket types: the pack's own, and those of newer hosts that older ones lack."""

from typing import TypeVar

from comfy_api.latest import io

RealisIDModel = io.Custom("REALISID_MODEL")
Faces = io.Custom("FACES")
IDEmbedding = io.Custom("ID_EMBEDDING")
FaceBoxes = io.Custom("FACE_BOXES")
Persons = io.Custom("PERSONS")
FaceLandmarks = io.Custom("FACE_LANDMARKS")
BoundingBox = io.Custom("BOUNDING_BOX")

T = TypeVar("T")


def aliases(*words: str) -> dict[str, list[str]]:
    """Other words to find a node by, as a field of its schema; nothing on hosts that search by its name only."""
    return {"search_aliases": list(words)} if "search_aliases" in io.Schema.__dataclass_fields__ else {}


def received(name: str, value: object, kind: type[T]) -> T:
    """`value`, if it is of our `kind`. Raises ValueError if not: other packs have sockets of the same names."""
    if not isinstance(value, kind):
        raise ValueError(
            f"{name} is a {type(value).__name__}, which RealisID's nodes do not make. Connect one of theirs."
        )
    return value
