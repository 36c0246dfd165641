"""The shipped graphs in ComfyUI's page: they open whole, ask for the shipped API workflow, and "start here" runs."""

import io
import json
from itertools import combinations

import pytest
import requests
from conftest import OFFER, PACK, SET
from PIL import Image
from realisid_pack.headless.server import NAME
from realisid_pack.workflows.build import TEMPLATES, api_file

FOLDER = PACK / "workflows"
GRAPHS = {file.stem: file for file in sorted(FOLDER.glob("*.json"))}
THUMBNAIL_BYTES = 40_000


def graph_of(name: str) -> dict:
    return json.loads(GRAPHS[name].read_text(encoding="utf-8"))


def api_of(name: str) -> dict:
    return json.loads((FOLDER / api_file(*TEMPLATES[name])).read_text(encoding="utf-8"))


def by_title(workflow: dict) -> dict:
    """An API workflow with titles for node ids."""
    titles = {name: node["_meta"]["title"] for name, node in workflow.items()}
    assert len(set(titles.values())) == len(titles), "two nodes have one title"

    def value(given):
        return (titles[given[0]], given[1]) if isinstance(given, list) else given

    return {
        titles[name]: (node["class_type"], {key: value(given) for key, given in node["inputs"].items()})
        for name, node in workflow.items()
    }


def open_graph(page, graph: dict) -> None:
    page.evaluate("graph => app.loadGraphData(graph)", graph)
    page.wait_for_function("count => app.graph.nodes.length === count", arg=len(graph["nodes"]))


@pytest.fixture(scope="module", autouse=True)
def ungreeted(addresses):
    """A new user is greeted with the template browser, a moment after the page is ready and in front of it."""
    for address in addresses.values():
        requests.post(f"{address}/settings/Comfy.TutorialCompleted", json=True, timeout=60).raise_for_status()


@pytest.fixture(scope="module", params=GRAPHS)
def opened(request, page) -> str:
    open_graph(page, graph_of(request.param))
    return request.param


def with_defaults(workflow: dict, described: dict) -> dict:
    """An API workflow whose optional widgets that are not given have their default."""

    def default(socket: list):
        return socket[1].get("default") if len(socket) > 1 else None

    return {
        name: {
            **node,
            "inputs": {
                **{
                    key: default(socket)
                    for key, socket in described[node["class_type"]]["input"].get("optional", {}).items()
                    if node["class_type"].startswith("RealisID_") and default(socket) is not None
                },
                **node["inputs"],
            },
        }
        for name, node in workflow.items()
    }


def test_every_node_is_known_and_in_its_place(page, opened):
    unknown = page.evaluate(
        "() => app.graph.nodes.map(node => node.type).filter(type => !LiteGraph.registered_node_types[type])"
    )
    assert unknown == []
    titles = page.evaluate("() => app.graph.groups.map(group => group.title)")
    assert [title.split()[0] for title in titles] == [str(number) for number in range(1, len(titles) + 1)]


def test_its_prompt_is_the_shipped_api_workflow(page, opened):
    """The page sends every widget; a shipped API workflow leaves out those that newer versions added."""
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    described = page.evaluate("async () => await (await fetch('/api/object_info')).json()")
    assert by_title(prompt) == by_title(with_defaults(api_of(opened), described))


def test_no_node_covers_another_or_leaves_its_group(page, opened, request):
    if "installed-nodes2" in request.node.callspec.id:
        pytest.skip("The first Nodes 2.0 spread the nodes of any graph apart, and not its groups.")
    nodes = page.evaluate(
        """() => app.graph.nodes.map(node => {
            const [least, [width, height]] = [node.computeSize(), node.size]
            const size = [Math.max(least[0], width), Math.max(least[1], height) + LiteGraph.NODE_TITLE_HEIGHT]
            return [node.title, node.pos[0], node.pos[1] - LiteGraph.NODE_TITLE_HEIGHT, ...size]
        })"""
    )
    groups = page.evaluate("() => app.graph.groups.map(group => [group.title, ...group.pos, ...group.size])")
    assert [(a[0], b[0]) for a, b in combinations(nodes, 2) if overlap(a, b)] == []
    assert [(a[0], b[0]) for a, b in combinations(groups, 2) if overlap(a, b)] == []
    assert [node[0] for node in nodes if not any(inside(node, group) for group in groups)] == []


def overlap(one: list, other: list) -> bool:
    (_, x, y, width, height), (_, left, top, across, down) = one, other
    return x < left + across and left < x + width and y < top + down and top < y + height


def inside(node: list, group: list) -> bool:
    (_, x, y, width, height), (_, left, top, across, down) = node, group
    return left <= x and top <= y and x + width <= left + across and y + height <= top + down


def test_start_here_runs_at_the_press_of_a_button_and_shows_its_picture(page):
    graph = graph_of("RealisID 01 start here")
    sampler = next(node for node in graph["nodes"] if node["type"] == "KSampler")
    assert sampler["widgets_values"][2] == 20
    sampler["widgets_values"][2] = 2  # steps
    open_graph(page, graph)
    save = next(node["id"] for node in graph["nodes"] if node["type"] == "SaveImage")
    page.evaluate("""() => {
        window.shown = new Promise(shown => app.api.addEventListener('executed', ({detail}) => {
            if (app.graph.getNodeById(detail.node)?.type === 'SaveImage') shown(detail.output.images[0])
        }))
    }""")
    page.get_by_role("button", name="Run", exact=True).first.click()
    file = page.evaluate("() => shown")
    page.wait_for_function(
        """id => {
            const inPage = document.querySelectorAll(`[data-node-id="${id}"] img`)
            const onCanvas = app.graph.getNodeById(id).imgs ?? []
            return [...inPage, ...onCanvas].some(picture => picture.naturalWidth === 256)
        }""",
        arg=save,
    )
    address = page.evaluate("() => location.origin")
    picture = Image.open(io.BytesIO(requests.get(f"{address}/view", params=file, timeout=60).content))
    assert picture.size == (256, 256)
    assert len(picture.getcolors(256 * 256)) > 1000
    boxes_stand_before_the_result_of_their_own_graph(page, file["filename"])


def boxes_stand_before_the_result_of_their_own_graph(page, result: str) -> None:
    backdrop = page.locator(".rb-backdrop")
    page.wait_for_function("name => document.querySelector('.rb-backdrop').src.includes(name)", arg=result)
    backdrop.wait_for()
    page.evaluate(
        """async () => {
            const other = JSON.parse(JSON.stringify((app.rootGraph ?? app.graph).serialize()))
            other.id = crypto.randomUUID()
            await app.loadGraphData(other)
        }"""
    )
    backdrop.wait_for(state="hidden", timeout=5000)  # the result of another graph


def test_a_search_for_realisid_finds_the_templates_and_one_click_opens_one(page):
    page.evaluate("() => app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    page.get_by_placeholder("Search").last.fill("realisid")
    page.get_by_text("RealisID 01 start here", exact=True).first.click()
    count = len(graph_of("RealisID 01 start here")["nodes"])
    page.wait_for_function("count => app.graph.nodes.length === count", arg=count)
    assert page.evaluate("() => app.graph.nodes.some(node => node.type === 'RealisID_Apply')")


@pytest.fixture
def offering(page):
    page.evaluate(SET, [OFFER, True])
    yield
    page.evaluate(SET, [OFFER, False])


def test_the_page_offers_the_models_that_are_missing(page, offering):
    open_graph(page, graph_of("RealisID 31 trained one person"))
    dialog = page.get_by_role("dialog").filter(has_text="Missing Models")
    details = page.get_by_role("button", name="View details")  # newer pages have a panel in the dialog's place
    dialog.or_(details).wait_for()
    offer, line = dialog, "{folder} / {file}"
    if details.is_visible():
        details.click()
        offer, line = page.locator("section").filter(has_text="Missing Models").last, "{file}\n{folder}"
    offer.filter(has_text="CLIP-ViT").wait_for()  # the last one that is listed
    text = offer.inner_text()
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert line.format(folder="checkpoints", file="sd_xl_base_1.0.safetensors") in text
    assert line.format(folder="clip_vision", file="CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors") in text


def test_the_template_browser_lists_and_serves_them_with_thumbnails(server):
    listed = requests.get(f"{server.address}/workflow_templates", timeout=60).json()
    assert set(listed[NAME]) == set(GRAPHS)
    for name in GRAPHS:
        served = f"{server.address}/api/workflow_templates/{NAME}/{name}"
        assert requests.get(f"{served}.json", timeout=60).json() == graph_of(name)
        thumbnail = requests.get(f"{served}.jpg", timeout=60)
        assert thumbnail.ok
        assert len(thumbnail.content) <= THUMBNAIL_BYTES
        assert Image.open(io.BytesIO(thumbnail.content)).format == "JPEG"
