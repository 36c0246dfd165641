"""`python -m realisid_core.training`: prepare data, train, and see beforehand what it will cost."""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

FLAGS = {
    "--fresh": "take each sample of --data once, in order; `prepare` may still be writing them",
    "--outline": "draw the face's outline into the pose-expression image",
    "--ema-on-cpu": "keep the moving average in the computer's memory: slower, less GPU memory",
    "--recompute": "gradient checkpointing: less memory, a third slower",
    "--resume": "go on from the newest state in --output",
    "--dry-run": "say how many parameters, how much memory and time; train nothing",
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m realisid_core.training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _train_options(commands.add_parser("train", help="train the branches and the ID projector (Eq. 7)"))
    _prepare_options(commands.add_parser("prepare", help="pictures with captions → shards to train from"))
    expressions = commands.add_parser("expressions", help="photos of many people → the basis of retargeting")
    expressions.add_argument(
        "--data", type=Path, required=True, help="folder with a subfolder of photos for each person, at least two each"
    )
    expressions.add_argument(
        "--output", type=Path, required=True, help="file to write; the pack's is perception/weights/expressions.npz"
    )
    options = vars(parser.parse_args(arguments))
    command = options.pop("command")
    try:
        {"train": _train, "prepare": _prepare, "expressions": _expressions}[command](options)
    except (ValueError, ImportError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _train_options(parser: argparse.ArgumentParser) -> None:
    from .precision import AUTO, DTYPES
    from .settings import OPTIMIZERS, Settings

    defaults = {field.name: field.default for field in fields(Settings)}

    def add(name: str, help: str, **options) -> None:
        key = name.strip("-").replace("-", "_")
        parser.add_argument(name, help=f"{help} (default %(default)s)", default=defaults[key], **options)

    parser.add_argument("--base", required=True, help='an SDXL checkpoint file that ComfyUI reads, or "miniature"')
    parser.add_argument("--data", type=Path, required=True, help="folder of shards from `prepare`")
    parser.add_argument("--output", type=Path, required=True, help="folder of this run")
    parser.add_argument("--steps", type=int, required=True, help="optimiser steps in all")
    parser.add_argument(
        "--validation", type=Path, help="folder of other shards, not trained on, whose loss is noted with every state"
    )
    parser.add_argument(
        "--start-from",
        help="a trained RealisID checkpoint to fine-tune, or instantid:FILE with IdentityNet's file, whose terms the "
        "checkpoint then carries (IdentityNet reads the prompt's vector: --y-mode prompt)",
    )
    add("--train", "which weights of the branches learn: all, attention (their cross-attention), or lora:RANK")
    add("--batch-size", "samples a process takes at once", type=int)
    add("--accumulate", "batches to a step", type=int)
    add("--optimizer", "adamw8bit needs bitsandbytes and a GPU, and takes a quarter of the memory", choices=OPTIMIZERS)
    add("--learning-rate", "of the optimiser", type=float)
    add("--weight-decay", "of the optimiser", type=float)
    add("--warmup", "steps until the full learning rate", type=int)
    add("--face-weight", "λ of Eq. 7", type=float)
    add("--clip-gradient", "largest gradient norm, 0 for none", type=float)
    add("--ema", "decay of the weights' moving average, 0 for none", type=float)
    add("--local-size", "side of the enlarged face in latent cells", type=int)
    add("--window", "side in latent cells of a part round the face to train on, 0 for the whole picture", type=int)
    add("--y-mode", "vector conditioning of the branches", choices=("sizes", "prompt"))
    add("--family", "InstantFamily: stack up to so many faces of a picture; 0 trains RealisID", type=int)
    add(
        "--mask",
        "InstantFamily: how tokens of others are hidden; literal is the paper's",
        choices=("exclude", "literal"),
    )
    parser.add_argument("--no-unet", dest="unet", action="store_false", help="InstantFamily: the UNet reads no faces")
    parser.add_argument(
        "--no-crop",
        dest="crop",
        action="store_false",
        help="the ablation without the local crop: its local branch sees the whole latent, landmarks drawn in place",
    )
    add("--precision", "of the computation; auto: bf16 where this processor gains by it", choices=(AUTO, *DTYPES))
    add("--workers", "processes that read ahead", type=int)
    add("--save-every", "steps between states", type=int)
    add("--sample-every", "steps between sample grids, 0 for none", type=int)
    add("--log-every", "steps between lines of the log", type=int)
    add("--seed", "of the data's order and every draw", type=int)
    for name, help in FLAGS.items():
        parser.add_argument(name, action="store_true", help=help)


def _prepare_options(parser: argparse.ArgumentParser) -> None:
    from ..geometry import MAX_BOXES
    from ..perception.parsing import KEEP, METHODS

    parser.add_argument(
        "--images",
        required=True,
        help="a folder of pictures, each with its caption beside it (.txt, or .json with "
        '"caption"), or a WebDataset: a folder of .tar, or a glob',
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the shards, resumed if begun")
    parser.add_argument("--base", required=True, help='the base to train for: a checkpoint file, or "miniature"')
    parser.add_argument("--clip-vision", help="the image encoder's file; the miniature brings its own")
    parser.add_argument("--image-size", type=int, help="side of the square pictures (1024; the miniature's own)")
    parser.add_argument("--smallest-side", type=int, help="drop pictures with a shorter side (half of --image-size)")
    parser.add_argument("--detector", choices=("yunet", "retinaface", "mtcnn"), default="yunet")
    parser.add_argument("--parser", choices=METHODS, default="auto")
    parser.add_argument(
        "--keep", choices=tuple(KEEP), default="face and hair", help="what the parser keeps of the face crop"
    )
    parser.add_argument(
        "--faces", type=int, choices=range(1, MAX_BOXES + 1), default=1,
        help="keep pictures of up to so many faces, with all of them (default %(default)s)",
    )  # fmt: skip
    parser.add_argument("--processes", type=int, default=1, help="shards prepared at once (default %(default)s)")
    parser.add_argument("--shard-size", type=int, default=512, help="pictures to a shard (default %(default)s)")


def _prepare(options: dict) -> None:
    from .base import image_size
    from .photos import Photos
    from .pictures import Rules
    from .prepare import Job, describe, prepare

    size = options.pop("image_size") or image_size(options["base"])
    smallest = options.pop("smallest_side") or size // 2
    told = {name: options.pop(name) for name in ("detector", "parser", "keep", "faces")}
    rules = Rules(size, smallest, **told)
    source = Photos(options.pop("images"), rules, options.pop("shard_size"))
    print(describe(prepare(Job(source=source, **options))))


def _expressions(options: dict) -> None:
    from .expressions import faces_of_folders, fit_basis

    fit_basis(faces_of_folders(options["data"])).save(options["output"])
    print(f"The basis is {options['output']}.")


def _train(options: dict) -> None:
    from .settings import Settings

    dry_run = options.pop("dry_run")
    settings = Settings(**options)
    if dry_run:
        from .dry_run import dry_run

        print(dry_run(settings))
    else:
        from .loop import train

        print(f"The checkpoint is {train(settings)}.")


if __name__ == "__main__":
    sys.exit(main())
