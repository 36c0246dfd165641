"""An API workflow under construction, and what it is made for: the miniature, SDXL, InstantID."""

from dataclasses import dataclass, field

from .notes import CHECKPOINT, CLIP_VISION, INSTANTID_FILES, REALISID


@dataclass(frozen=True)
class Base:
    """What a workflow is made for.

    Attributes:
        name: ends the names of its API files.
        size: pixels a side.
        cfg: λ_t.
        steps: of the sampler.
        cast: names and photos of three people: a shipped portrait's name, or a file in the input folder.
    """

    name: str
    size: int
    cfg: float
    steps: int
    cast: tuple[tuple[str, str], tuple[str, str], tuple[str, str]]


PHOTOS = ("Eileen", "astronaut.jpg"), ("Grace", "grace_hopper.jpg"), ("Ada", "astronaut.jpg")
MINIATURE = Base("miniature", 256, 3.0, 20, (("Mara", "world_mara"), ("Omar", "world_omar"), ("Lena", "world_lena")))
PLAIN_SDXL = Base("plain_sdxl", 1024, 7.5, 30, PHOTOS)
SDXL = Base("sdxl", 1024, 7.5, 30, PHOTOS)
INSTANTID = Base("instantid", 1024, 5.0, 30, PHOTOS)


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
    """A graph with the models loaded, in the nodes "load" and "realisid"."""
    graph = Graph(base)
    if base is MINIATURE:
        graph.add("load", "RealisID_LoadMiniature", "Load the miniature")
    else:
        graph.add("load", "CheckpointLoaderSimple", "Load SDXL", ckpt_name=CHECKPOINT)
    if base is INSTANTID:
        graph.add("realisid", "RealisID_LoadInstantID", "Load InstantID", **INSTANTID_FILES)
    elif base is SDXL:
        graph.add("realisid", "RealisID_LoadModel", "Load RealisID", file=REALISID, clip_vision=CLIP_VISION)
    return graph


def models(graph: Graph) -> dict[str, list]:
    """The loaded models by what they are; without "realisid" on plain SDXL."""
    loaded = {name: graph["load", i] for i, name in enumerate(("model", "clip", "vae"))}
    if graph.base is MINIATURE:
        return loaded | {"realisid": graph["load", 4]}
    return loaded | ({"realisid": graph["realisid"]} if "realisid" in graph.nodes else {})
