"""`python -m headless.guard graphs | interrupts | runs | files`: tries to break the pack, and prints what happened."""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from realisid_core.bootstrap import find_host, host_path

from ..server import PACK, running_server
from .trials import Report, interrupts, many_runs, random_graphs, server_options

CHECKPOINT = PACK / "realisid_core" / "miniature" / "weights" / "realisid.safetensors"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m headless.guard", description=__doc__)
    trials = parser.add_subparsers(dest="trial", required=True)
    counts = {"graphs": 3000, "interrupts": 100, "runs": 200, "files": 300}
    for trial, count in counts.items():
        command = trials.add_parser(trial)
        command.add_argument("--count", type=int, default=count)
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--first", type=int, default=0, help="number of the first graph")
        command.add_argument("--options", default="default", choices=[name for name, _ in server_options()])
        command.add_argument("--report", type=Path, help="where to write what happened, as JSON")
    options = parser.parse_args()
    report = _files(options) if options.trial == "files" else _on_a_server(options)
    print(report.text())
    if options.report:
        options.report.write_text(report.text(), encoding="utf-8")
    return 1 if report.bad else 0


def _files(options: argparse.Namespace) -> Report:
    find_host()
    from .files import damaged_files

    return damaged_files(CHECKPOINT, options.seed, options.count)


def _on_a_server(options: argparse.Namespace) -> Report:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(
            running_server(host_path(), home, "--cpu", *dict(server_options())[options.options])
        )
        if options.trial == "graphs":
            return random_graphs(server, options.seed, range(options.first, options.first + options.count))
        if options.trial == "interrupts":
            return interrupts(server, options.seed, options.count)
        return many_runs(server, options.count)


if __name__ == "__main__":
    sys.exit(main())
