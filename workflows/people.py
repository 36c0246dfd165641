"""The steps of a workflow from photos to persons in face boxes."""

import json
from pathlib import Path

from .graph import Graph, models


def load_photo(graph: Graph, name: str, title: str, photo: str) -> list:
    """A photo by its file in the input folder, or by the name of a shipped portrait."""
    if Path(photo).suffix:
        graph.add(name, "LoadImage", title, image=photo)
    else:
        graph.add(name, "RealisID_ExamplePortrait", title, portrait=photo)
    return graph[name]


def faces_of(graph: Graph, who: str, photo: str) -> list:
    """Load a photo and find its largest face. `who` names the nodes."""
    return detect(graph, who, load_photo(graph, f"photo_{who}", f"Photo of {who}", photo))


def detect(graph: Graph, who: str, image: list) -> list:
    graph.add(
        f"faces_{who}",
        "RealisID_DetectFaces",
        f"Find the face of {who}",
        image=image,
        detector="yunet",
        threshold=0.6,
        order="largest first",
        maximum=0,
        margin=0.0,
        face=1,
    )
    return graph[f"faces_{who}"]


def identity(graph: Graph, who: str, photo: str) -> list:
    """The ID embedding of the person in a photo; InstantID's is of the face as it is."""
    faces, parts = faces_of(graph, who, photo), models(graph)
    inputs = {"realisid": parts["realisid"]}
    if not graph.base.instantid:
        inputs["clip_vision"] = parts["clip_vision"]
        kept = {"method": "auto", "keep": "face and hair", "size": 512}
        graph.add(f"parsed_{who}", "RealisID_ParseFaces", f"Parse {who}", faces=faces, **kept)
        faces = graph[f"parsed_{who}"]
    graph.add(f"id_{who}", "RealisID_IDEmbedding", f"Who {who} is", **inputs, faces=faces)
    return graph[f"id_{who}"]


def boxes(graph: Graph, *squares: tuple[float, float, float]) -> list:
    """Face boxes from (x, y, size)."""
    value = {"version": 1, "boxes": [{"x": x, "y": y, "size": size} for x, y, size in squares]}
    graph.add(
        "boxes",
        "RealisID_LocationBoxes",
        "Where the faces go",
        width=graph.base.size,
        height=graph.base.size,
        boxes=json.dumps(value),
    )
    return graph["boxes"]


def person(
    graph: Graph,
    who: str,
    photo: str | None,
    face_boxes: list,
    box: int = 1,
    landmarks: list | None = None,
    words: str | None = None,
) -> list:
    """A person in a box: their identity from a photo, their own words, or both."""
    who_it_is = {} if photo is None else {"id_embedding": identity(graph, who, photo)}
    others = {} if landmarks is None else {"landmarks": landmarks}
    if words is not None:
        graph.add(f"words_{who}", "CLIPTextEncode", f"{who}'s own words", text=words, clip=models(graph)["clip"])
        others["prompt"] = graph[f"words_{who}"]
    graph.add(
        f"person_{who}",
        "RealisID_Person",
        f"Place {who}",
        **who_it_is,
        boxes=face_boxes,
        box=str(box),
        local_strength=1.0,
        global_strength=1.0,
        **others,
    )
    return graph[f"person_{who}"]


def together(graph: Graph, *persons: list) -> list:
    graph.add(
        "persons",
        "RealisID_CombinePersons",
        "Everyone",
        **{f"person_{number}": value for number, value in enumerate(persons, 1)},
    )
    return graph["persons"]
