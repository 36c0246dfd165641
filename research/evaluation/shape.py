"""The third judge: how alike two faces' shapes are, as MediaPipe's landmarks show them. Nobody here trained it.

MediaPipe's points of a picture are laid over its canonical face, and what the head's turn and the blendshapes explain
is taken away: the neutral face n of designs/diff-pc.md, here without its depth, which is the least sure. Few directions
of it tell people apart; `shape.npz` holds them and the other linear maps, fitted on people that nothing else uses
(`python -m research.evaluation.shape fit`).
"""

import argparse
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from realisid_core.alignment import moved, similarity
from realisid_core.bootstrap import find_host
from realisid_core.canonical_face import STABLE, canonical_face

from ..world import Identity, sample_family

FILE = Path(__file__).with_name("shape.npz")
FIRST = 19 << 33  # the fitted people's seeds
COMPONENTS, DIRECTIONS = 40, 16  # of all faces; of those, the ones that tell people apart best
SHRINKAGE = 0.1  # of the covariance within a person towards a sphere
RIDGE_BLENDSHAPES, RIDGE_ANGLES = 1.0, 0.05


def aligned(face: dict) -> np.ndarray:
    """[478, 3] in the canonical face's axes and size (cm): `face` as `face_landmarks` gives it."""
    xy = face["landmarks_xy"] * (1, -1)
    z = -face["landmarks_3d"][:, 2]
    own = face["landmarks_3d"][:, :2]
    points = np.column_stack((xy, z * np.sqrt(xy.var(0).sum() / own.var(0).sum())))
    there, here = canonical_face().vertices[list(STABLE)], points[list(STABLE)]
    return moved(points, similarity(here, there))


def _plane(face: dict) -> np.ndarray:
    """[956]: x and y of the aligned points."""
    return aligned(face)[:, :2].ravel()


def _explained(face: dict) -> np.ndarray:
    """What moves a face without changing whose it is: 52 blendshapes, and the head's turn."""
    from realisid_core.perception import head_pose

    yaw, pitch, _ = np.radians(head_pose(face))
    shapes = [value for name, value in sorted(face["blendshapes"].items()) if name != "_neutral"]
    return np.array((*shapes, yaw, pitch, yaw**2, pitch**2, yaw * pitch, abs(yaw)))


@lru_cache
def _maps() -> dict[str, np.ndarray]:
    """`explained` [58, 956], the `mean` face [956], `directions` [16, 956] with a deviation of one within a person,
    and `signal` [16], the variance between people in each."""
    with np.load(FILE, allow_pickle=False) as stored:
        return {name: stored[name].astype(np.float64) for name in stored.files}


def shape_vector(face: dict) -> np.ndarray:
    """[16] of one face of `face_landmarks`: its neutral shape less the mean, in deviations within a person."""
    maps = _maps()
    return maps["directions"] @ (_plane(face) - _explained(face) @ maps["explained"] - maps["mean"])


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Root mean square of two shape vectors' [..., 16] difference: about 1.4 for pictures of one person."""
    return (a - b).square().mean(-1).sqrt()


def alike(a: Tensor, b: Tensor) -> Tensor:
    """How much likelier two shape vectors [..., 16] are of one person than of two: the logarithm of the ratio.

    In each direction a person's place is normal with the variance `signal`, a picture's about it with one.
    """
    signal = torch.from_numpy(_maps()["signal"])
    shared = signal / (1 + signal)  # correlation of one person's pictures
    given = (a - shared * b).square() / ((1 + signal) * (1 - shared.square()))
    return -0.5 * (given - a.square() / (1 + signal) + (1 - shared.square()).log()).sum(-1)


def fit(people: Sequence[Sequence[dict]]) -> dict[str, np.ndarray]:
    """The maps from several people's faces, several pictures each."""
    points = [np.stack([_plane(face) for face in faces]) for faces in people]
    moved = [np.stack([_explained(face) for face in faces]) for faces in people]
    return fit_readings(points, moved)


def fit_readings(points: Sequence[np.ndarray], moved: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """`points` [pictures, 956] and what moved them [pictures, 58] of each person.

    Linear discriminants: within a person all directions are made alike, those in which people differ most are kept.
    """
    x, y = (np.concatenate([one - one.mean(0) for one in values]) for values in (moved, points))
    ridge = np.diag((RIDGE_BLENDSHAPES,) * (x.shape[1] - 6) + (RIDGE_ANGLES,) * 6)
    explained = np.linalg.solve(x.T @ x + ridge, x.T @ y)
    neutral = [one - other @ explained for one, other in zip(points, moved, strict=True)]
    mean = np.stack([one.mean(0) for one in neutral]).mean(0)
    components = np.linalg.svd(np.concatenate(neutral) - mean, full_matrices=False)[2][:COMPONENTS]
    places = [(one - mean) @ components.T for one in neutral]
    noise = np.concatenate([one - one.mean(0) for one in places])
    within = noise.T @ noise / (len(noise) - len(places))
    within += SHRINKAGE * np.trace(within) / COMPONENTS * np.eye(COMPONENTS)
    sphere = np.linalg.inv(np.linalg.cholesky(within))
    between = sphere @ np.cov(np.stack([one.mean(0) for one in places]).T) @ sphere.T
    values, vectors = np.linalg.eigh(between)
    kept = np.argsort(values)[::-1][:DIRECTIONS]
    pictures = len(noise) / len(places)
    signal = np.maximum(values[kept] - 1 / pictures, 1e-3)  # means of few pictures keep some of the noise
    return {
        "explained": explained,
        "mean": mean,
        "directions": vectors[:, kept].T @ sphere @ components,
        "signal": signal,
    }


def read_face(pixels: np.ndarray, box: Sequence[float]) -> dict | None:
    """What MediaPipe sees in the box (x0, y0, x1, y1 px); None where it finds nobody."""
    from realisid_core.perception import face_landmarks, faces_from_boxes
    from realisid_core.perception.faces import to_image

    x0, y0, x1, y1 = map(float, box)
    boxes = [{"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0}]
    found = face_landmarks(faces_from_boxes(to_image(pixels), boxes), skip=True)["frames"][0]
    return found[0] if found else None


def drawn_faces(who: Identity, pictures: int, seed: int, sides: tuple[float, float] = (64, 150)) -> list[dict]:
    """What MediaPipe sees in pictures of somebody as the judges are trained with."""
    from ..world import render
    from .judges_training import face_scene

    rng = np.random.default_rng([seed, 0x5A])
    faces = []
    for _ in range(pictures):
        scene, size = face_scene(who, rng, sides)
        drawn = render(scene, size)
        faces.append(read_face(drawn.image, drawn.boxes[0]))
    return [face for face in faces if face is not None]


def main(arguments: argparse.Namespace) -> None:
    from .judges_training import MEMBERS, family_strangers, verification

    if arguments.command == "fit":
        people = [sample_family(FIRST + number)[0] for number in range(arguments.people)]
        faces = [drawn_faces(who, 4, FIRST + number) for number, who in enumerate(people)]
        maps = fit([person for person in faces if len(person) > 1])
        np.savez_compressed(FILE, **{name: value.astype(np.float16) for name, value in maps.items()})
    first = FIRST + (1 << 20)
    vectors, families = [], arguments.people // MEMBERS
    for number in range(families):
        for member, who in enumerate(sample_family(first + number, MEMBERS)):
            faces = drawn_faces(who, 4, (first + number) * MEMBERS + member)
            shapes = [shape_vector(face) for face in faces]
            vectors.append(np.stack([shapes[index % len(shapes)] for index in range(4)]))
    found = verification(torch.from_numpy(np.stack(vectors)), family_strangers(families), alike)
    print(f"shapes of {families} families of {MEMBERS}: {found}")


if __name__ == "__main__":
    find_host()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["fit", "check"])
    parser.add_argument("--people", type=int, default=160)
    main(parser.parse_args())
