"""`python -m research.evaluation.retargeting fit | check`: the basis of retargeting, and how true its points are.

`fit` draws people of both worlds, reads them with MediaPipe and writes the basis that ships. `check` takes people that
no fit has seen: a reference and a donor who are strangers. The truth is where the face world puts the reference's
points in the donor's pose and expression.
"""

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np

from realisid_core.bootstrap import find_host, start_worker

from ..world import Identity, portrait, render, restyled, sample_identity, sample_person, sample_pose
from .tasks import facing_the_camera

# The people's seeds; nothing else uses these. Directions and noise were chosen on people from 24 << 33.
FITTED, CHECKED = 23 << 33, 35 << 33
WORLDS = (1, 2)
SIZE = 512
SIDES = (0.35, 0.6)  # of the faces that are fitted
EYES = ((159, 145, 33, 133), (386, 374, 263, 362))  # upper and lower lid, the corners
LIPS = (13, 14, 61, 291)
ROWS = ("donor", "retargeted", "exact")


def person(world: int, seed: int) -> Identity:
    return (sample_person if world == 2 else sample_identity)(seed)


def faces_to_fit(pictures: int, job: tuple[int, int]) -> list[dict]:
    """What MediaPipe sees of a person of a world, (world, number), with other poses, hair and glasses each time."""
    from .shape import read_face

    world, number = job
    rng = np.random.default_rng([FITTED + number, world])
    who = person(world, FITTED + number)
    drawn = [
        render(portrait(restyled(who, rng), sample_pose(rng), float(rng.uniform(*SIDES))), SIZE)
        for _ in range(pictures)
    ]
    faces = [read_face(one.image, one.boxes[0]) for one in drawn]
    return [face for face in faces if face is not None]


def checked_pair(world: int, number: int) -> tuple[dict, dict, dict, np.ndarray] | None:
    """A reference's face, a donor's, the reference's in the donor's pose, and the true points [478, 2] of that.

    None where MediaPipe finds one of them not.
    """
    from .shape import read_face

    rng = np.random.default_rng([CHECKED + number, world])
    who, other = (person(world, CHECKED + 2 * number + each) for each in (0, 1))
    pose = sample_pose(rng)
    drawn = [
        render(portrait(*one), SIZE) for one in ((who, facing_the_camera(CHECKED + number)), (other, pose), (who, pose))
    ]
    faces = [read_face(one.image, one.boxes[0]) for one in drawn]
    return None if None in faces else (*faces, drawn[2].landmarks[0])


def errors(points: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Of points [478, 2] against the truth: mean distance in crop frames, and of the openings of lids and mouth.

    An opening is in widths of the eye or the mouth.
    """
    distance = np.linalg.norm(in_crop_frame(points) - in_crop_frame(truth), axis=1).mean()
    lids = np.mean([abs(opening(points, eye) - opening(truth, eye)) for eye in EYES])
    return float(distance), float(lids), abs(opening(points, LIPS) - opening(truth, LIPS))


def in_crop_frame(points: np.ndarray) -> np.ndarray:
    """Points in fractions of the square round them."""
    from realisid_core.perception import crop_frame

    x0, y0, x1, _ = crop_frame({"landmarks_xy": points})
    return (np.asarray(points, np.float64) - (x0, y0)) / (x1 - x0)


def opening(points: np.ndarray, four: tuple[int, int, int, int]) -> float:
    """How far two points are apart, in distances of two others."""
    above, below, left, right = np.asarray(points, np.float64)[list(four)]
    return float(np.linalg.norm(above - below) / np.linalg.norm(left - right))


def check_pair(job: tuple[int, int]) -> dict[str, tuple[float, float, float]] | None:
    """`errors` of each of `ROWS` for a pair, (world, number)."""
    from realisid_core.perception.retarget import retarget

    if (pair := checked_pair(*job)) is None:
        return None
    reference, donor, exact, truth = pair
    shown = dict(zip(ROWS, (donor, retarget([reference], donor), exact), strict=True))
    return {name: errors(face["landmarks_xy"], truth) for name, face in shown.items()}


def report(found: list[dict[str, tuple[float, float, float]]], world: int) -> str:
    """A table of mean errors with their standard errors; of the difference to the donor's, paired."""
    from .report import table

    values = np.array([[pair[name] for name in ROWS] for pair in found])
    spread = values.std(0, ddof=1) / np.sqrt(len(values))
    less = values - values[:, :1]
    paired = less.std(0, ddof=1) / np.sqrt(len(values))

    def cells(row: int) -> list[str]:
        shown = [f"{mean:.4f} ± {error:.4f}" for mean, error in zip(values.mean(0)[row], spread[row], strict=True)]
        change = f"{less.mean(0)[row, 0]:+.4f} ± {paired[row, 0]:.4f}" if row else ""
        return [shown[0], change, *shown[1:]]

    title = f"World {world}, {len(found)} pairs: errors against the truth"
    return table(title, ["points", "change", "lids", "mouth"], dict(zip(ROWS, range(3), strict=True)), cells)


def _spread(function, jobs: list, processes: int) -> Iterator:
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=start_worker) as pool:
        yield from pool.map(function, jobs, chunksize=4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["fit", "check"])
    parser.add_argument("--people", type=int, default=150, help="fit: of each world (%(default)s)")
    parser.add_argument("--pictures", type=int, default=5, help="fit: of each person (%(default)s)")
    parser.add_argument("--pairs", type=int, default=60, help="check: of each world (%(default)s)")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    find_host()
    if args.command == "fit":
        from realisid_core.perception.retarget import FILE
        from realisid_core.training.expressions import fit_basis

        jobs = [(world, number) for number in range(args.people) for world in WORLDS]
        fit_basis(list(_spread(partial(faces_to_fit, args.pictures), jobs, args.processes))).save(FILE)
    for world in WORLDS:
        found = _spread(check_pair, [(world, number) for number in range(args.pairs)], args.processes)
        print(report([pair for pair in found if pair is not None], world))


if __name__ == "__main__":
    main()
