"""Graphs saved before people were counted from 1 mean the same in the page: those of the first version."""

import json
from pathlib import Path

import pytest

OLD = Path(__file__).parent / "old_graphs"
GRAPHS = sorted(file.stem for file in OLD.glob("*.json"))

PROMPT = """async graph => {
    await app.loadGraphData(JSON.parse(JSON.stringify(graph)))
    return (await app.graphToPrompt()).output
}"""
AGAIN = """async () => {
    await app.loadGraphData(JSON.parse(JSON.stringify((app.rootGraph ?? app.graph).serialize())))
    return (await app.graphToPrompt()).output
}"""
NOW = {"RealisID_Person": "box", "RealisID_DetectFaces": "face"}
BEFORE = {"RealisID_Person": 0, "RealisID_DetectFaces": 3}


def graph_of(name: str) -> dict:
    return json.loads((OLD / f"{name}.json").read_text(encoding="utf-8"))


def renumbered(client) -> list[str]:
    """The nodes of this pack that count from 1 by now."""
    described = client.nodes()
    return [name for name, key in NOW.items() if key in described[name]["input"].get("optional", {})]


def chosen(prompt: dict, kinds: list[str]) -> dict:
    return {
        int(key): str(node["inputs"][NOW[node["class_type"]]])
        for key, node in prompt.items()
        if node["class_type"] in kinds
    }


@pytest.mark.parametrize("name", GRAPHS)
def test_everybody_stays_where_they_were(page, client, name):
    kinds = renumbered(client)
    graph = graph_of(name)
    for number, node in enumerate(graph["nodes"]):
        if node["type"] == "RealisID_DetectFaces":
            node["widgets_values"][3] = number % 4 - 1  # the shipped ones all took the first face
    expected = {
        node["id"]: str(node["widgets_values"][BEFORE[node["type"]]] + 1)
        for node in graph["nodes"]
        if node["type"] in kinds
    }
    assert chosen(page.evaluate(PROMPT, graph), kinds) == expected
    assert chosen(page.evaluate(AGAIN), kinds) == expected, "saved and opened again"


def test_a_number_that_is_connected_stays_connected_and_in_sight(page, client):
    kinds = renumbered(client)
    graph = graph_of("two_people")
    target = next(node for node in graph["nodes"] if node["type"] == "RealisID_DetectFaces")
    slot = next(at for at, entry in enumerate(target["inputs"]) if entry["name"] == "index")
    target["inputs"][slot]["link"] = 900
    giver = {"id": 901, "type": "PrimitiveInt", "pos": [0, 0], "size": [200, 80], "flags": {}, "order": 0, "mode": 0}
    giver |= {"inputs": [], "properties": {}, "widgets_values": [1, "fixed"]}
    giver["outputs"] = [{"name": "INT", "type": "INT", "links": [900]}]
    graph["nodes"].append(giver)
    graph["links"].append([900, 901, 0, target["id"], slot, "INT"])
    inputs = page.evaluate(PROMPT, graph)[str(target["id"])]["inputs"]
    assert inputs["index"] == ["901", 0]
    assert "RealisID_DetectFaces" not in kinds or inputs["face"] == 0
    hidden = page.evaluate(
        """id => {
            const { hidden, visibility } = app.graph.getNodeById(id).widgets.find(widget => widget.name === 'index')
            return visibility?.suppression.byExtension ?? hidden  // newer pages call a connected widget hidden
        }""",
        target["id"],
    )
    assert not hidden


def test_an_opened_prompt_counts_from_1_in_the_page(page, client):
    kinds = renumbered(client)
    prompt = {
        "1": {
            "class_type": "RealisID_DetectFaces",
            "inputs": {
                "detector": "yunet",
                "threshold": 0.6,
                "order": "largest first",
                "index": 1,
                "maximum": 0,
                "margin": 0,
            },
        },
        "2": {"class_type": "RealisID_Person", "inputs": {"index": 2, "local_strength": 1.0, "global_strength": 1.0}},
    }
    page.evaluate("prompt => app.loadApiJson(prompt, 'old')", prompt)
    values = page.evaluate(
        """() => Object.fromEntries(app.graph.nodes.map(
            node => [node.type, Object.fromEntries(node.widgets.map(widget => [widget.name, widget.value]))]
        ))"""
    )
    assert {kind: str(values[kind][NOW[kind]]) for kind in kinds} == {
        kind: {"RealisID_DetectFaces": "2", "RealisID_Person": "3"}[kind] for kind in kinds
    }
    assert all(values[kind]["index"] < 0 for kind in kinds)


def test_index_is_not_shown_on_new_nodes(page, client):
    for kind in renumbered(client):
        hidden = page.evaluate(
            """type => {
                app.graph.clear()
                const node = LiteGraph.createNode(type)
                app.graph.add(node)
                return node.widgets.find(widget => widget.name === 'index').hidden
            }""",
            kind,
        )
        assert hidden
