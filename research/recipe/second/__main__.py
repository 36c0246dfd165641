"""`python -m research.recipe.second COMMAND` trains one part; it goes on where its folder's state stopped."""

import argparse
from pathlib import Path

from realisid_core.bootstrap import find_host

from ..options import add_grid, add_weights, add_windows

RUNS = Path("runs/second")
TRAININGS = {  # steps, batch size, peak learning rate
    "autoencoder": (30000, 4, 5e-4),
    "encoder": (25000, 64, 1e-3),
    "base": (12000, 8, 6e-4),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m research.recipe.second", description=__doc__)
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of states and logs (%(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: torch's own choice")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (steps, batch, rate) in TRAININGS.items():
        training = commands.add_parser(name, help=f"train the {name}")
        training.add_argument("--steps", type=int, default=steps)
        training.add_argument("--batch", type=int, default=batch)
        training.add_argument("--rate", type=float, default=rate)
        training.add_argument("--seed", type=int, default=0)
        training.add_argument("--precision", choices=["auto", "no", "bf16", "fp16"], default="auto")
        training.add_argument("--save-minutes", type=float, default=8)
    commands.choices["autoencoder"].add_argument("--crop", type=int, default=128, help="px; 384: whole pictures")
    commands.choices["autoencoder"].add_argument(
        "--perceptual", type=Path, help="weights of the recogniser that only trains: adds its maps' differences"
    )
    commands.choices["encoder"].add_argument("--workers", type=int, default=0, help="processes that draw ahead")
    add_windows(commands)
    latents = commands.add_parser("latents", help="draw and encode what the base learns from")
    latents.add_argument("--shards", type=int, default=100, help="of 200 pictures each (default %(default)s)")
    latents.add_argument("--seed", type=int, default=1)
    latents.add_argument("--workers", type=int, default=1)
    commands.add_parser("export", help="write the weights of every part that has been trained")
    add_grid(commands, RUNS)
    add_weights(commands)
    check = commands.add_parser("check", help="print the figures of a part's gate")
    check.add_argument("part", choices=list(TRAININGS))
    check.add_argument("--people", type=int, default=200, help="unseen people (default %(default)s)")
    check.add_argument("--judge", type=Path, help="weights of the judge (the shipped ones); without any: no similarity")
    return parser


def main() -> None:
    args = _parser().parse_args()
    find_host()
    import cv2
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
        cv2.setNumThreads(args.threads)
    if args.command in TRAININGS:
        train(args)
    elif args.command == "check":
        check(args)
    elif args.command == "latents":
        from .base import encode

        encode(args.weights or args.runs / "weights", args.runs / "latents", args.shards, args.seed, args.workers)
    elif args.command == "export":
        from .export import export

        export(args.runs, args.weights or args.runs / "weights")
    else:
        from ..export import grid
        from .export import captions

        texts = captions(args.columns * args.rows, args.seed)
        weights = args.weights or args.runs / "weights"
        grid(weights, args.out, texts, args.columns, args.steps, args.guidance, args.seed)


def train(args: argparse.Namespace) -> None:
    from realisid_core.training.precision import chosen_precision, say_precision

    from ..run import Plan, device

    precision, why = chosen_precision(args.precision, device())
    print(say_precision(precision, why), flush=True)
    plan = Plan(args.steps, args.batch, args.seed, args.rate, args.save_minutes, precision)
    if args.command == "autoencoder":
        from ...evaluation.judges import load_judge
        from . import autoencoder

        perceptual = args.perceptual and autoencoder.perceptual_of(load_judge("trainer", args.perceptual))
        autoencoder.train(args.runs / "autoencoder", plan, args.crop, perceptual)
    elif args.command == "encoder":
        from . import encoder

        encoder.train(args.runs / "encoder", plan, args.workers)
    else:
        from . import base

        base.train(args.runs / "latents", args.runs / "base", plan, args.windows)


def check(args: argparse.Namespace) -> None:
    from ...evaluation.judges import load_judge, weights_file
    from . import encoder
    from .check import check_autoencoder, load_autoencoder

    if args.part == "base":
        from .check_base import check_base

        return check_base(args.runs / "weights", args.people)
    if args.part == "encoder":
        return encoder.check(args.runs / "encoder", args.people)
    file = args.judge or weights_file("judge")
    judge = load_judge("judge", file) if file.is_file() else None
    check_autoencoder(load_autoencoder(args.runs / "autoencoder"), judge, args.people)


if __name__ == "__main__":
    main()
