"""Photos on the stage: dropped behind the boxes or on one, and their size."""

import pytest
from stage import BOXES

DROP = """([x, y, name, bytes]) => {
    const data = new DataTransfer()
    data.items.add(new File([new Uint8Array(bytes)], name, { type: 'image/jpeg' }))
    const given = { bubbles: true, cancelable: true, clientX: x, clientY: y, dataTransfer: data }
    const target = document.elementFromPoint(x, y)
    for (const type of ['dragover', 'drop']) target.dispatchEvent(new DragEvent(type, given))
}"""
FROM = """([node, name]) => {
    const target = app.graph.getNodeById(node)
    const link = app.graph.getLink(target.inputs.find(input => input.name === name).link)
    const origin = link && app.graph.getNodeById(link.origin_id)
    return origin && [origin.type, origin.widgets?.[0]?.value ?? null, origin.id]
}"""


def drop(stage, photo, x, y):
    stage.page.evaluate(DROP, [*stage.at(x, y), photo.name, list(photo.read_bytes())])


def feeds(stage, node, name):
    return stage.page.evaluate(FROM, [node, name])


def persons(stage) -> list[list]:
    return stage.page.evaluate(
        """() => app.graph.nodes.filter(node => node.type === 'RealisID_PersonFromPhoto')
            .map(node => [node.id, node.widgets.find(widget => widget.name === 'box').value])"""
    )


def test_dropped_beside_the_boxes_it_lies_behind_them(stage, portraits):
    stage.set(BOXES)
    drop(stage, portraits["astronaut"], 500, 100)
    stage.page.wait_for_function("document.querySelector('#tested .rb-backdrop').naturalWidth > 0")
    node = stage.page.evaluate("node.id")
    kind, name, loader = feeds(stage, node, "background")
    assert kind == "LoadImage" and name.startswith("astronaut")
    drop(stage, portraits["grace_hopper"], 500, 100)
    stage.page.wait_for_function("document.querySelector('#tested .rb-backdrop').src.includes('grace_hopper')")
    assert feeds(stage, node, "background")[2] == loader, "another node for the second photo"


def test_dropped_on_a_box_it_is_of_that_person(stage, portraits):
    stage.set(BOXES)
    model = stage.page.evaluate(
        """() => {
            const made = LiteGraph.createNode('RealisID_LoadMiniature')
            made.pos = [700, 600]
            app.graph.add(made)
            return made.id
        }"""
    )
    drop(stage, portraits["astronaut"], 700, 500)
    stage.page.wait_for_function(
        "() => document.querySelector('#tested .rb-status').textContent.includes('Made a node')"
    )
    ((person, box),) = persons(stage)
    assert box == "2"
    assert feeds(stage, person, "photo")[1].startswith("astronaut")
    assert feeds(stage, person, "boxes")[2] == stage.page.evaluate("node.id")
    assert feeds(stage, person, "realisid")[2] == model
    drop(stage, portraits["grace_hopper"], 700, 500)
    stage.page.wait_for_function(
        "() => document.querySelector('#tested .rb-status').textContent.includes('the photo of')"
    )
    assert feeds(stage, person, "photo")[1].startswith("grace_hopper")
    drop(stage, portraits["astronaut"], 200, 200)
    stage.page.wait_for_function(
        "() => app.graph.nodes.filter(n => n.type === 'RealisID_PersonFromPhoto').length === 2"
    )
    other = persons(stage)[1][0]
    assert persons(stage)[1][1] == "1"
    assert feeds(stage, other, "persons")[2] == person, "the two are not in one picture"


def test_its_size_can_be_the_pictures(stage, portraits):
    drop(stage, portraits["astronaut"], 500, 100)
    stage.page.wait_for_function("document.querySelector('#tested .rb-backdrop').naturalWidth > 0")
    stage.page.mouse.click(*stage.at(500, 100), button="right")
    stage.page.get_by_role("menuitem", name="Use the photo's size: 512 × 512").click()
    rect = stage.locate(".rb-stage").bounding_box()
    assert rect["width"] / rect["height"] == pytest.approx(1, rel=0.01)
    assert stage.page.evaluate("node.widgets.slice(0, 2).map(widget => widget.value)") == [512, 512]


@pytest.mark.parametrize("key", [None, "Alt"])
def test_a_moved_box_falls_in_line_and_shows_it(stage, key):
    stage.set(BOXES)
    page = stage.page
    page.mouse.move(*stage.at(200, 200))
    if key:
        page.keyboard.down(key)
    page.mouse.down()
    page.mouse.move(*stage.at(405, 210), steps=3)
    page.mouse.move(*stage.at(706, 210), steps=3)
    stage.frames()
    guide = stage.locate(".rb-across")
    assert guide.is_visible() == (key is None)
    page.mouse.up()
    if key:
        page.keyboard.up(key)
    assert not guide.is_visible()
    left = stage.pixels()[0][0]
    assert left == pytest.approx(600, abs=0.1) if key is None else left > 602
