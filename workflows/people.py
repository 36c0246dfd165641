"""The steps of a workflow from photos to persons in face boxes."""

import json
from pathlib import Path

from .graph import Graph, models

DETECTION = {
    "detector": "yunet",
    "threshold": 0.6,
    "order": "largest first",
    "maximum": 0,
    "margin": 0.0,
    "face": 1,
}
PARSING = {"method": "auto", "keep": "face and hair", "size": 512}


def load_photo(graph: Graph, name: str, title: str, photo: str) -> list:
    """A photo by its file in the input folder, or by the name of a shipped portrait."""
    if Path(photo).suffix:
        graph.add(name, "LoadImage", title, image=photo)
    else:
        graph.add(name, "RealisID_ExamplePortrait", title, portrait=photo)
    return graph[name]


def detect(graph: Graph, who: str, image: list) -> list:
    """The largest face of a picture."""
    graph.add(f"faces_{who}", "RealisID_DetectFaces", f"Find the face of {who}", image=image, **DETECTION)
    return graph[f"faces_{who}"]


def boxes(graph: Graph, *squares: tuple[float, float, float]) -> list:
    """Face boxes from (x, y, size)."""
    value = {"version": 1, "boxes": [{"x": x, "y": y, "size": size} for x, y, size in squares]}
    size = {"width": graph.base.size, "height": graph.base.size}
    graph.add("boxes", "RealisID_LocationBoxes", "Where the faces go", **size, boxes=json.dumps(value))
    return graph["boxes"]


def person(
    graph: Graph,
    who: str,
    photo: str | None,
    face_boxes: list,
    box: int = 1,
    earlier: list | None = None,
    pose: list | None = None,
    words: str | None = None,
) -> list:
    """A person in a box, after the `earlier` ones: their identity from a photo, their own words, or both."""
    inputs = {"boxes": face_boxes, "box": str(box)} | ({} if earlier is None else {"persons": earlier})
    if pose is not None:
        inputs["pose"] = pose
    if words is not None:
        graph.add(f"words_{who}", "CLIPTextEncode", f"{who}'s own words", text=words, clip=models(graph)["clip"])
        inputs["prompt"] = graph[f"words_{who}"]
    if photo is None:
        graph.add(f"person_{who}", "RealisID_Person", f"Place {who}", **inputs)
        return graph[f"person_{who}"]
    inputs |= {"photo": load_photo(graph, f"photo_{who}", f"Photo of {who}", photo), "face": 1}
    realisid = models(graph)["realisid"]
    graph.add(f"person_{who}", "RealisID_PersonFromPhoto", who, realisid=realisid, **inputs)
    return graph[f"person_{who}"]


def people(graph: Graph, cast: tuple, places: list, wearing: tuple[str, ...] = ()) -> list:
    """One person after the other, in boxes 1, 2, …; with `wearing`, each with words of their own."""
    everyone = None
    for box, (who, photo) in enumerate(cast, 1):
        words = wearing[box - 1] if wearing else None
        everyone = person(graph, who, photo, places, box, everyone, words=words)
    assert everyone is not None
    return everyone
