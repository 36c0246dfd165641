"""`python -m research.evaluation.servers draw | measure | report`: any graph, drawn by ComfyUI servers, in figures.

    servers="python -m research.evaluation.servers"
    $servers draw --protocol realisid/small --people celeba/ --output runs/small \\
        --graph research/evaluation/servers/graphs/one_person_sdxl.json \\
        --server http://127.0.0.1:8188 --server http://other:8188
    $servers measure --output runs/small --judge facenet --clip models/clip-vit-large-patch14
    $servers report runs/small --protocol realisid/small --to runs/report

Any command goes on where it stopped. A graph is what ComfyUI exports as API, with {{prompt}}, {{seed}}, {{boxes}},
{{reference_1}}, {{pose_1}} and so on in place of values.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

from realisid_core.bootstrap import find_host


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m research.evaluation.servers", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    draw = commands.add_parser("draw", help="make the pictures")
    draw.add_argument("--protocol", required=True, help="such as realisid/small; an unknown one lists them all")
    draw.add_argument("--people", type=Path, required=True, help="a picture, or a folder of pictures, for each person")
    draw.add_argument("--poses", type=Path, help="photos whose pose and expression to follow")
    draw.add_argument("--prompts", type=Path, help="a text file, one prompt on each line, in place of the protocol's")
    draw.add_argument("--graph", type=Path, required=True, help="in ComfyUI's API format, with holes")
    draw.add_argument("--hole", action="append", default=[], help="NAME=NODE.INPUT: one more hole; repeatable")
    draw.add_argument("--set", action="append", default=[], help="NODE.INPUT=VALUE: a checkpoint, steps; repeatable")
    draw.add_argument("--picture", help="the node whose picture counts, where several save some")
    draw.add_argument("--server", action="append", required=True, help="http://host:port; repeatable")
    draw.add_argument("--in-flight", type=int, default=2, help="pictures a server has at once (%(default)s)")
    draw.add_argument("--patience", type=float, default=60, help="seconds that a silent server keeps its pictures")
    draw.add_argument("--seed", type=int, default=0)
    draw.add_argument("--limit", type=int, help="only the first so many pictures")
    draw.add_argument("--output", type=Path, required=True)
    measure = commands.add_parser("measure", help="read the pictures")
    measure.add_argument("--output", type=Path, required=True)
    measure.add_argument("--judge", default="auto", help="auto, sface, facenet, arcface, miniature")
    measure.add_argument("--clip", type=Path, help="CLIP's folder in Hugging Face's layout: CLIP-T and CLIP-I")
    measure.add_argument("--aesthetic", type=Path, help="the aesthetic head's file; needs --clip of ViT-L/14")
    report = commands.add_parser("report", help="tables, plots, grids")
    report.add_argument("folders", type=Path, nargs="+", help="outputs of draw and measure, a method each")
    report.add_argument("--protocol", help="show the paper's own figures beside")
    report.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    find_host()
    try:
        return {"draw": _draw, "measure": _measure, "report": _report}[arguments.command](arguments)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1


def _draw(arguments: argparse.Namespace) -> int:
    from .drawing import Drawing
    from .holes import load_graph, picture_node
    from .protocols import load_protocol, people_in, tasks_of

    if arguments.in_flight < 1:
        raise ValueError(f"--in-flight is {arguments.in_flight}; expected 1 or more.")
    protocol = load_protocol(arguments.protocol)
    if arguments.prompts:
        lines = arguments.prompts.read_text(encoding="utf-8").splitlines()
        protocol = dataclasses.replace(protocol, prompts=[line.strip() for line in lines if line.strip()])
    graph = load_graph(arguments.graph, arguments.hole, arguments.set)
    people = people_in(arguments.people, protocol.identities)
    poses = people_in(arguments.poses) if arguments.poses else None
    tasks = tasks_of(protocol, people, poses, arguments.seed)[: arguments.limit]
    picture = picture_node(graph, arguments.picture)
    drawing = Drawing(arguments.output, graph, picture, tasks, arguments.in_flight, arguments.patience)
    failed = drawing.run(arguments.server)
    drawn = sum(drawing.path(task.number).exists() for task in tasks)
    print(f"{drawn} of {len(tasks)} pictures are there, {len(failed)} failed.")
    for number, why in sorted(failed.items()):
        print(f"  {number:05d}: {why}", file=sys.stderr)
    return 1 if failed else 0


def _measure(arguments: argparse.Namespace) -> int:
    from realisid_core.metrics.judges import load_judge
    from realisid_core.metrics.pictures import Aesthetic, Clip

    from .reading import Reader, measure

    if not (arguments.output / "tasks.json").is_file():
        raise ValueError(f"{arguments.output} holds no evaluation. Run draw first, with the same --output.")
    if arguments.aesthetic and not arguments.clip:
        raise ValueError("--aesthetic needs --clip, the folder of CLIP ViT-L/14.")
    clip = Clip(arguments.clip) if arguments.clip else None
    aesthetic = Aesthetic(arguments.aesthetic) if arguments.aesthetic else None
    print(measure(arguments.output, Reader(load_judge(arguments.judge), clip, aesthetic)))
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from .pages import report
    from .protocols import load_protocol

    protocol = load_protocol(arguments.protocol) if arguments.protocol else None
    published, table = (protocol.published, protocol.table) if protocol else ({}, "")
    report(arguments.folders, arguments.to, published, table)
    print((arguments.to / "report.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
