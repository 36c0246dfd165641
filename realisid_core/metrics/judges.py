"""Judges of identity: each turns faces into unit vectors whose dot product is the identity similarity, -1..1."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from ..identity.arcface import Recogniser, aligned
from ..perception import Faces
from ..perception.model_files import SFACE, obtain, placed
from .drawn_people import DrawnPeople
from .facenet import FaceNet
from .sface import SFace
from .upright import upright_vectors

RECOGNISERS = "realisid_recognisers"  # the host's name of the folders with ArcFace files (models/insightface)
ARCFACE_FILES = ("glintr100.onnx", "w600k_r50.onnx", "w600k_mbf.onnx")


class Judge(Protocol):
    """Attributes:
    name: in words.
    note: what its figures do not say, a sentence; may be empty.
    """

    name: str
    note: str

    def vectors(self, faces: Faces) -> Tensor:
        """[N, D], of length one, of the faces in order; NaN where the judge finds no face to look at."""
        ...


class ArcFace:
    """Any ArcFace network in ONNX."""

    note = ""

    def __init__(self, path: str | Path):
        self.recogniser = Recogniser(path, any_space=True)
        self.name = f"ArcFace ({Path(path).name})"

    def vectors(self, faces: Faces) -> Tensor:
        def vector(pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
            return self.recogniser.vector(aligned(pixels, points))

        return upright_vectors(faces, vector)


def arcface_file() -> Path:
    """The first of `ARCFACE_FILES` in the folders of recognisers. Raises ValueError where there is none."""
    import folder_paths

    known = folder_paths.folder_names_and_paths.get(RECOGNISERS, ([],))[0]
    folders = [Path(folder) for folder in known] or [Path(folder_paths.models_dir) / "insightface"]
    for name in ARCFACE_FILES:
        for folder in folders:
            for path in sorted(folder.rglob(name)):
                return path
    raise ValueError(
        f"judge arcface: there is none of {', '.join(ARCFACE_FILES)} in models/{folders[0].name}. Put insightface's "
        "file there, or choose another judge."
    )


AUTO = "auto"
JUDGES: dict[str, Callable[[], Judge]] = {
    "sface": lambda: SFace(obtain(SFACE)),
    "facenet": FaceNet.of_users_file,
    "arcface": lambda: ArcFace(arcface_file()),
    "miniature": DrawnPeople,
}


def load_judge(kind: str = AUTO) -> Judge:
    """A judge by its name in `JUDGES`, kept for the next time. `auto`: SFace where its file lies, else the miniature's.

    Only `sface` fetches anything (38.7 MB, Apache-2.0), and only where it is asked for by name.

    Raises:
        ValueError: no such judge, or what it needs is not there; says where to get it.
    """
    if kind == AUTO:
        kind = "sface" if placed(SFACE) else "miniature"
    if not isinstance(kind, str) or kind not in JUDGES:
        raise ValueError(f"judge is {kind!r:.60}; expected one of {', '.join((AUTO, *JUDGES))}.")
    return _loaded(kind)


@lru_cache
def _loaded(kind: str) -> Judge:
    return JUDGES[kind]()
