"""What the commands of both recipes are told in the same words."""

from pathlib import Path


def add_windows(commands) -> None:
    """Of the training of a base."""
    commands.choices["base"].add_argument(
        "--windows", action="store_true", help="three steps of four see windows round heads, four times as many"
    )


def add_grid(commands, runs: Path) -> None:
    """The command that samples a grid, into the folder of runs if nothing else is said."""
    grid = commands.add_parser("grid", help="sample a grid of pictures through the host")
    grid.add_argument("--out", type=Path, default=runs / "grid.png")
    grid.add_argument("--columns", type=int, default=4)
    grid.add_argument("--rows", type=int, default=3)
    grid.add_argument("--steps", type=int, default=20)
    grid.add_argument("--guidance", type=float, default=4.0)
    grid.add_argument("--seed", type=int, default=1000)


def add_weights(commands) -> None:
    """Of the commands that read or write exported weights."""
    for command in ("latents", "export", "grid"):
        commands.choices[command].add_argument("--weights", type=Path, help="folder (the runs' own `weights`)")
