"""Any graph of ComfyUI's API with named holes: `"{{prompt}}"` in place of a value, or `--hole prompt=NODE.INPUT`."""

import copy
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

HOLE = re.compile(r"\{\{(\w+)\}\}")
SAVERS = ("SaveImage", "PreviewImage")
NAMES = ("prompt", "seed", "boxes", "width", "height")  # and reference_1, pose_1, … of each person


def load_graph(path: Path, holes: Sequence[str] = (), settings: Sequence[str] = ()) -> dict[str, dict]:
    """The graph of a file, with more holes (`name=node.input`) and other values (`node.input=value`) put in.

    Raises ValueError: no such file, not the API format, no such node or input, no hole for a photo, or a hole of a name
    that nothing fills.
    """
    try:
        graph = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"graph: {path} cannot be read as JSON ({type(error).__name__}).") from error
    if not isinstance(graph, dict) or not all(isinstance(n, dict) and "class_type" in n for n in graph.values()):
        raise ValueError(f"graph: {path} is not in the API format. In ComfyUI, take Workflow > Export (API).")
    for text in holes:
        name, _, place = text.partition("=")
        _put(graph, place, "{{" + name + "}}", f"--hole {text}")
    for text in settings:
        place, _, value = text.partition("=")
        _put(graph, place, _value(value), f"--set {text}")
    unknown = [
        name for name in names_in(graph) if name not in NAMES and not re.fullmatch(r"(reference|pose)_\d+", name)
    ]
    if unknown:
        raise ValueError(
            f"graph: nothing fills {{{{{unknown[0]}}}}}; expected {', '.join(NAMES)}, reference_1 or pose_1 and so on."
        )
    if "reference_1" not in names_in(graph):
        raise ValueError(
            'graph: there is no hole for a person\'s photo. Put "{{reference_1}}" into its Load Image node, or say '
            "--hole reference_1=NODE.image."
        )
    return graph


def _put(graph: dict, place: str, value: object, asked: str) -> None:
    node, _, name = place.rpartition(".")
    if node not in graph or name not in graph[node]["inputs"]:
        raise ValueError(f"{asked}: the graph has no input {place!r}; expected NODE.INPUT, such as {_example(graph)}.")
    graph[node]["inputs"][name] = value


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _example(graph: dict) -> str:
    return next((f"{node}.{name}" for node, each in graph.items() for name in each["inputs"]), "3.seed")


def names_in(graph: Mapping[str, dict]) -> set[str]:
    """The holes' names."""
    values = (value for node in graph.values() for value in node["inputs"].values() if isinstance(value, str))
    return {name for value in values for name in HOLE.findall(value)}


def filled(graph: Mapping[str, dict], values: Mapping[str, object]) -> dict[str, dict]:
    """A copy with every hole filled; one that is a whole value keeps the type of what fills it."""
    made = copy.deepcopy(dict(graph))
    for node in made.values():
        for name, value in node["inputs"].items():
            if isinstance(value, str):
                whole = HOLE.fullmatch(value)
                text = HOLE.sub(lambda found: str(values[found[1]]), value)
                node["inputs"][name] = values[whole[1]] if whole else text
    return made


def picture_node(graph: Mapping[str, dict], chosen: str | None = None) -> str:
    """Which node shows the picture that counts. Raises ValueError where that is not clear."""
    savers = [name for name, node in graph.items() if node["class_type"] in SAVERS]
    if chosen is not None and chosen not in graph:
        raise ValueError(f"--picture {chosen}: the graph has no such node; it saves pictures in {', '.join(savers)}.")
    if chosen is None and len(savers) != 1:
        raise ValueError(
            f"graph: {len(savers)} nodes save or show pictures ({', '.join(savers)}). Say which counts: --picture NODE."
        )
    return chosen or savers[0]
