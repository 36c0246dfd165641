"""Where the nodes of a workflow stand on ComfyUI's page, so that no wire runs behind a node.

People form a staircase that rises to the right: each person stands above the one before, so wires from the left reach
everybody over the others' heads. Models stand left above them, and their wires run to the right through the free lane
between the people below and the prompts above. What makes the picture stands right of all.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

Rectangle = tuple[float, float, float, float]  # left, top, width, height
Place = tuple[float, float]  # left, top; of a node without its title bar
Workflow = dict[str, dict]  # API format


@dataclass(frozen=True)
class Step:
    """One group of the graph.

    Attributes:
        nodes: patterns of the ids of its nodes.
        yours: something that its user changes, rather than only connects.
        note_below: whether its note stands under its nodes, rather than above them.
    """

    title: str
    nodes: tuple[str, ...]
    yours: bool = False
    note_below: bool = False


MODELS = Step("Models", ("realisid", "load"))
WHERE = Step(
    "Where: a box for each face",
    ("boxes", "scene_photo", "scene", "faces_scene", "parsed_scene", "place", "mask", "encode", "masked"),
    True,
    note_below=True,
)
WHO = Step("Who", ("photo_*", "pose_*", "person_*"), True, note_below=True)
PROMPT = Step("Prompt", ("words_*", "prompt", "negative"), True)
PICTURE = Step("Picture", ("apply", "sample", "decode", "save"))
STEPS = (MODELS, WHERE, WHO, PROMPT, PICTURE)

SIZES = {
    "LoadImage": (240, 370),
    "RealisID_ExamplePortrait": (240, 370),
    "RealisID_DetectFaces": (230, 370),
    "RealisID_ParseFaces": (230, 370),
    "RealisID_FaceLandmarks": (240, 370),
    "RealisID_RetargetFace": (240, 370),
    "RealisID_BoxesFromFaces": (230, 320),
    "RealisID_LocationBoxes": (400, 660),
    "RealisID_PersonFromPhoto": (250, 430),
    "RealisID_Person": (230, 230),
    "RealisID_Apply": (230, 170),
    "RealisID_LoadMiniature": (300, 200),
    "RealisID_LoadModel": (300, 170),
    "RealisID_LoadInstantID": (300, 190),
    "CheckpointLoaderSimple": (270, 100),
    "CLIPTextEncode": (340, 120),
    "KSampler": (270, 262),
    "SaveImage": (400, 480),
    "ImageScale": (240, 330),
    "VAEDecode": (200, 60),
    "VAEEncode": (230, 60),
    "SetLatentNoiseMask": (230, 60),
    "GrowMask": (230, 110),
}
TITLE_BAR = 30  # of a node, above its place
HEADING = 40  # of a group
MARGIN = 20
BETWEEN = 40
RISE = 130  # from one person to the next
LANE = 580  # from the last person up to the models and what takes them
BELOW_MODELS = 390
FEEDS = 190  # a photo stands so much lower than its person, whose other wires pass above it
LEAST_GAP = 60
STEEP = 0.27  # a wire that rises by y needs this part of y between two columns
NOTE_WIDTH = 340  # least, so that a line of a note stays readable
LEAST_NOTE = 90  # the page makes it no lower
LINE = 20
CHARACTER = 7.5


@dataclass(frozen=True)
class Block:
    """A group on the page, and where its note stands."""

    step: Step
    bounds: Rectangle
    note: Rectangle


def size_of(workflow: Workflow, name: str) -> tuple[float, float]:
    return SIZES[workflow[name]["class_type"]]


def arranged(workflow: Workflow) -> dict[str, Place]:
    """Every node's place. Raises ValueError naming those that no step knows."""
    persons = [name for name in workflow if name.startswith("person_")]
    words = [f"words_{name.removeprefix('person_')}" for name in persons]
    words = [name for name in words if name in workflow]
    top = -LANE  # the last person stands at 0
    places: dict[str, Place] = {"realisid": (0, top + 100)} if "realisid" in workflow else {}
    load_left = size_of(workflow, "realisid")[0] + BETWEEN if places else 0.0
    places["load"] = (load_left, top - TITLE_BAR)
    if "boxes" in workflow:
        places["boxes"] = (0.0, top + BELOW_MODELS)
        right = size_of(workflow, "boxes")[0]
    else:
        right = _place_scene(workflow, places, load_left, top + BELOW_MODELS)
    models_right = max(load_left + size_of(workflow, "load")[0], NOTE_WIDTH)
    own = size_of(workflow, words[0])[0] + 2 * LEAST_GAP if words else 0.0  # words stand left above their person
    least = models_right + MARGIN + own
    for number, name in enumerate(persons):
        y = RISE * (len(persons) - 1 - number)
        right = _place_person(workflow, places, name, right + LEAST_GAP, y, least)
        least = places[name][0] + own
    _place_picture(workflow, places, max(right, least) + 2 * LEAST_GAP, top)
    _place_words(workflow, places, words)
    if lost := set(workflow).difference(places):
        raise ValueError(f"There is no place for {', '.join(sorted(lost))}.")
    return places


def _place_person(
    workflow: Workflow, places: dict[str, Place], name: str, left: float, y: float, least: float
) -> float:
    """A person at height `y`, right of their photo from `left` on and not left of `least`; returns the right edge."""
    feeds = [f"photo_{name.removeprefix('person_')}", "pose_photo"]
    feeds = [feed for feed in feeds if feed in workflow and feed not in places]
    low, right = y + FEEDS, left
    for feed in feeds:
        places[feed] = (left, low)
        across, down = size_of(workflow, feed)
        right, low = max(right, left + across), low + down + TITLE_BAR + MARGIN
    for step in [step for step in workflow if step.startswith("pose_") and step not in places]:
        places[step] = (right + LEAST_GAP, places["pose_photo"][1])
        right += LEAST_GAP + size_of(workflow, step)[0]
    if feeds:
        right += max(LEAST_GAP, STEEP * (places[feeds[-1]][1] - y))
    places[name] = (max(right, least), y)
    return places[name][0] + size_of(workflow, name)[0]


def _place_scene(workflow: Workflow, places: dict[str, Place], left: float, top: float) -> float:
    """A photo to change, its faces, their mask and the latent; returns the right edge."""
    lower, lowest = top + 120, top + 120 + size_of(workflow, "place")[1] + TITLE_BAR + MARGIN
    wide = STEEP * (lowest - top)
    columns = (
        (0.0, {"scene_photo": lower}),
        (BETWEEN, {"scene": lower}),
        (BETWEEN, {"encode": top, "faces_scene": lower}),
        (wide, {"place": lower, "parsed_scene": lowest}),
        (BETWEEN, {"mask": lowest}),
        (wide, {"masked": top}),
    )
    for gap, column in columns:
        left += gap
        places |= {name: (left, y) for name, y in column.items()}
        left += max(size_of(workflow, name)[0] for name in column)
    return left


def _place_picture(workflow: Workflow, places: dict[str, Place], left: float, top: float) -> None:
    """Prompts above the lane; right of it what takes everything, the sampler, and the picture."""
    prompts = [name for name in ("prompt", "negative") if name in workflow]
    low = top - MARGIN
    for name in reversed(prompts):
        low -= size_of(workflow, name)[1]
        places[name] = (left - 2 * LEAST_GAP - size_of(workflow, name)[0], low)
        low -= TITLE_BAR + MARGIN
    places["apply"] = (left, top)
    left += size_of(workflow, "apply")[0] + LEAST_GAP
    places["sample"] = (left, top + 130)
    left += size_of(workflow, "sample")[0] + LEAST_GAP + MARGIN
    places["decode"] = (left, -54)
    left += size_of(workflow, "decode")[0] + LEAST_GAP
    places["save"] = (left, -54 - size_of(workflow, "save")[1] / 3)


def _place_words(workflow: Workflow, places: dict[str, Place], words: list[str]) -> None:
    """People's own words left above the prompts, in steps, so that a wire to the next passes below; each comes down to
    its person."""
    low = places["prompt"][1]
    for name in reversed(words):
        across, down = size_of(workflow, name)
        low -= TITLE_BAR + MARGIN + down
        places[name] = (places[f"person_{name.removeprefix('words_')}"][0] - LEAST_GAP - across, low)


def grouped(workflow: Workflow, places: dict[str, Place], notes: dict[Step, str]) -> list[Block]:
    """The steps that the workflow has, as groups round their nodes and a note."""
    blocks = []
    for step in STEPS:
        names = [name for name in workflow if any(fnmatchcase(name, like) for like in step.nodes)]
        if not names:
            continue
        left = min(places[name][0] for name in names)
        top = min(places[name][1] for name in names) - TITLE_BAR
        right = max(places[name][0] + size_of(workflow, name)[0] for name in names)
        bottom = max(places[name][1] + size_of(workflow, name)[1] for name in names)
        width = max(right - left, NOTE_WIDTH)
        height = _note_height(notes[step], width)
        if step.note_below:
            note = (left, bottom + MARGIN + TITLE_BAR, width, height)
            bottom = note[1] + height
        else:
            note = (left, top - MARGIN - height, width, height)
            top = note[1] - TITLE_BAR
        corner = left - MARGIN, top - HEADING
        bounds = (*corner, width + 2 * MARGIN, bottom + MARGIN - corner[1])
        blocks.append(Block(step, bounds, note))
    return blocks


def _note_height(note: str, width: float) -> float:
    lines = sum(1 + int(len(line) * CHARACTER / width) for line in note.splitlines())
    return max(LEAST_NOTE, 30 + LINE * lines)
