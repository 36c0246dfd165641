"""`python -m research.recipe COMMAND`; the defaults are what the shipped weights were made with."""

import argparse
from pathlib import Path

from realisid_core.bootstrap import find_host

from .options import add_grid, add_weights, add_windows

RUNS = Path("runs/miniature")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m research.recipe", description=__doc__)
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of pictures, states and logs (%(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: torch's own choice")
    parser.add_argument(
        "--precision", default="auto", help="auto, no, bf16 or fp16; auto: bf16 where this processor gains by it"
    )
    commands = parser.add_subparsers(dest="command", required=True)

    data = commands.add_parser("data", help="draw pictures of the face world")
    data.add_argument("kind", choices=["scenes", "crops"])
    data.add_argument("--shards", type=int, default=24, help="of 500 pictures each")
    data.add_argument("--seed", type=int, default=1)
    data.add_argument("--workers", type=int, default=2)

    trainings = {  # steps, batch size, peak learning rate
        "vae": (4700, 8, 6e-4),
        "encoder": (3500, 64, 1e-3),
        "base": (6500, 16, 6e-4),
    }
    for name, (steps, batch, rate) in trainings.items():
        training = commands.add_parser(name, help=f"train the {name}; goes on where it stopped")
        training.add_argument("--steps", type=int, default=steps)
        training.add_argument("--batch", type=int, default=batch)
        training.add_argument("--rate", type=float, default=rate)
        training.add_argument("--seed", type=int, default=0)
        training.add_argument("--save-minutes", type=float, default=4)

    commands.choices["vae"].add_argument(
        "--decoder-only", action="store_true", help="leave the encoder, whose latents the base has learnt, as it is"
    )
    add_windows(commands)
    commands.add_parser("latents", help="encode the scenes with the exported VAE")
    commands.add_parser("export", help="write the weights of every part that has been trained")

    add_grid(commands, RUNS)
    add_weights(commands)
    return parser


def main() -> None:
    args = _parser().parse_args()
    find_host()
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    runs = args.runs
    precision = ""
    if args.command in ("vae", "encoder", "base", "latents"):
        from realisid_core.training.precision import chosen_precision, say_precision

        from .run import device

        precision, why = chosen_precision(args.precision, device())
        print(say_precision(precision, why))
    weights = getattr(args, "weights", None) or runs / "weights"
    if args.command == "data":
        from .data import draw

        draw(runs / args.kind, args.shards, args.seed, args.kind, args.workers)
    elif args.command in ("vae", "encoder", "base"):
        from . import base, encoder, vae
        from .run import Plan

        plan = Plan(args.steps, args.batch, args.seed, args.rate, args.save_minutes, precision)
        if args.command == "vae":
            vae.train(runs / "scenes", runs / "vae", plan, args.decoder_only)
        elif args.command == "encoder":
            encoder.train(runs / "crops", runs / "encoder", plan)
        else:
            base.train(runs / "scenes", runs / "latents", runs / "base", plan, args.windows)
    elif args.command == "latents":
        from safetensors.torch import load_file

        from .base import encode

        encode(runs / "scenes", load_file(weights / "vae.safetensors"), runs / "latents", precision)
    elif args.command == "export":
        from .export import export

        export(runs, weights)
    else:
        from .export import captions, grid

        texts = captions(args.columns * args.rows, args.seed)
        grid(weights, args.out, texts, args.columns, args.steps, args.guidance, args.seed)


if __name__ == "__main__":
    main()
