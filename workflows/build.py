"""Writes the shipped workflows: `python -m workflows.build`, in the pack's folder.

The templates of ComfyUI's page are what `TEMPLATES` lists, in the order in which to try them: first what runs with
nothing but the pack. The page shows and searches a template by its file's name. `api/` holds the same for scripts.
"""

import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from . import scenes
from .graph import INSTANTID, MINIATURE, PLAIN_SDXL, SDXL, Base, Graph, started
from .notes import MODELS, notes
from .page_format import ui_graph

FOLDER = Path(__file__).parent
Workflow = Callable[[Graph], None]

TEMPLATES: dict[str, tuple[Workflow, Base]] = {
    "RealisID 01 start here": (scenes.start_here, MINIATURE),
    "RealisID 02 small face": (scenes.small_face, MINIATURE),
    "RealisID 03 pose from photo": (scenes.pose_from_photo, MINIATURE),
    "RealisID 04 two people": (scenes.two_people, MINIATURE),
    "RealisID 05 own words": (scenes.two_people_own_words, MINIATURE),
    "RealisID 06 three people": (scenes.three_people, MINIATURE),
    "RealisID 07 inpaint": (scenes.inpaint, MINIATURE),
    "RealisID 11 InstantID one person": (scenes.one_person, INSTANTID),
    "RealisID 12 InstantID small face": (scenes.small_face, INSTANTID),
    "RealisID 13 InstantID pose from photo": (scenes.pose_from_photo, INSTANTID),
    "RealisID 14 InstantID two people": (scenes.two_people, INSTANTID),
    "RealisID 15 InstantID own words": (scenes.two_people_own_words, INSTANTID),
    "RealisID 21 SDXL own words": (scenes.two_people_own_words, PLAIN_SDXL),
    "RealisID 31 trained one person": (scenes.one_person, SDXL),
    "RealisID 32 trained small face": (scenes.small_face, SDXL),
    "RealisID 33 trained pose from photo": (scenes.pose_from_photo, SDXL),
    "RealisID 34 trained two people": (scenes.two_people, SDXL),
    "RealisID 35 trained own words": (scenes.two_people_own_words, SDXL),
    "RealisID 36 trained three people": (scenes.three_people, SDXL),
    "RealisID 37 trained inpaint": (scenes.inpaint, SDXL),
}
FOR_SCRIPTS: tuple[tuple[Workflow, Base], ...] = (
    *TEMPLATES.values(),
    (scenes.one_person, MINIATURE),
    (scenes.single_steps, MINIATURE),
    (scenes.single_steps, SDXL),
)


def nodes_of(workflow: Workflow, base: Base) -> dict[str, dict]:
    graph = started(base)
    workflow(graph)
    return graph.nodes


def api_file(workflow: Workflow, base: Base) -> str:
    """Where in this folder the workflow's API form is."""
    return f"api/{workflow.__name__}_{base.name}.json"


def shipped(described: dict) -> Iterator[tuple[str, dict]]:
    """Path in this folder and content of every shipped workflow; `described` is the server's /object_info."""
    for workflow, base in FOR_SCRIPTS:
        yield api_file(workflow, base), nodes_of(workflow, base)
    for name, (workflow, base) in TEMPLATES.items():
        nodes = nodes_of(workflow, base)
        yield f"{name}.json", ui_graph(nodes, described, notes(nodes, inspect.getdoc(workflow) or ""), MODELS)


def graph_text(graph: dict) -> str:
    """JSON with a line for each node, link and group."""
    whole = {key: value for key, value in graph.items() if not (isinstance(value, list) and value)}
    rows = {key: value for key, value in graph.items() if key not in whole}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in whole.items()]
    for key, value in rows.items():
        lines.append(
            f"{json.dumps(key)}: [\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in value) + "\n]"
        )
    return "{\n" + ",\n".join(lines) + "\n}"


def main() -> None:
    import tempfile

    from headless.client import Client
    from headless.server import running_server
    from realisid_core.bootstrap import host_path

    with tempfile.TemporaryDirectory() as home, running_server(host_path(), Path(home), "--cpu") as server:
        for path, content in shipped(Client(server.address).nodes()):
            text = json.dumps(content, indent=2, ensure_ascii=False) if path.startswith("api/") else graph_text(content)
            (FOLDER / path).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
