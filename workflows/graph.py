"""An API workflow under construction, and what it is made for: the miniature, SDXL, InstantID."""

from dataclasses import dataclass, field, replace

from .notes import CHECKPOINT, CLIP_VISION, INSTANTID_FILES, REALISID


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
