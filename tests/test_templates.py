"""The shipped templates as files: few nodes, tidy graphs, names that are found. tests/web/test_graphs.py opens them."""

import json
import math
from itertools import combinations

import numpy as np
import pytest
from conftest import PACK
from realisid_pack.workflows.build import TEMPLATES, nodes_of

FOLDER = PACK / "workflows"
GRAPHS = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(FOLDER.glob("*.json"))}
TITLE_BAR, SLOT, FIRST_SLOT = 30, 20, 14  # of a node on the page
SLACK = 4  # pixels that a wire may lie over an edge


def corners(node: dict) -> tuple[float, float, float, float]:
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE_BAR, x + width, y + height


def wire(start: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
    """[N, 2]: the page's spline, which leaves and arrives level, by a quarter of the distance."""
    reach = math.dist(start, end) / 4
    points = np.array([start, (start[0] + reach, start[1]), (end[0] - reach, end[1]), end])
    t = np.linspace(0, 1, 200)[:, None]
    weights = np.hstack([(1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3])
    return weights @ points


def hidden_wires(graph: dict) -> list[str]:
    """Which wires run behind which nodes."""
    nodes = {node["id"]: node for node in graph["nodes"]}
    found = []
    for _, source, output, target, slot, kind in graph["links"]:
        start = nodes[source]["pos"][0] + nodes[source]["size"][0], nodes[source]["pos"][1] + FIRST_SLOT + SLOT * output
        end = nodes[target]["pos"][0], nodes[target]["pos"][1] + FIRST_SLOT + SLOT * slot
        path = wire(start, end)
        for node in graph["nodes"]:
            x0, y0, x1, y1 = corners(node)
            inside = (path > (x0 + SLACK, y0 + SLACK)) & (path < (x1 - SLACK, y1 - SLACK))
            if inside.all(1).any():
                names = (nodes[end]["title"] for end in (source, target))
                found.append(f"{kind} from {' to '.join(names)} runs behind {node['title']}")
    return found


@pytest.mark.parametrize("name", GRAPHS)
def test_no_wire_runs_behind_a_node(name):
    assert hidden_wires(GRAPHS[name]) == []


@pytest.mark.parametrize("name", GRAPHS)
def test_nodes_stand_apart_in_groups_that_stand_apart(name):
    graph = GRAPHS[name]
    nodes = [(node["title"], *corners(node)) for node in graph["nodes"]]
    groups = []
    for group in graph["groups"]:
        x, y, width, height = group["bounding"]
        groups.append((group["title"], x, y, x + width, y + height))
    for several in (nodes, groups):
        assert [(a[0], b[0]) for a, b in combinations(several, 2) if overlap(a[1:], b[1:])] == []
    assert [node[0] for node in nodes if not any(inside(node[1:], group[1:]) for group in groups)] == []


def overlap(one, other) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def inside(one, other) -> bool:
    return other[0] <= one[0] and other[1] <= one[1] and one[2] <= other[2] and one[3] <= other[3]


@pytest.mark.parametrize("name", [name for name in TEMPLATES if "inpaint" not in name])
def test_a_person_takes_few_nodes(name):
    """At most 11 for one person, two more for each further one; beside a pose photo and texts of their own."""
    nodes = nodes_of(*TEMPLATES[name])
    persons = sum(node.startswith("person_") for node in nodes)
    extra = sum(node.startswith(("words_", "pose_")) for node in nodes)
    assert len(nodes) - extra <= 11 + 2 * (persons - 1)


def test_templates_are_found_by_the_packs_name_and_what_runs_at_once_comes_first():
    assert list(TEMPLATES) == sorted(TEMPLATES) == sorted(GRAPHS)
    assert all(name.startswith("RealisID ") for name in TEMPLATES)
    bases = [base.name for _, base in TEMPLATES.values()]
    assert list(dict.fromkeys(bases)) == ["miniature", "instantid", "plain_sdxl", "sdxl"]
    assert bases == sorted(bases, key=["miniature", "instantid", "plain_sdxl", "sdxl"].index)


@pytest.mark.parametrize("name", [name for name, (_, base) in TEMPLATES.items() if base.name == "miniature"])
def test_what_runs_at_once_asks_for_no_file_of_the_users(name):
    kinds = {node["type"] for node in GRAPHS[name]["nodes"]}
    assert not kinds & {"LoadImage", "CheckpointLoaderSimple", "RealisID_LoadModel", "RealisID_LoadInstantID"}
