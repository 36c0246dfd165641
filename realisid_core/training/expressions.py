"""`expressions`: the basis of retargeting, from several photos each of many people."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from ..perception import detect_faces, face_landmarks
from ..perception.faces import to_image
from ..perception.neutral import laid_over, motion
from ..perception.retarget import Basis
from .photos import IMAGES

RIDGE_BLENDSHAPES, RIDGE_TURN = 1.0, 0.05
TURN = 6  # numbers that say how the head is turned
DIRECTIONS = 24
NOISE = 0.25  # how much of the variation within a person counts as noise; chosen on people of the face world
LEAST_PHOTOS = 2


def fit_basis(people: Sequence[Sequence[dict]], directions: int = DIRECTIONS) -> Basis:
    """The basis from several people's faces of FACE_LANDMARKS, several of each.

    `W` is a ridge regression on the differences between one person's faces; `V` are the principal components of the
    persons' mean neutral shapes; `A = S(S + N)⁻¹` of the covariances between persons and of the noise (Wiener). One
    person's faces must differ in pose and expression.

    Raises:
        ValueError: too few people with two faces.
    """
    people = [faces for faces in people if len(faces) >= LEAST_PHOTOS]
    if len(people) <= directions:
        raise ValueError(
            f"{len(people)} people have two or more faces; {directions + 1} are needed, and hundreds are better."
        )
    names = tuple(sorted(name for name in people[0][0]["blendshapes"] if name != "_neutral"))
    points = [np.stack([laid_over(face).points.ravel() for face in faces]) for faces in people]
    motions = [np.stack([motion(face, names) for face in faces]) for faces in people]
    x, y = (np.concatenate([one - one.mean(0) for one in values]) for values in (motions, points))
    ridge = np.diag((RIDGE_BLENDSHAPES,) * len(names) + (RIDGE_TURN,) * TURN)
    explained = np.linalg.solve(x.T @ x + ridge, x.T @ y)
    neutral = [one - by @ explained for one, by in zip(points, motions, strict=True)]
    persons = np.stack([one.mean(0) for one in neutral])
    shapes = np.linalg.svd(persons - persons.mean(0), full_matrices=False)[2][:directions]
    return Basis(names, explained, shapes, _trust([one @ shapes.T for one in neutral]))


def _trust(places: Sequence[np.ndarray]) -> np.ndarray:
    """`A` [K, K] from the places [photos, K] of several persons' neutral shapes."""
    within = np.concatenate([one - one.mean(0) for one in places])
    noise = within.T @ within / (len(within) - len(places))
    photos = len(within) / len(places)
    between = np.cov(np.stack([one.mean(0) for one in places]).T) - noise / photos  # means of few photos keep some
    values, vectors = np.linalg.eigh(np.atleast_2d(between))
    signal = vectors * np.maximum(values, 0) @ vectors.T
    return signal @ np.linalg.pinv(signal + NOISE * noise)


def faces_of_folders(data: Path) -> list[list[dict]]:
    """The largest face of each picture, a list for each of the folder's subfolders: the people.

    Raises ValueError where `data` has no subfolders.
    """
    folders = sorted(path for path in data.iterdir() if path.is_dir()) if data.is_dir() else []
    if not folders:
        raise ValueError(f"{data} has no subfolders. Give a folder with a subfolder of photos for each person.")
    return [list(_faces_in(folder)) for folder in tqdm(folders, unit="person")]


def _faces_in(folder: Path) -> Iterator[dict]:
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES):
        try:
            with Image.open(path) as picture:
                image = to_image(ImageOps.exif_transpose(picture).convert("RGB"))
        except (OSError, ValueError):
            tqdm.write(f"{path} cannot be read and is left out.")
            continue
        found = face_landmarks(detect_faces(image, maximum=1, required=False), skip=True)["frames"][0]
        if not found:
            tqdm.write(f"{path} has no face with landmarks and is left out.")
        yield from found
