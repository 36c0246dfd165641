"""`python -m research.recipe.second COMMAND` trains one part; it goes on where its folder's state stopped."""

import argparse
from pathlib import Path

from realisid_core.bootstrap import find_host

RUNS = Path("runs/second")
TRAININGS = {"autoencoder": (30000, 4, 5e-4)}  # steps, batch size, peak learning rate


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
        training.add_argument("--save-minutes", type=float, default=8)
    commands.choices["autoencoder"].add_argument("--crop", type=int, default=128, help="px; 384: whole pictures")
    return parser


def main() -> None:
    args = _parser().parse_args()
    find_host()
    import cv2
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
        cv2.setNumThreads(args.threads)
    from ..run import Plan

    plan = Plan(args.steps, args.batch, args.seed, args.rate, args.save_minutes)
    if args.command == "autoencoder":
        from . import autoencoder

        autoencoder.train(args.runs / "autoencoder", plan, args.crop)


if __name__ == "__main__":
    main()
