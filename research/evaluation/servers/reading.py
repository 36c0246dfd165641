"""What is read from the pictures of an evaluation: one row a person, `measures.csv`, each picture once."""

import csv
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from realisid_core.metrics.judges import Judge
from realisid_core.metrics.likeness import averaged, closest_to_own, excess_mixing, multi_sim
from realisid_core.metrics.pictures import Aesthetic, Clip
from realisid_core.metrics.place import overlap, own_detections
from realisid_core.metrics.pose import ANGLES, BLENDSHAPES, expression_distance, pose_errors
from realisid_core.perception import Faces, detect_faces
from realisid_core.perception.faces import to_image

FIELDS = (
    *("task", "person", "name", "found", "similarity", "overlap", "faces", "closest_to_own", "multi_sim"),
    *("excess_mixing", *ANGLES, *BLENDSHAPES, "expression", "clip_t", "clip_i", "aesthetic"),
)


@dataclass(frozen=True)
class Reader:
    """Attributes:
    clip, aesthetic: None where nobody gave them; their columns then stay empty.
    """

    judge: Judge
    clip: Clip | None = None
    aesthetic: Aesthetic | None = None

    def rows(self, picture: np.ndarray, task: dict) -> list[dict[str, object]]:
        """Of one picture [H, W, 3] uint8. What cannot be read is left empty; a face that was not found has found 0."""
        height, width = picture.shape[:2]
        long = max(width, height)
        boxes = [(x * width, y * height, x * width + s * long, y * height + s * long) for x, y, s in task["boxes"]]
        found = detect_faces(to_image(picture), required=False)
        faces = found.faces[0]
        own = own_detections(boxes, [face.square for face in faces])
        drawn = self.judge.vectors(found) if faces else torch.zeros(0)
        references = torch.stack([_vector(self.judge, path) for path in task["references"]])
        together = _together(references, [None if j is None else drawn[j] for j in own])
        whole = self._whole(picture, task)
        rows = []
        for person, (box, j) in enumerate(zip(boxes, own, strict=True)):
            row: dict[str, object] = dict.fromkeys(FIELDS, "")
            row |= {
                "task": task["number"],
                "person": person,
                "name": task["names"][person],
                "found": int(j is not None),
            }
            row |= {"faces": len(faces), "overlap": 0.0 if j is None else overlap(box, faces[j].square)}
            if j is not None:
                row["similarity"] = float(references[person] @ drawn[j])
                row |= _posture(faces[j].landmarks, task["poses"][person])
            rows.append(row | (together if person == 0 else {}) | whole(person))
            if together:
                rows[-1]["closest_to_own"] = together["closest"][person]
        return [{key: row[key] for key in FIELDS} for row in rows]

    def _whole(self, picture: np.ndarray, task: dict):
        """What is of the whole picture: the prompt and the looks with person 0, CLIP-I with each reference."""
        if self.clip is None:
            return lambda person: {}
        features = self.clip.images([picture])
        common = {"clip_t": float(features[0] @ self.clip.texts([task["prompt"]])[0])}
        if self.aesthetic is not None:
            common["aesthetic"] = self.aesthetic.scores(features)[0]
        likes = [float(features[0] @ self.clip.images([_pixels(path)])[0]) for path in task["references"]]
        return lambda person: (common if person == 0 else {}) | {"clip_i": likes[person]}


def _together(references: Tensor, drawn: list[Tensor | None]) -> dict:
    """Of several people who were all found."""
    faces = [vector for vector in drawn if vector is not None and not vector.isnan().any()]
    if len(faces) < 2 or len(faces) < len(drawn):
        return {}
    own = torch.stack(faces)
    closest = [int(one) for one in closest_to_own(references, own)]
    mixing = excess_mixing(references, own)
    return {"multi_sim": multi_sim(references, own), "excess_mixing": mixing, "closest": closest}


def _posture(landmarks: dict | None, donor: str) -> dict[str, float]:
    wanted = _landmarks(donor)
    if landmarks is None or wanted is None:
        return {}
    return pose_errors(landmarks, wanted) | {"expression": expression_distance(landmarks, wanted)}


@lru_cache(4096)
def _vector(judge: Judge, path: str) -> Tensor:
    """A person's unit vector. Raises ValueError where the judge sees nobody in the photo."""
    vector = averaged(judge.vectors(_faces(path)))
    if vector.isnan().any():
        raise ValueError(f"{judge.name} sees no face in {path}. Take another photo of this person.")
    return vector


@lru_cache(256)
def _faces(path: str) -> Faces:
    try:
        return detect_faces(to_image(_pixels(path)), maximum=1)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


@lru_cache(4096)
def _landmarks(path: str) -> dict | None:
    found = detect_faces(to_image(_pixels(path)), maximum=1, required=False).faces[0]
    return found[0].landmarks if found else None


def _pixels(path: str) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def measure(folder: Path, reader: Reader) -> Path:
    """Read every picture that `measures.csv` does not have yet."""
    path = folder / "measures.csv"
    known = {int(row["task"]) for row in rows_of(path)}
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    pictures = {task["number"]: folder / "pictures" / f"{task['number']:05d}.png" for task in tasks}
    missing = [task for task in tasks if task["number"] not in known and pictures[task["number"]].exists()]
    said = folder / "judge.txt"
    if said.exists() and said.read_text(encoding="utf-8") != reader.judge.name:
        raise ValueError(
            f"{folder} was read by {said.read_text(encoding='utf-8')}, not by {reader.judge.name}, and their figures "
            f"cannot be mixed. Delete {path.name} and {said.name} to read it anew."
        )
    said.write_text(reader.judge.name, encoding="utf-8")
    for task in tqdm(missing, desc="read", unit="picture"):
        rows = reader.rows(_pixels(str(pictures[task["number"]])), task)
        new = not path.exists()
        with open(path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, FIELDS)
            if new:
                writer.writeheader()
            writer.writerows(rows)
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
