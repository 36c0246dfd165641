"""What is to be drawn: people, prompts, places and seeds, from a protocol's file, a folder of people and a number."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parent / "protocols"
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


@dataclass(frozen=True)
class Protocol:
    """Attributes:
    prompts: texts; with `prompts_each`, every person gets so many of them, in turn.
    identities: file names of the people; None for everybody in the folder.
    pictures: seeds for each person, prompt and pose.
    sizes: (least, greatest) relative size of a face; drawn evenly between.
    people: in one picture.
    poses: "own" or "others": whose pose and expression; `poses_each` of others for each person and prompt.
    published: the paper's own figures, method -> metric -> value.
    """

    name: str
    table: str
    prompts: list[str]
    identities: list[str] | None
    pictures: int
    sizes: tuple[float, float]
    frame: tuple[int, int]
    judge: str
    published: dict[str, dict[str, float]]
    people: int = 1
    poses: str = "own"
    poses_each: int = 1
    prompts_each: int = 0


@dataclass(frozen=True)
class Task:
    """One picture: `references` and `poses` are paths, one a person; `boxes` are (x, y, size) as the editor's text."""

    number: int
    names: tuple[str, ...]
    references: tuple[str, ...]
    poses: tuple[str, ...]
    prompt: str
    seed: int
    boxes: tuple[tuple[float, float, float], ...]
    width: int
    height: int

    def values(self) -> dict[str, object]:
        """What fills the holes that are no files."""
        boxes = [{"x": x, "y": y, "size": size} for x, y, size in self.boxes]
        text = json.dumps({"version": 1, "boxes": boxes})
        return {"prompt": self.prompt, "seed": self.seed, "boxes": text, "width": self.width, "height": self.height}

    def row(self) -> dict:
        return json.loads(json.dumps(asdict(self)))


def load_protocol(name: str) -> Protocol:
    """ "realisid/small" and the like; also "path/to/file.json/small". Raises ValueError naming what there is."""
    file, _, part = name.rpartition("/")
    path = Path(file) if file.endswith(".json") else FOLDER / f"{file}.json"
    if not file or not path.is_file():
        raise ValueError(f"There is no protocol {name!r}; expected one of {', '.join(known_protocols())}.")
    whole = json.loads(path.read_text(encoding="utf-8"))
    if part not in whole["protocols"]:
        raise ValueError(f"There is no protocol {name!r}; {path.name} has {', '.join(whole['protocols'])}.")
    values = {key: value for key, value in whole.items() if key not in ("paper", "protocols")}
    values |= whole["protocols"][part] | {"name": name}
    return Protocol(**values | {"sizes": tuple(values["sizes"]), "frame": tuple(values["frame"])})


def known_protocols() -> list[str]:
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        found += [f"{path.stem}/{part}" for part in json.loads(path.read_text(encoding="utf-8"))["protocols"]]
    return found


def people_in(folder: Path, identities: list[str] | None = None) -> dict[str, Path]:
    """Everybody's reference photo: a file is a person, or a folder of which the first picture is taken.

    Raises ValueError: no folder, nobody in it, somebody missing whom the protocol names, or a picture that cannot be
    read.
    """
    if not folder.is_dir():
        raise ValueError(f"people: {folder} is no folder. Give one with a picture, or a folder of pictures, a person.")
    found = {}
    for path in sorted(folder.iterdir()):
        pictures = sorted(path.iterdir()) if path.is_dir() else [path]
        first = next((picture for picture in pictures if picture.suffix.lower() in ENDINGS), None)
        if first is not None:
            found[path.name] = first
    if identities is not None:
        missing = [name for name in identities if name not in found]
        if missing:
            raise ValueError(
                f"people: {folder} lacks {len(missing)} of the {len(identities)} pictures that the protocol names, "
                f"first {missing[0]}."
            )
        found = {name: found[name] for name in identities}
    if not found:
        raise ValueError(f"people: there is no picture in {folder}; expected {', '.join(ENDINGS)}.")
    for path in found.values():
        try:
            with Image.open(path) as picture:
                picture.load()
        except (OSError, SyntaxError) as error:
            raise ValueError(f"people: {path} cannot be read as a picture. Remove or replace it.") from error
    return {Path(name).stem: path for name, path in found.items()}


def tasks_of(
    protocol: Protocol, people: dict[str, Path], poses: dict[str, Path] | None = None, seed: int = 0
) -> list[Task]:
    """Every picture of a protocol, the same each time.

    Raises ValueError: no prompts, fewer people than a picture shows, or nobody to follow where the protocol wants it.
    """
    if not protocol.prompts:
        raise ValueError(f"{protocol.name} comes without prompts. Give a file with one on each line: --prompts FILE.")
    if len(people) < protocol.people:
        raise ValueError(f"{protocol.name} shows {protocol.people} people, and the folder has {len(people)}.")
    if protocol.poses == "others" and not poses:
        raise ValueError(f"{protocol.name} follows the pose of other photos. Give a folder of them: --poses FOLDER.")
    names, donors = list(people), list((poses or {}).values())
    tasks: list[Task] = []
    for first in range(len(names)):
        group = [names[(first + k) % len(names)] for k in range(protocol.people)]
        for prompt in _prompts(protocol, first):
            for pose in range(protocol.poses_each):
                for picture in range(protocol.pictures):
                    place = first * protocol.poses_each + pose
                    others = [str(donors[(place + k) % len(donors)]) for k in range(len(group))] if donors else []
                    references = tuple(str(people[name]) for name in group)
                    drawn = np.random.default_rng([seed, len(tasks), picture])
                    followed = tuple(others) if protocol.poses == "others" else references
                    boxes = _boxes(protocol, drawn)
                    tasks.append(
                        Task(len(tasks), tuple(group), references, followed, prompt, int(drawn.integers(2**31)), boxes,
                             *protocol.frame)
                    )  # fmt: skip
    return tasks


def _prompts(protocol: Protocol, person: int) -> list[str]:
    count = protocol.prompts_each
    if not count:
        return protocol.prompts
    return [protocol.prompts[(person * count + k) % len(protocol.prompts)] for k in range(count)]


def _boxes(protocol: Protocol, rng: np.random.Generator) -> tuple[tuple[float, float, float], ...]:
    """A square for each face, in fractions of the long edge: side by side, in the upper half, inside of the frame."""
    width, height = (side / max(protocol.frame) for side in protocol.frame)
    slot, boxes = width / protocol.people, []
    for number in range(protocol.people):
        size = float(min(rng.uniform(*protocol.sizes), 0.95 * slot, 0.9 * height))
        free = slot - size
        x = number * slot + free * (rng.uniform(0.2, 0.8) if protocol.people == 1 else 0.5)
        y = rng.uniform(0.08, 0.35) * (height - size)
        boxes.append((round(x / width, 4), round(y / height, 4), round(size, 4)))
    return tuple(boxes)
