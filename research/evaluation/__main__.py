"""`python -m research.evaluation draw | measure | report | parts`: held-out people, drawn and measured.

    evaluation="python -m research.evaluation"
    $evaluation draw --name true                          # the face world's own pictures: the best that is possible
    $evaluation draw --name autoencoder                   # the same after the autoencoder: the best that latents allow
    $evaluation draw --name miniature                     # the shipped checkpoint
    $evaluation draw --name no-crop --checkpoint runs/no-crop/realisid.safetensors
    $evaluation measure && $evaluation report

Pictures that are there are not drawn again, so any command goes on where it stopped.
"""

import argparse
from pathlib import Path

from realisid_core.bootstrap import find_host


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m research.evaluation", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("runs/evaluation"), help="folder of it all (%(default)s)")
    parser.add_argument("--images", type=int, default=200, help="of each protocol (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="0: held-out people; others: people for choosing settings")
    parser.add_argument(
        "--protocol", action="append", help="only protocols whose name starts with this; repeatable (default: all)"
    )
    parser.add_argument("--processes", type=int, default=2)
    commands = parser.add_subparsers(dest="command", required=True)
    draw = commands.add_parser("draw", help="make the pictures of one checkpoint")
    draw.add_argument("--name", required=True, help='in the tables; "true" and "autoencoder" need no checkpoint')
    draw.add_argument("--checkpoint", type=Path, help="a RealisID checkpoint (default: the shipped one)")
    draw.add_argument("--weights", type=Path, help="folder of the miniature's weights (default: the shipped ones)")
    draw.add_argument("--steps", type=int, default=16)
    draw.add_argument("--guidance", type=float, default=3.0, help="the sampler's cfg, λ_t (%(default)s)")
    draw.add_argument("--identity-guidance", type=float, help="λ_i (default: λ_t)")
    draw.add_argument("--null", action="store_true", help="without an identity the null one (default: no branches)")
    draw.add_argument("--text-only-end", type=float, default=1.0)
    draw.add_argument("--reuse", type=int, default=1)
    draw.add_argument("--one-pass", action="store_true")
    draw.add_argument("--own-words", action="store_true", help="each person's clothes in a prompt of their own")
    draw.add_argument("--average", action="store_true", help="all persons share every place (default: own regions)")
    commands.add_parser("measure", help="read all pictures that have not been read")
    commands.add_parser("report", help="tables, a figure and grids of pictures")
    commands.add_parser("parts", help="how much of the likeness is the face's, how much the hair's")
    args = parser.parse_args()
    find_host()
    from . import runs

    run = runs.Evaluation(args.output, args.images, args.seed, args.protocol, args.processes)
    if args.command == "draw":
        from realisid_core.branches.sharing import Sharing
        from realisid_core.sampling.rows import IdentityMode

        from .generation import Sampling

        sampling = Sampling(
            steps=args.steps,
            guidance=args.guidance,
            identity_guidance=args.identity_guidance,
            without_identity=IdentityMode.NULL if args.null else IdentityMode.OFF,
            text_only_range=(0.0, args.text_only_end),
            reuse=args.reuse,
            one_pass=args.one_pass,
            own_words=args.own_words,
            sharing=Sharing.AVERAGE if args.average else Sharing.OWN_REGION,
        )
        run.draw(args.name, args.weights, args.checkpoint, sampling)
    elif args.command == "measure":
        run.measure()
    elif args.command == "report":
        from .report import report

        report(args.output, args.seed)
    else:
        from .parts import parts

        print(parts(args.output, args.seed))


if __name__ == "__main__":
    main()
