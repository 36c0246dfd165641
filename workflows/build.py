"""Writes the shipped workflows: `python -m workflows.build`, in the pack's folder.

For the API each exists for the miniature and for SDXL; as graphs, for SDXL, and "start here" for the miniature.
"""

import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from .layout import ui_graph
from .notes import CHECKPOINT, CLIP_VISION, INSTANTID_FILES, MODELS, REALISID, notes

FOLDER = Path(__file__).parent
NEGATIVE = "blurry, deformed, low quality"


@dataclass(frozen=True)
class Base:
    """What a workflow is made for.

    Attributes:
        size: pixels a side.
        cfg, identity_guidance: λ_t and λ_i.
        without_identity: what the branches do in the passes without identity; the miniature puts faces and poses far
            better in place where they rest ("off").
        steps: of the sampler.
        cast: names and photos of three people: a shipped portrait's name, or a file in the input folder.
        instantid: whether the identities are InstantID's, rather than RealisID's.
    """

    name: str
    size: int
    cfg: float
    identity_guidance: float
    without_identity: str
    steps: int
    cast: tuple[tuple[str, str], tuple[str, str], tuple[str, str]]
    instantid: bool = False


MINIATURE = Base(
    "miniature", 256, 3.0, 3.0, "off", 20, (("Mara", "world_mara"), ("Omar", "world_omar"), ("Lena", "world_lena"))
)
SDXL = Base(
    "sdxl",
    1024,
    7.5,
    5.0,
    "null identity",
    30,
    (("Eileen", "astronaut.jpg"), ("Grace", "grace_hopper.jpg"), ("Ada", "astronaut.jpg")),
)
INSTANTID = replace(SDXL, cfg=5.0, instantid=True)


@dataclass
class Graph:
    """An API workflow under construction. A node is known by a readable id; `self[id, slot]` is one of its outputs."""

    base: Base
    nodes: dict[str, dict] = field(default_factory=dict)

    def add(self, name: str, class_type: str, title: str = "", **inputs) -> None:
        self.nodes[name] = {"class_type": class_type, "inputs": inputs, "_meta": {"title": title or class_type}}

    def __getitem__(self, output: str | tuple[str, int]) -> list:
        name, slot = output if isinstance(output, tuple) else (output, 0)
        if name not in self.nodes:
            raise KeyError(name)
        return [name, slot]


def started(base: Base) -> Graph:
    """A graph with the models loaded: outputs "model", "clip", "vae", "clip_vision", "realisid" of the nodes below."""
    graph = Graph(base)
    if base is MINIATURE:
        graph.add("load", "RealisID_LoadMiniature", "Load the miniature")
    else:
        graph.add("load", "CheckpointLoaderSimple", "Load SDXL", ckpt_name=CHECKPOINT)
    if base.instantid:
        graph.add("realisid", "RealisID_LoadInstantID", "Load InstantID", **INSTANTID_FILES)
    elif base is not MINIATURE:
        graph.add("vision", "CLIPVisionLoader", "Load CLIP vision", clip_name=CLIP_VISION)
        graph.add("realisid", "RealisID_LoadModel", "Load RealisID", file=REALISID)
    return graph


def models(graph: Graph) -> dict[str, list]:
    if graph.base is MINIATURE:
        return {name: graph["load", i] for i, name in enumerate(("model", "clip", "vae", "clip_vision", "realisid"))}
    checkpoint = {name: graph["load", i] for i, name in enumerate(("model", "clip", "vae"))}
    vision = {} if graph.base.instantid else {"clip_vision": graph["vision"]}
    return checkpoint | vision | {"realisid": graph["realisid"]}


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


def finish(
    graph: Graph,
    name: str,
    prompt: str,
    persons: list,
    latent: list | None = None,
    denoise: float = 1.0,
) -> None:
    """Prompt, branches, guidance, sampling and saving; the same in every workflow but for what its persons need."""
    parts, base = models(graph), graph.base
    graph.add("prompt", "CLIPTextEncode", "Prompt", text=prompt, clip=parts["clip"])
    graph.add("negative", "CLIPTextEncode", "Negative prompt", text=NEGATIVE, clip=parts["clip"])
    conditioning, model = (graph["prompt"], graph["negative"]), parts["model"]
    known = any(node["class_type"] == "RealisID_IDEmbedding" for node in graph.nodes.values())
    if known:
        conditioning = branches(graph, persons, *conditioning)
    if base.instantid or any(name.startswith("words_") for name in graph.nodes):
        options = {"weight": 0.8, "start": 0.0, "end": 1.0} | (
            {"realisid": parts["realisid"]} if base.instantid else {}
        )
        title = "Identities in the prompt's place" if base.instantid else "Everyone reads their own words"
        graph.add("attention", "RealisID_IdentityAttention", title, model=model, persons=persons, **options)
        model = graph["attention"]
    if known and not base.instantid:
        graph.add(
            "guidance",
            "RealisID_IdentityGuidance",
            "Identity guidance",
            model=model,
            identity_guidance=base.identity_guidance,
            without_identity=base.without_identity,
            identity_start=0.0,
            text_only_start=0.0,
            text_only_end=1.0,
        )
        model = graph["guidance"]
    if latent is None:
        size = {"width": graph["boxes", 3], "height": graph["boxes", 4]}
        graph.add("latent", "EmptyLatentImage", "Size", **size, batch_size=1)
        latent = graph["latent"]
    graph.add(
        "sample",
        "KSampler",
        "Sample",
        model=model,
        positive=conditioning[0],
        negative=conditioning[1],
        latent_image=latent,
        seed=7,
        steps=base.steps,
        cfg=base.cfg,
        sampler_name="ddim",
        scheduler="ddim_uniform",
        denoise=denoise,
    )
    graph.add("decode", "VAEDecode", "Decode", samples=graph["sample"], vae=parts["vae"])
    graph.add("save", "SaveImage", "Save", images=graph["decode"], filename_prefix=f"RealisID/{name}")


def branches(graph: Graph, persons: list, positive: list, negative: list) -> tuple[list, list]:
    """Both branches on a pair of conditionings; InstantID has the global one."""
    every = [("Global", {"reuse": 1, "one_pass": False, "sharing": "own region"}), ("Local", {"reuse": 1})]
    for branch, options in every[:1] if graph.base.instantid else every:
        graph.add(
            branch.lower(),
            f"RealisID_Apply{branch}Branch",
            f"{branch} branch",
            positive=positive,
            negative=negative,
            realisid=models(graph)["realisid"],
            persons=persons,
            strength=0.8 if graph.base.instantid else 1.0,
            start=0.0,
            end=1.0,
            **options,
        )
        positive, negative = graph[branch.lower(), 0], graph[branch.lower(), 1]
    return positive, negative


def start_here(graph: Graph) -> None:
    """A first picture: the person of a portrait, in the box you draw."""
    someone = person(graph, *graph.base.cast[0], boxes(graph, (0.3, 0.16, 0.4)))
    finish(graph, "start_here", "a person wearing a red sweater, outdoors with a beach in the background", someone)


def one_person(graph: Graph) -> None:
    """One person, in the box you draw."""
    someone = person(graph, *graph.base.cast[0], boxes(graph, (0.3, 0.16, 0.4)))
    finish(graph, "one_person", "a person wearing a red sweater, outdoors with a beach in the background", someone)


def small_face(graph: Graph) -> None:
    """A face of 1/7 of the picture's edge: the local branch works on it enlarged, so the likeness stays."""
    someone = person(graph, *graph.base.cast[0], boxes(graph, (0.43, 0.2, 1 / 7)))
    finish(graph, "small_face", "a person wearing a black suit, outdoors with a grassy background", someone)


def pose_from_photo(graph: Graph) -> None:
    """The identity of one photo with the head pose and expression of another."""
    donor = faces_of(graph, "pose", "grace_hopper.jpg")
    graph.add(
        "landmarks", "RealisID_FaceLandmarks", "Pose and expression to follow", faces=donor, size=512, outline=False
    )
    square = boxes(graph, (0.3, 0.16, 0.4))
    someone = person(graph, *graph.base.cast[0], square, landmarks=graph["landmarks"])
    finish(graph, "pose_from_photo", "a person wearing a white t-shirt, with a blue background", someone)


def two_people(graph: Graph) -> None:
    """Two people, each in a box of their own."""
    places = boxes(graph, (0.12, 0.24, 0.28), (0.6, 0.2, 0.28))
    persons = [person(graph, *someone, places, box) for box, someone in enumerate(graph.base.cast[:2], 1)]
    prompt = "two persons wearing a red sweater and a black suit, outdoors with a beach in the background"
    finish(graph, "two_people", prompt, together(graph, *persons))


def two_people_own_words(graph: Graph) -> None:
    """Two people, each with a prompt of their own, which acts in that person's part of the picture."""
    places = boxes(graph, (0.12, 0.24, 0.28), (0.6, 0.2, 0.28))
    wearing = "a person wearing a red sweater", "a person wearing a black suit"
    persons = [
        person(graph, who, photo if graph.base is MINIATURE else None, places, box, words=wearing[box - 1])
        for box, (who, photo) in enumerate(graph.base.cast[:2], 1)
    ]
    prompt = "two persons, outdoors with a beach in the background"
    finish(graph, "two_people_own_words", prompt, together(graph, *persons))


def three_people(graph: Graph) -> None:
    """Three people whose boxes overlap: each face keeps its own identity."""
    places = boxes(graph, (0.1, 0.3, 0.3), (0.35, 0.14, 0.3), (0.58, 0.3, 0.3))
    first, second, third = graph.base.cast
    persons = [person(graph, *someone, places, box) for box, someone in enumerate((first, third, second), 1)]
    prompt = "three persons wearing a blue hoodie, a white t-shirt and a red sweater, with a gray background"
    finish(graph, "three_people", prompt, together(graph, *persons))


def inpaint(graph: Graph) -> None:
    """A person put into an existing photo: the box is where its face is, the mask face and hair."""
    size = graph.base.size
    scene = load_photo(graph, "scene_photo", "The photo to change", graph.base.cast[1][1])
    graph.add(
        "scene",
        "ImageScale",
        "Fit the size",
        image=scene,
        upscale_method="lanczos",
        width=size,
        height=size,
        crop="center",
    )
    there = detect(graph, "scene", graph["scene"])
    graph.add(
        "parsed_scene",
        "RealisID_ParseFaces",
        "What to replace",
        faces=there,
        method="auto",
        keep="face and hair",
        size=512,
    )
    grow = {"expand": size // 16, "tapered_corners": True}
    graph.add("mask", "GrowMask", "A little more", mask=graph["parsed_scene", 1], **grow)
    graph.add(
        "place", "RealisID_BoxesFromFaces", "Where the face goes", faces=there, width=size, height=size, scale=1.0
    )
    graph.add("encode", "VAEEncode", "Encode", pixels=graph["scene"], vae=models(graph)["vae"])
    graph.add("masked", "SetLatentNoiseMask", "Only here", samples=graph["encode"], mask=graph["mask"])
    someone = person(graph, *graph.base.cast[0], graph["place"])
    finish(graph, "inpaint", "a person wearing a white t-shirt, with a gray background", someone, graph["masked"])


def instantid_one_person(graph: Graph) -> None:
    """One person in the box you draw, with InstantID's public weights: your own photo today."""
    someone = person(graph, *graph.base.cast[0], boxes(graph, (0.3, 0.16, 0.4)))
    prompt = "a person wearing a red sweater, outdoors with a beach in the background"
    finish(graph, "instantid_one_person", prompt, someone)


def instantid_two_people(graph: Graph) -> None:
    """Two people with InstantID's public weights, each in a box and with a prompt of their own."""
    places = boxes(graph, (0.12, 0.24, 0.28), (0.6, 0.2, 0.28))
    wearing = "a person wearing a red sweater", "a person wearing a black suit"
    persons = [
        person(graph, *someone, places, index, words=wearing[index])
        for index, someone in enumerate(graph.base.cast[:2])
    ]
    prompt = "two persons, outdoors with a beach in the background"
    finish(graph, "instantid_two_people", prompt, together(graph, *persons))


Workflow = Callable[[Graph], None]
WORKFLOWS: tuple[Workflow, ...] = (
    one_person,
    small_face,
    pose_from_photo,
    two_people,
    two_people_own_words,
    three_people,
    inpaint,
)


def nodes_of(workflow: Workflow, base: Base) -> dict[str, dict]:
    graph = started(base)
    workflow(graph)
    used = {
        source[0] for node in graph.nodes.values() for source in node["inputs"].values() if isinstance(source, list)
    }
    return {name: node for name, node in graph.nodes.items() if name in used or name == "save"}


def shipped(described: dict) -> Iterator[tuple[str, dict]]:
    """Path in this folder and content of every shipped workflow; `described` is the server's /object_info."""
    every = [(workflow, base) for base in (MINIATURE, SDXL) for workflow in WORKFLOWS]
    with_instantid = [(workflow, INSTANTID) for workflow in (instantid_one_person, instantid_two_people)]
    for workflow, base in [(start_here, MINIATURE), *every, *with_instantid]:
        nodes = nodes_of(workflow, base)
        yield f"api/{workflow.__name__}_{base.name}.json", nodes
        if base is not MINIATURE or workflow is start_here:
            text = notes(nodes, inspect.getdoc(workflow) or "")
            yield f"{workflow.__name__}.json", ui_graph(nodes, described, text, MODELS)


def graph_text(graph: dict) -> str:
    """JSON with a line for each node, link and group."""
    whole = {key: value for key, value in graph.items() if not (isinstance(value, list) and value)}
    rows = {key: value for key, value in graph.items() if key not in whole}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in whole.items()]
    for key, value in rows.items():
        lines.append(
            f"{json.dumps(key)}: [\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in value) + "\n]"
        )
    return "{\n" + ",\n".join(lines) + "\n}"


def main() -> None:
    import tempfile

    from headless.client import Client
    from headless.server import running_server
    from realisid_core.bootstrap import host_path

    with tempfile.TemporaryDirectory() as home, running_server(host_path(), Path(home), "--cpu") as server:
        for path, content in shipped(Client(server.address).nodes()):
            text = json.dumps(content, indent=2, ensure_ascii=False) if path.startswith("api/") else graph_text(content)
            (FOLDER / path).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
