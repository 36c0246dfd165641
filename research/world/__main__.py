"""Pictures of the face world: `python -m research.world sheets|portraits FOLDER`, and `prepare` for training.

`sheets` are contact sheets; `portraits` are the people whose photos ship with the pack, in `portraits/`. `prepare`
draws pictures, each once, and hands them to the trainer's own `prepare`. It may run while `train --fresh` learns from
what is there already.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from . import Pose, portrait, render, sample_identity, sample_pose, sample_scene

IDENTITIES, POSES = (102, 107, 111, 118, 104), 6
CELL = 192
PORTRAITS = {  # seed and pose
    "world_mara": (22, Pose(yaw=10, pitch=2, smile=0.4)),
    "world_omar": (12, Pose(yaw=-12, smile=0.2)),
    "world_lena": (5, Pose(yaw=6, pitch=-2, roll=3, smile=0.5)),
}


def identities() -> np.ndarray:
    """One identity a row, in several poses and expressions."""
    rng = np.random.default_rng(1)
    rows = [
        [render(portrait(sample_identity(seed), sample_pose(rng)), CELL) for _ in range(POSES)] for seed in IDENTITIES
    ]
    return _sheet([[cell.image for cell in row] for row in rows])


def scenes() -> np.ndarray:
    """One person, two persons, three or four, overlapping ones: a row of each."""
    rng = np.random.default_rng(11)
    kinds = ({"people": 1}, {"people": 1, "styles": ("watercolor", "anime")}, {"people": 2}, {"people": (3, 4)})
    rows = [[sample_scene(rng, **kind) for _ in range(POSES)] for kind in (*kinds, {"people": 2, "overlap": True})]
    return _sheet([[render(scene, CELL).image for scene in row] for row in rows])


def _sheet(rows: list[list[np.ndarray]]) -> np.ndarray:
    return np.concatenate([np.concatenate(row, 1) for row in rows])


def sheets() -> dict[str, np.ndarray]:
    return {"world_identities": identities(), "world_scenes": scenes()}


def portraits() -> dict[str, np.ndarray]:
    return {
        name: render(portrait(sample_identity(seed), pose, 0.42), 512).image for name, (seed, pose) in PORTRAITS.items()
    }


def write(pictures: dict[str, np.ndarray], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        file = folder / f"{name}.jpg"
        file.write_bytes(cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
        print(file)


def prepare(options: argparse.Namespace) -> None:
    """Shards for the trainer, from as many processes as asked for."""
    import realisid_core.training.prepare as core  # finds the host, so before what needs it
    from realisid_core.miniature.loading import architecture_in
    from realisid_core.miniature.networks import SECOND
    from realisid_core.training.base import image_size, miniature_weights

    from .training_pictures import WorldPictures

    size = options.image_size or image_size(options.base)
    world = options.world or (2 if architecture_in(miniature_weights(options.base)) == SECOND else 1)
    people = max(options.people, options.faces)
    source = WorldPictures(options.seed, options.pictures, size, people, world, options.shard_size, faces=options.faces)
    job = core.Job(options.output, options.base, source, options.clip_vision, options.processes)
    print(core.describe(core.prepare(job)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m research.world", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("sheets", "portraits"):
        commands.add_parser(name).add_argument("folder", type=Path)
    shards = commands.add_parser("prepare", help="shards to train from")
    shards.add_argument("--pictures", type=int, required=True, help="how many; a run may be stopped and go on")
    shards.add_argument("--output", type=Path, required=True, help="folder for the shards, resumed if begun")
    shards.add_argument("--base", default="miniature", help='"miniature", or a folder with its weights (%(default)s)')
    shards.add_argument("--clip-vision", help="the image encoder's file; the miniature brings its own")
    shards.add_argument("--image-size", type=int, help="side in pixels (the miniature's)")
    shards.add_argument("--people", type=int, choices=(1, 2, 3), default=3, help="at most, in a picture (%(default)s)")
    shards.add_argument(
        "--faces", type=int, choices=(1, 2, 3, 4), default=1, help="keep so many of each picture (%(default)s)"
    )
    shards.add_argument("--world", type=int, choices=(1, 2), help="whose people (those of the base's own world)")
    shards.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    shards.add_argument("--shard-size", type=int, default=512, help="pictures in a shard (%(default)s)")
    shards.add_argument("--processes", type=int, default=1, help="shards made at once (%(default)s)")
    return parser


if __name__ == "__main__":
    options = _parser().parse_args()
    if options.command == "prepare":
        prepare(options)
    else:
        write({"sheets": sheets, "portraits": portraits}[options.command](), options.folder)
