"""Values that no socket of its kind ever carries: an API graph may write a number where a connection belongs."""

from functools import cache

import photos
import pytest
import torch
from comfy_api.latest import io
from pictures import miniature
from realisid_pack.nodes import NODES

from realisid_core.geometry import FaceBox, FaceBoxes

WIDGETS = ("BOOLEAN", "COMBO", "FLOAT", "INT", "STRING", "REALISID_BOXES")


def linked_inputs(node: type[io.ComfyNode]) -> list[str]:
    return [one.id for one in node.define_schema().inputs if one.get_io_type() not in WIDGETS]


@cache
def astronaut() -> dict:
    return {"frames": [[photos.landmarks(photos.photo("astronaut"))]]}


def given(node: type[io.ComfyNode]) -> dict[str, object]:
    """What a node needs to get as far as the input in question: its defaults, and what is always there."""
    known = {
        "boxes": FaceBoxes((FaceBox(0, 0, 0.5, 0.5),), 64, 64),
        "image": torch.zeros(1, 64, 64, 3),
        "photo": torch.zeros(1, 64, 64, 3),
        "prompt": [[torch.zeros(1, 77, 192), {}]],
        "realisid": miniature().realisid,
        "persons": (),
        "model": miniature().model,
        "reference": astronaut(),
        "donor": astronaut(),
    }
    inputs = {one.id: getattr(one, "default", None) for one in node.define_schema().inputs}
    values = {name: known.get(name, value) for name, value in inputs.items()}
    if node.__name__ == "LocationBoxes":
        values |= {"boxes": "[]", "width": 64, "height": 64}  # what is drawn needs no other boxes
    optional = {one.id for one in node.define_schema().inputs if one.optional}
    return {name: value for name, value in values.items() if value is not None or name not in optional}


CASES = [(node, name) for node in NODES for name in linked_inputs(node)]


@pytest.mark.parametrize("node, name", CASES, ids=[f"{node.__name__}-{name}" for node, name in CASES])
@pytest.mark.parametrize("value", [99, "99", {"a": 1}], ids=["number", "text", "object"])
def test_another_kind_of_value_at_a_socket_is_named(node, name, value):
    said = f"{name}|landmarks" if name in ("faces", "pose", "reference", "donor") else name
    with pytest.raises(ValueError, match=rf"\b({said})\b"):
        node.execute(**(given(node) | {name: value}))
