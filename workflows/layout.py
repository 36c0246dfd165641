"""An API workflow laid out as a graph for ComfyUI's page: groups named after the steps, a note in each."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

Rectangle = tuple[float, float, float, float]  # left, top, width, height
Place = tuple[float, float]  # left, top


@dataclass(frozen=True)
class Step:
    """One group of the graph.

    Attributes:
        columns: from left to right, patterns of the node ids that stand below one another.
        yours: something that its user changes, rather than only connects.
        lowered: so many of the columns leave room above for wires that come from the left and pass by.
    """

    title: str
    columns: tuple[tuple[str, ...], ...]
    yours: bool = False
    lowered: int = 0


MODELS = Step("Models", (("vision", "realisid"), ("load",)))
WHO = Step(
    "Who: photo → face → identity, own words",
    (("photo_[A-Z]*",), ("faces_[A-Z]*",), ("parsed_[A-Z]*",), ("id_*", "words_*")),
    True,
)
WHERE = Step(
    "Where: a box for each face",
    (
        ("boxes", "scene_photo", "scene"),
        ("faces_scene", "parsed_scene"),
        ("place", "mask", "encode", "masked"),
        ("person_*", "latent"),
        ("persons",),
    ),
    True,
    lowered=3,
)
POSE = Step("Pose: whose expression to follow", (("photo_pose",), ("faces_pose",), ("landmarks",)), True)
PROMPT = Step("Prompt & branches", (("prompt", "negative"), ("global",), ("local",)), True)
SAMPLE = Step("Sample & save", (("attention", "guidance", "sample"), ("decode", "save")))
STEPS = (MODELS, WHO, WHERE, POSE, PROMPT, SAMPLE)

SIZES = {
    "LoadImage": (240, 370),
    "RealisID_ExamplePortrait": (240, 370),
    "RealisID_DetectFaces": (230, 370),
    "RealisID_ParseFaces": (230, 370),
    "RealisID_IDEmbedding": (210, 370),
    "RealisID_FaceLandmarks": (240, 370),
    "RealisID_BoxesFromFaces": (230, 320),
    "RealisID_LocationBoxes": (400, 640),
    "RealisID_Person": (230, 200),
    "RealisID_CombinePersons": (200, 170),
    "RealisID_ApplyGlobalBranch": (240, 285),
    "RealisID_ApplyLocalBranch": (240, 235),
    "RealisID_IdentityAttention": (270, 200),
    "RealisID_IdentityGuidance": (270, 190),
    "RealisID_LoadMiniature": (300, 200),
    "RealisID_LoadModel": (320, 110),
    "RealisID_LoadInstantID": (340, 160),
    "CheckpointLoaderSimple": (270, 100),
    "CLIPVisionLoader": (320, 60),
    "CLIPTextEncode": (340, 120),
    "KSampler": (270, 480),
    "SaveImage": (400, 560),
    "EmptyLatentImage": (230, 110),
    "ImageScale": (240, 340),
    "VAEDecode": (230, 60),
    "VAEEncode": (230, 60),
    "SetLatentNoiseMask": (230, 60),
    "GrowMask": (230, 110),
}
TITLE_BAR = 30  # of a node, above its place
HEADING = 40  # of a group
MARGIN = 20
PASSAGE = 50
GAP = 30
BETWEEN = 40
NOTE_WIDTH = 340  # least, so that a line of a note stays readable
LEAST_NOTE = 90  # the page makes it no lower
LINE = 20
CHARACTER = 7.5

YOURS, OURS = "#7fb58f", "#8c9bab"
WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}


def ui_graph(workflow: dict, described: dict, notes: dict[Step, str], models: dict[str, dict]) -> dict:
    """The workflow in the format that ComfyUI's page saves.

    Args:
        workflow: in API format.
        described: the server's /object_info, which knows the order of inputs, widgets and outputs.
        notes: Markdown for each step that the workflow has.
        models: file name → {"name", "url", "directory"}, for the nodes that load one of them.
    """
    every = {step: Block(step, workflow, notes[step]) for step in STEPS}
    blocks = {step: block for step, block in every.items() if block.places}
    if lost := set(workflow).difference(*(block.places for block in blocks.values())):
        raise ValueError(f"No step has a place for {', '.join(sorted(lost))}.")
    corners = _corners(blocks)
    numbers = {name: number for number, name in enumerate(workflow, 1)}
    links = _links(workflow, described, numbers)
    nodes, groups = [], []
    for number, (step, block) in enumerate(blocks.items(), 1):
        left, top = corners[step]
        groups.append(_group(number, step, (left, top, block.width, block.height)))
        nodes.append(_note(len(numbers) + number, notes[step], (left + MARGIN, top + block.note_top), block))
        for name, (x, y) in block.places.items():
            nodes.append(_node(name, workflow[name], described, numbers, links, (left + x, top + y), models))
    for order, node in enumerate(sorted(nodes, key=lambda node: node["id"])):
        node["order"] = order
    return {
        "last_node_id": len(nodes),
        "last_link_id": len(links),
        "nodes": nodes,
        "links": links,
        "groups": groups,
        "config": {},
        "extra": {},
        "version": 0.4,
    }


class Block:
    """A group's inside: a note across its top, columns of nodes below it. Places are relative to its corner."""

    def __init__(self, step: Step, workflow: dict, note: str):
        self.places: dict[str, Place] = {}
        self.column_lefts: list[float] = []
        columns = [[name for like in column for name in workflow if fnmatchcase(name, like)] for column in step.columns]
        width = sum(_width(column, workflow) + GAP for column in columns if column) - GAP
        self.inner = max(width, NOTE_WIDTH)
        self.width = self.inner + 2 * MARGIN
        self.note_top = HEADING + TITLE_BAR
        self.note_height = _note_height(note, self.inner)
        left, self.height = MARGIN, 0.0
        for number, column in enumerate(columns):
            if column:
                self.column_lefts.append(left)
                top = self.note_top + self.note_height + MARGIN + (PASSAGE if number < step.lowered else 0)
                self.height = max(self.height, self._stack(column, workflow, left, top))
                left += _width(column, workflow) + GAP

    def _stack(self, column: list[str], workflow: dict, left: float, top: float) -> float:
        """Place nodes below one another; returns where the group may end."""
        for name in column:
            self.places[name] = (left, top + TITLE_BAR)
            top += TITLE_BAR + SIZES[workflow[name]["class_type"]][1] + MARGIN
        return top


def _width(column: list[str], workflow: dict) -> float:
    return max(SIZES[workflow[name]["class_type"]][0] for name in column)


def _note_height(note: str, width: float) -> float:
    lines = sum(1 + int(len(line) * CHARACTER / width) for line in note.splitlines())
    return max(LEAST_NOTE, 30 + LINE * lines)


def _corners(blocks: dict[Step, Block]) -> dict[Step, Place]:
    """Two lanes: models and prompt above, who and where below; sampling right of both.

    Everything flows from left to right: the branches stand right of the persons that they take.
    """
    who, where, prompt = blocks[WHO], blocks[WHERE], blocks[PROMPT]
    where_left = who.width + BETWEEN
    right = where_left + where.width
    branches_left = prompt.column_lefts[min(1, len(prompt.column_lefts) - 1)]
    prompt_left = max(blocks[MODELS].width + BETWEEN, right + BETWEEN - branches_left)
    lower = max(blocks[MODELS].height, prompt.height) + BETWEEN
    corners = {
        MODELS: (0.0, 0.0),
        WHO: (0.0, lower),
        POSE: (0.0, lower + who.height + BETWEEN),
        WHERE: (where_left, lower),
        PROMPT: (prompt_left, 0.0),
        SAMPLE: (max(right, prompt_left + prompt.width) + BETWEEN, 0.0),
    }
    return {step: corners[step] for step in blocks}


def _sockets(described: dict, class_type: str) -> list[tuple[str, list, bool]]:
    """(name, specification, is a widget) of a node's inputs, in the page's order: what has no widget comes first."""
    inputs = described[class_type]["input"]
    every = [*inputs.get("required", {}).items(), *inputs.get("optional", {}).items()]
    sockets = [(name, spec, isinstance(spec[0], list) or spec[0] in WIDGET_TYPES) for name, spec in every]
    return sorted(sockets, key=lambda socket: socket[2])


def _links(workflow: dict, described: dict, numbers: dict[str, int]) -> list[list]:
    links = []
    for name, node in workflow.items():
        for slot, (socket, _, _) in enumerate(_sockets(described, node["class_type"])):
            source = node["inputs"].get(socket)
            if isinstance(source, list):
                kind = described[workflow[source[0]]["class_type"]]["output"][source[1]]
                links.append([len(links) + 1, numbers[source[0]], source[1], numbers[name], slot, kind])
    return links


def _node(
    name: str, node: dict, described: dict, numbers: dict, links: list, place: Place, models: dict[str, dict]
) -> dict:
    kind, number = node["class_type"], numbers[name]
    coming = {link[4]: link[0] for link in links if link[3] == number}
    inputs = []
    for slot, (socket, spec, is_widget) in enumerate(_sockets(described, kind)):
        entry = {"name": socket, "type": "COMBO" if isinstance(spec[0], list) else spec[0], "link": coming.get(slot)}
        inputs.append(entry | ({"widget": {"name": socket}} if is_widget else {}))
    outputs = [
        {"name": label, "type": output, "links": [link[0] for link in links if link[1:3] == [number, slot]]}
        for slot, (output, label) in enumerate(
            zip(described[kind]["output"], described[kind]["output_name"], strict=True)
        )
    ]
    loads = [models[value] for value in node["inputs"].values() if isinstance(value, str) and value in models]
    return {
        "id": number,
        "type": kind,
        "title": node["_meta"]["title"],
        "pos": list(place),
        "size": list(SIZES[kind]),
        "flags": {},
        "mode": 0,
        "inputs": inputs,
        "outputs": outputs,
        "properties": {"Node name for S&R": kind} | ({"models": loads} if loads else {}),
        "widgets_values": _widget_values(node["inputs"], _sockets(described, kind)),
    }


def _widget_values(inputs: dict, sockets: list[tuple[str, list, bool]]) -> list:
    """In the order of the widgets; one that is connected or not set shows its default; a seed has what follows it."""
    values = []
    for name, spec, is_widget in sockets:
        if is_widget:
            options = spec[1] if len(spec) > 1 else {}
            value = inputs.get(name, options.get("default"))
            values.append(options.get("default") if isinstance(value, list) else value)
            values += ["randomize"] if options.get("control_after_generate") else []
    return values


def _note(number: int, text: str, place: Place, block: Block) -> dict:
    return {
        "id": number,
        "type": "MarkdownNote",
        "title": "Note",
        "pos": list(place),
        "size": [block.inner, block.note_height],
        "flags": {},
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "properties": {},
        "widgets_values": [text],
        "color": "#222",
        "bgcolor": "#333",
    }


def _group(number: int, step: Step, bounding: Rectangle) -> dict:
    return {
        "id": number,
        "title": f"{number} {step.title}",
        "bounding": list(bounding),
        "color": YOURS if step.yours else OURS,
        "font_size": 24,
        "flags": {},
    }
