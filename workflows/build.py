"""Writes the shipped workflows: `python -m workflows.build`, in the pack's folder.

For the API each exists for the miniature and for SDXL; as graphs, for SDXL, and "start here" for the miniature.
"""

import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from .graph import INSTANTID, MINIATURE, SDXL, Base, Graph, started
from .layout import ui_graph
from .notes import MODELS, notes
from .scenes import (
    inpaint,
    instantid_one_person,
    instantid_two_people,
    one_person,
    pose_from_photo,
    small_face,
    start_here,
    three_people,
    two_people,
    two_people_own_words,
)

FOLDER = Path(__file__).parent

Workflow = Callable[[Graph], None]
WORKFLOWS: tuple[Workflow, ...] = (
    one_person,
    small_face,
    pose_from_photo,
    two_people,
    two_people_own_words,
    three_people,
    inpaint,
)


def nodes_of(workflow: Workflow, base: Base) -> dict[str, dict]:
    graph = started(base)
    workflow(graph)
    used = {
        source[0] for node in graph.nodes.values() for source in node["inputs"].values() if isinstance(source, list)
    }
    return {name: node for name, node in graph.nodes.items() if name in used or name == "save"}


def shipped(described: dict) -> Iterator[tuple[str, dict]]:
    """Path in this folder and content of every shipped workflow; `described` is the server's /object_info."""
    every = [(workflow, base) for base in (MINIATURE, SDXL) for workflow in WORKFLOWS]
    with_instantid = [(workflow, INSTANTID) for workflow in (instantid_one_person, instantid_two_people)]
    for workflow, base in [(start_here, MINIATURE), *every, *with_instantid]:
        nodes = nodes_of(workflow, base)
        yield f"api/{workflow.__name__}_{base.name}.json", nodes
        if base is not MINIATURE or workflow is start_here:
            text = notes(nodes, inspect.getdoc(workflow) or "")
            yield f"{workflow.__name__}.json", ui_graph(nodes, described, text, MODELS)


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
