"""What the page makes of the nodes' schemas and help pages, on each frontend and renderer."""

import pytest
import requests
from conftest import come_up

SENT = """async () => {
    app.graph.clear()
    const types = Object.keys(LiteGraph.registered_node_types).filter((type) => type.startsWith("RealisID_"))
    for (const type of types) app.graph.add(LiteGraph.createNode(type))
    const { output } = await app.graphToPrompt()
    return Object.values(output).map((node) => [node.class_type, Object.keys(node.inputs)])
}"""
SELECT = """type => {
    app.graph.clear()
    const node = LiteGraph.createNode(type)
    node.pos = [600, 200]
    app.graph.add(node)
    app.canvas.ds.scale = 1
    app.canvas.ds.offset = [0, 0]
    app.canvas.selectNode(node)
    app.canvas.setDirty(true, true)
}"""


@pytest.fixture(scope="module", autouse=True)
def no_welcome(addresses):
    """Without this the template browser opens over a first start."""
    for address in addresses.values():
        requests.post(f"{address}/settings/Comfy.TutorialCompleted", json=True, timeout=60).raise_for_status()


def test_what_is_not_connected_is_not_sent(page, client):
    described = client.nodes()
    sent = dict(page.evaluate(SENT))
    assert len(sent) > 10
    for name, inputs in sent.items():
        assert set(inputs) <= set(described[name]["input"].get("required", {})) | optional_widgets(described[name]), (
            name
        )


SOCKETS = """() => app.graph.nodes.find(({type}) => type === "RealisID_CombinePersons").inputs.map(({name}) => name)"""
JOIN = """slot => {
    const [everyone] = app.graph.nodes.filter(({type}) => type === "RealisID_CombinePersons")
    const person = LiteGraph.createNode("RealisID_Person")
    app.graph.add(person)
    person.connect(0, everyone, slot)
}"""
PART = """slot => app.graph.nodes.find(({type}) => type === "RealisID_CombinePersons").disconnectInput(slot)"""
REOPEN = """async () => app.loadGraphData(JSON.parse(JSON.stringify((app.rootGraph ?? app.graph).serialize())))"""
SENT_PERSONS = """async () => {
    const nodes = Object.values((await app.graphToPrompt()).output)
    return Object.keys(nodes.find((node) => node.class_type === "RealisID_CombinePersons").inputs)
}"""


def persons(count: int) -> list[str]:
    return [f"person_{number}" for number in range(1, count + 1)]


def test_combine_persons_grows_with_who_is_connected(page):
    page.evaluate(SELECT, "RealisID_CombinePersons")
    assert page.evaluate(SOCKETS) == persons(1)
    for slot in range(8):
        page.evaluate(JOIN, slot)
        assert page.evaluate(SOCKETS) == persons(min(slot + 2, 8))
    page.evaluate(REOPEN)
    assert page.evaluate(SOCKETS) == page.evaluate(SENT_PERSONS) == persons(8)
    for slot in (7, 6, 5, 2):
        page.evaluate(PART, slot)
    assert page.evaluate(SOCKETS) == persons(6), "up to the last one, and a free one"
    page.evaluate(REOPEN)
    assert page.evaluate(SOCKETS) == persons(6)
    assert page.evaluate(SENT_PERSONS) == ["person_1", "person_2", "person_4", "person_5"]


def optional_widgets(node: dict) -> set[str]:
    """Optional inputs that have a value of their own."""
    return {
        name
        for name, (kind, *_) in node["input"].get("optional", {}).items()
        if kind in ("INT", "FLOAT", "BOOLEAN", "COMBO", "STRING")
    }


def test_the_info_button_opens_the_nodes_help_with_its_picture(page):
    page.evaluate(SELECT, "RealisID_DetectFaces")
    page.get_by_test_id("info-button").click()
    page.get_by_text("Each face gets a number").wait_for()
    picture = page.locator("img[src*='docs/images/detect_faces.jpg']")
    picture.wait_for()
    assert page.evaluate("img => img.decode().then(() => img.naturalWidth)", picture.element_handle()) > 0
    # The frontend looks for the language's own page first and prints that it is missing.
    page.reload()  # the help stays open else
    come_up(page)
    page.complaints = [complaint for complaint in page.complaints if "/RealisID_DetectFaces/en.md" not in complaint]
