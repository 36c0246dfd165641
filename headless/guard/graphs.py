"""Random API graphs: the shipped ones, changed as users, other packs and accidents change them."""

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..client import Workflow
from ..server import PACK

QUICK_STEPS = 2
CHANGES = 3  # at most, in one graph
LARGEST_SIDE = 384  # of a picture that is really sampled
HUGE = 10**9
HOSTILE = [
    *("", "abc", "NaN", "-1", "9" * 5000, "é漢字🙂", "\x00", "[" * 3000, "../../etc", '{"boxes": 5}'),
    *(None, True, False, [], {}, [1], [[1]], {"a": 1}),
    *(-1, 0, 0.5, 1, 2, 3, 99, -HUGE, HUGE, 1e308, math.nan, math.inf, -math.inf),
]
BOXES = [
    "[]",
    '[{"x": 0.1, "y": 0.1, "size": 0.3}, {"x": 0.1, "y": 0.1, "size": 0.3}]',
    '[{"x": 0.9, "y": 0.9, "size": 0.5, "name": "edge"}]',
    '[{"x": -0.2, "y": 0.2, "size": 0.6}]',
    '[{"x": 0.4, "y": 0.4, "size": 0.005}]',
    '[{"x": 0.1, "y": 0.1, "size": 100000}]',
    '[{"x": 0.1, "y": 0.1, "size": 1e400}]',
    '[{"x": NaN, "y": 0.1, "size": 0.3}]',
    '[{"x": "0.1", "y": 0.1, "size": 0.3}]',
    '[{"x": 0.1, "y": 0.1}]',
    '[{"x": 0.1, "y": 0.1, "size": 0.3, "name": "' + "n" * 20000 + '"}]',
    json.dumps([{"x": i / 12, "y": 0.2, "size": 0.1, "name": f"p{i}"} for i in range(12)]),
    '{"version": 99, "boxes": []}',
    '{"version": 1}',
    "null",
]
MODEL_PATCHES = [
    ("RescaleCFG", {"multiplier": 0.7}),
    ("PerturbedAttentionGuidance", {"scale": 3.0}),
    ("FreeU_V2", {"b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2}),
    ("HyperTile", {"tile_size": 64, "swap_size": 2, "max_depth": 0, "scale_depth": False}),
    ("TomePatchModel", {"ratio": 0.3}),
    ("ModelSamplingDiscrete", {"sampling": "v_prediction", "zsnr": False}),
]

Described = dict[str, dict]
"""The server's description of every node: /object_info."""


class Graphs:
    """Graph number `n` of a seed is always the same, for the same version of pack and host."""

    def __init__(self, described: Described, shipped: Path = PACK / "workflows" / "api"):
        self.described = described
        files = [shipped / "perception.json", *sorted(shipped.glob("*_miniature.json"))]
        self.shipped = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}

    def graph(self, seed: int, number: int) -> tuple[Workflow, list[str]]:
        """A graph, and what was changed in it, in words."""
        rng = np.random.default_rng([seed, number])
        name = str(rng.choice(list(self.shipped)))
        graph = copy.deepcopy(self.shipped[name])
        changes: list[Callable] = [hostile_value, extreme_value, other_value, other_boxes, rewired, unlinked, deleted]
        changes += [same_box_twice, applied_twice, region, second_pass, odd_photo, patched_model, batch]
        said = [name]
        for _ in range(int(rng.integers(0, CHANGES + 1))):
            change = changes[int(rng.integers(len(changes)))]
            if what := change(rng, graph, self.described):
                said.append(what)
        bounded(graph)
        return graph, said


# Changes: each takes the generator, the graph (changed in place) and the nodes' descriptions, and says what it did.


def hostile_value(rng, graph: Workflow, described: Described) -> str | None:
    return _set(rng, graph, described, lambda kind, options: HOSTILE[int(rng.integers(len(HOSTILE)))])


def extreme_value(rng, graph: Workflow, described: Described) -> str | None:
    def extreme(kind, options: dict):
        ends = [options[end] for end in ("min", "max") if end in options]
        return ends[int(rng.integers(len(ends)))] if ends else HOSTILE[int(rng.integers(len(HOSTILE)))]

    return _set(rng, graph, described, extreme)


def other_value(rng, graph: Workflow, described: Described) -> str | None:
    def allowed(kind, options: dict):
        choices = kind if isinstance(kind, list) else options.get("options")
        if choices:
            return choices[int(rng.integers(len(choices)))]
        if kind == "BOOLEAN":
            return bool(rng.integers(2))
        low, high = options.get("min", 0), options.get("max", 1)
        value = low + (min(high, low + 100) - low) * float(rng.random())
        return int(value) if kind == "INT" else value

    return _set(rng, graph, described, allowed)


def other_boxes(rng, graph: Workflow, described: Described) -> str | None:
    text = BOXES[int(rng.integers(len(BOXES)))]
    for node in _of(graph, "RealisID_LocationBoxes"):
        graph[node]["inputs"]["boxes"] = text
        return f"{node}.boxes = {text[:60]}"
    return None


def rewired(rng, graph: Workflow, described: Described) -> str | None:
    """A link moved to another output of the same type."""
    links = _links(graph)
    if not links:
        return None
    node, key = links[int(rng.integers(len(links)))]
    old = graph[node]["inputs"][key]
    kind = _outputs(graph, described, old[0])[old[1]]
    found = [[n, i] for n in graph for i, k in enumerate(_outputs(graph, described, n)) if k == kind]
    found = [link for link in found if link != old and node not in _upstream(graph, link[0])]
    if not found:
        return None
    graph[node]["inputs"][key] = found[int(rng.integers(len(found)))]
    return f"{node}.{key} <- {graph[node]['inputs'][key]}"


def unlinked(rng, graph: Workflow, described: Described) -> str | None:
    links = _links(graph)
    if not links:
        return None
    node, key = links[int(rng.integers(len(links)))]
    del graph[node]["inputs"][key]
    return f"{node}.{key} not connected"


def deleted(rng, graph: Workflow, described: Described) -> str | None:
    node = str(rng.choice(list(graph)))
    del graph[node]
    return f"{node} deleted"


def same_box_twice(rng, graph: Workflow, described: Described) -> str | None:
    """Another person, like one that is there, joined to everybody."""
    persons = _of(graph, "RealisID_Person") + _of(graph, "RealisID_PersonFromPhoto")
    if not persons:
        return None
    node = persons[int(rng.integers(len(persons)))]
    graph["twin"] = copy.deepcopy(graph[node])
    joined = {"class_type": "RealisID_CombinePersons", "inputs": {"person_1": [node, 0], "person_2": ["twin", 0]}}
    for user, key in _links(graph):
        if graph[user]["inputs"][key] == [node, 0] and "Apply" in graph[user]["class_type"]:
            graph[user]["inputs"][key] = ["joined", 0]
    graph["joined"] = joined
    return f"{node} twice in its box"


def applied_twice(rng, graph: Workflow, described: Described) -> str | None:
    branches = [n for n in graph if graph[n]["class_type"].startswith("RealisID_Apply")]
    if not branches:
        return None
    node = branches[int(rng.integers(len(branches)))]
    graph["again"] = copy.deepcopy(graph[node])
    for user, key in _links(graph):
        if graph[user]["inputs"][key][0] == node:
            graph[user]["inputs"][key] = ["again", graph[user]["inputs"][key][1]]
    applied = ("model", "positive", "negative") if "model" in graph[node]["inputs"] else ("positive", "negative")
    graph["again"]["inputs"] |= {name: [node, slot] for slot, name in enumerate(applied)}
    return f"{node} applied twice"


def region(rng, graph: Workflow, described: Described) -> str | None:
    """The positive prompt limited to an area, in pixels or in fractions."""
    samplers = _of(graph, "KSampler")
    if not samplers or not isinstance(graph[samplers[0]]["inputs"].get("positive"), list):
        return None
    inputs = graph[samplers[0]]["inputs"]
    x, y, width, height = (float(v) for v in rng.random(4))
    if rng.random() < 0.5:
        area = {"class_type": "ConditioningSetAreaPercentage", "inputs": {"x": x, "y": y, "strength": 1.0}}
        area["inputs"] |= {"width": width, "height": height}
    else:
        pixels = {"x": x * 512, "y": y * 512, "width": 64 + width * 256, "height": 64 + height * 256}
        area = {"class_type": "ConditioningSetArea", "inputs": {k: int(v) // 8 * 8 for k, v in pixels.items()}}
        area["inputs"]["strength"] = 1.0
    area["inputs"]["conditioning"] = inputs["positive"]
    graph["area"] = area
    inputs["positive"] = ["area", 0]
    return f"regional prompt {area['inputs']}"


def second_pass(rng, graph: Workflow, described: Described) -> str | None:
    """What was sampled, enlarged or cropped, and sampled again."""
    samplers = _of(graph, "KSampler")
    if not samplers or "again_sampled" in graph:
        return None
    first = samplers[0]
    if rng.random() < 0.5:
        sides = {"width": int(rng.integers(16, 48)) * 8, "height": int(rng.integers(16, 48)) * 8}
        change = {"class_type": "LatentUpscale", "inputs": {"upscale_method": "bilinear", "crop": "disabled", **sides}}
    else:
        part = {"width": 128, "height": 128, "x": 8 * int(rng.integers(16)), "y": 8 * int(rng.integers(16))}
        change = {"class_type": "LatentCrop", "inputs": part}
    for user, key in _links(graph):
        if graph[user]["inputs"][key] == [first, 0]:
            graph[user]["inputs"][key] = ["again_sampled", 0]
    change["inputs"]["samples"] = [first, 0]
    graph["changed_latent"] = change
    graph["again_sampled"] = copy.deepcopy(graph[first])
    graph["again_sampled"]["inputs"] |= {"latent_image": ["changed_latent", 0], "denoise": 0.5}
    return f"second pass after {change['class_type']}"


def odd_photo(rng, graph: Workflow, described: Described) -> str | None:
    """A photo that is empty, tiny, turned, a batch, or not a photo."""
    photos = [n for n in graph if graph[n]["class_type"] in ("RealisID_ExamplePortrait", "LoadImage")]
    if not photos:
        return None
    photo = photos[int(rng.integers(len(photos)))]
    source = [photo, 0]
    scaled = {"upscale_method": "bilinear", "crop": "disabled", "image": source}
    changes = [
        ("EmptyImage", {"width": 64, "height": 64, "batch_size": 1, "color": 0}),
        ("EmptyImage", {"width": 1, "height": 1, "batch_size": 2, "color": 255}),
        ("ImageScale", {**scaled, "width": 8, "height": 8}),
        ("ImageScale", {**scaled, "width": 1024, "height": 32}),
        ("ImageBatch", {"image1": source, "image2": source}),
        ("ImageInvert", {"image": source}),
        ("ImageRotate", {"image": source, "rotation": "180 degrees"}),
    ]
    kind, inputs = changes[int(rng.integers(len(changes)))]
    if kind not in described:
        return None
    for user, key in _links(graph):
        if graph[user]["inputs"][key] == source:
            graph[user]["inputs"][key] = ["odd", 0]
    graph["odd"] = {"class_type": kind, "inputs": inputs}
    return f"{photo} through {kind}"


def patched_model(rng, graph: Workflow, described: Described) -> str | None:
    samplers = _of(graph, "KSampler")
    kind, inputs = MODEL_PATCHES[int(rng.integers(len(MODEL_PATCHES)))]
    if not samplers or kind not in described or "model" not in graph[samplers[0]]["inputs"]:
        return None
    graph["patch"] = {"class_type": kind, "inputs": {**inputs, "model": graph[samplers[0]]["inputs"]["model"]}}
    graph[samplers[0]]["inputs"]["model"] = ["patch", 0]
    return f"model through {kind}"


def batch(rng, graph: Workflow, described: Described) -> str | None:
    for node in _of(graph, "EmptyLatentImage"):
        graph[node]["inputs"]["batch_size"] = 2
        return "two pictures"
    return None


def bounded(graph: Workflow) -> None:
    """Keep the work small, not the mistakes: few steps, and no large picture is sampled because of a typed side."""
    for node in graph.values():
        inputs = node["inputs"]
        if node["class_type"] == "KSampler" and isinstance(inputs.get("steps"), int):
            inputs["steps"] = min(inputs["steps"], QUICK_STEPS)
        if node["class_type"] == "EmptyLatentImage":
            for side in ("width", "height"):
                if _resolved(graph, inputs.get(side)) > LARGEST_SIDE:
                    inputs[side] = LARGEST_SIDE
            if isinstance(inputs.get("batch_size"), int):
                inputs["batch_size"] = min(inputs["batch_size"], 2)


def _resolved(graph: Workflow, value: Any) -> float:
    """A side in pixels: typed, or linked to the side that Location Boxes gives."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and value[0] in graph:
        inputs = graph[value[0]]["inputs"]
        value = max(_resolved(graph, inputs.get(side)) for side in ("width", "height"))
    try:
        number = float(value)  # pyright: ignore[reportArgumentType] -- whatever it is
    except (TypeError, ValueError):
        return 0
    return number if math.isfinite(number) else 0


def _set(rng, graph: Workflow, described: Described, choose: Callable) -> str | None:
    """A widget of one of the pack's own nodes, set to what `choose` says of its kind and options."""
    ours = [node for node in graph if graph[node]["class_type"].startswith("RealisID_")]
    if not ours:
        return None
    node = ours[int(rng.integers(len(ours)))]
    sockets = described[graph[node]["class_type"]]["input"]
    widgets = {**sockets.get("required", {}), **sockets.get("optional", {})}
    keys = [key for key in widgets if not isinstance(graph[node]["inputs"].get(key), list)]
    if not keys:
        return None
    key = keys[int(rng.integers(len(keys)))]
    kind, *options = widgets[key]
    graph[node]["inputs"][key] = choose(kind, options[0] if options else {})
    return f"{node}.{key} = {str(graph[node]['inputs'][key])[:60]!r}"


def _of(graph: Workflow, kind: str) -> list[str]:
    return [name for name, node in graph.items() if node["class_type"] == kind]


def _links(graph: Workflow) -> list[tuple[str, str]]:
    return [
        (name, key)
        for name, node in graph.items()
        for key, value in node["inputs"].items()
        if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and value[0] in graph
    ]


def _outputs(graph: Workflow, described: Described, node: str) -> list[str]:
    return described[graph[node]["class_type"]]["output"]


def _upstream(graph: Workflow, node: str) -> set[str]:
    """The node and all that it depends on."""
    seen, waiting = set(), [node]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in graph:
            continue
        seen.add(name)
        waiting += [graph[n]["inputs"][k][0] for n, k in _links(graph) if n == name]
    return seen
