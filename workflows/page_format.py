"""A workflow in API form as the graph that ComfyUI's page saves: its nodes in their places, groups and notes."""

from .layout import Block, Place, Step, Workflow, arranged, grouped, size_of

YOURS, OURS = "#7fb58f", "#8c9bab"
WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}


def ui_graph(workflow: Workflow, described: dict, notes: dict[Step, str], models: dict[str, dict]) -> dict:
    """The workflow in the format that ComfyUI's page saves.

    Args:
        described: the server's /object_info, which knows the order of inputs, widgets and outputs.
        notes: Markdown for each step that the workflow has.
        models: file name → {"name", "url", "directory"}, for the nodes that load one of them.
    """
    places = arranged(workflow)
    blocks = grouped(workflow, places, notes)
    numbers = {name: number for number, name in enumerate(workflow, 1)}
    links = _links(workflow, described, numbers)
    nodes = [_node(name, workflow, described, numbers, links, places[name], models) for name in workflow]
    nodes += [_note(len(numbers) + number, notes[block.step], block) for number, block in enumerate(blocks, 1)]
    for order, node in enumerate(nodes):
        node["order"] = order
    return {
        "last_node_id": len(nodes),
        "last_link_id": len(links),
        "nodes": nodes,
        "links": links,
        "groups": [_group(number, block) for number, block in enumerate(blocks, 1)],
        "config": {},
        "extra": {},
        "version": 0.4,
    }


def _sockets(described: dict, class_type: str) -> list[tuple[str, list, bool]]:
    """(name, specification, is a widget) of a node's inputs, in the page's order: what has no widget comes first."""
    inputs = described[class_type]["input"]
    every = [*inputs.get("required", {}).items(), *inputs.get("optional", {}).items()]
    sockets = [(name, spec, isinstance(spec[0], list) or spec[0] in WIDGET_TYPES) for name, spec in every]
    return sorted(sockets, key=lambda socket: socket[2])


def _links(workflow: Workflow, described: dict, numbers: dict[str, int]) -> list[list]:
    links = []
    for name, node in workflow.items():
        for slot, (socket, _, _) in enumerate(_sockets(described, node["class_type"])):
            source = node["inputs"].get(socket)
            if isinstance(source, list):
                kind = described[workflow[source[0]]["class_type"]]["output"][source[1]]
                links.append([len(links) + 1, numbers[source[0]], source[1], numbers[name], slot, kind])
    return links


def _node(
    name: str, workflow: Workflow, described: dict, numbers: dict, links: list, place: Place, models: dict[str, dict]
) -> dict:
    node, number = workflow[name], numbers[name]
    kind = node["class_type"]
    coming = {link[4]: link[0] for link in links if link[3] == number}
    inputs = []
    for slot, (socket, spec, is_widget) in enumerate(_sockets(described, kind)):
        entry = {"name": socket, "type": "COMBO" if isinstance(spec[0], list) else spec[0], "link": coming.get(slot)}
        inputs.append(entry | ({"widget": {"name": socket}} if is_widget else {}))
    outputs = [
        {"name": label, "type": output, "links": [link[0] for link in links if link[1:3] == [number, slot]]}
        for slot, (output, label) in enumerate(
            zip(described[kind]["output"], described[kind]["output_name"], strict=True)
        )
    ]
    loads = [models[value] for value in node["inputs"].values() if isinstance(value, str) and value in models]
    return {
        "id": number,
        "type": kind,
        "title": node["_meta"]["title"],
        "pos": list(place),
        "size": list(size_of(workflow, name)),
        "flags": {},
        "mode": 0,
        "inputs": inputs,
        "outputs": outputs,
        "properties": {"Node name for S&R": kind} | ({"models": loads} if loads else {}),
        "widgets_values": _widget_values(node["inputs"], _sockets(described, kind)),
    }


def _widget_values(inputs: dict, sockets: list[tuple[str, list, bool]]) -> list:
    """In the order of the widgets; one that is connected or not set shows its default; a seed has what follows it."""
    values = []
    for name, spec, is_widget in sockets:
        if is_widget:
            options = spec[1] if len(spec) > 1 else {}
            value = inputs.get(name, options.get("default"))
            values.append(options.get("default") if isinstance(value, list) else value)
            values += ["randomize"] if options.get("control_after_generate") else []
    return values


def _note(number: int, text: str, block: Block) -> dict:
    left, top, width, height = block.note
    return {
        "id": number,
        "type": "MarkdownNote",
        "title": "Note",
        "pos": [left, top],
        "size": [width, height],
        "flags": {},
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "properties": {},
        "widgets_values": [text],
        "color": "#222",
        "bgcolor": "#333",
    }


def _group(number: int, block: Block) -> dict:
    return {
        "id": number,
        "title": f"{number} {block.step.title}",
        "bounding": list(block.bounds),
        "color": YOURS if block.step.yours else OURS,
        "font_size": 24,
        "flags": {},
    }
