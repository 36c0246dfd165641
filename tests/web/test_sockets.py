"""The pack's socket types have colours of their own, on the canvas and in Nodes 2.0, in every theme."""

import itertools

import pytest
from conftest import SET

COLOURS = """types => types.map(type => [
    app.canvas.default_connection_color_byType[type],
    app.canvas.constructor.link_type_colors[type],
    getComputedStyle(document.body).getPropertyValue(`--color-datatype-${type}`).trim(),
])"""

WORN = "colour => app.canvas.default_connection_color_byType.IMAGE === colour"
IMAGES = {"light": "#42A5F5", "dark": "#64B5F6"}


def types_of(node: dict) -> set[str]:
    inputs = itertools.chain(*(kind.values() for kind in node["input"].values()))
    kinds = [*node["output"], *(socket[0] for socket in inputs)]
    return {one for kind in kinds if isinstance(kind, str) for one in kind.split(",")}


@pytest.fixture
def themed(page):
    def wear(theme: str) -> None:
        page.evaluate(SET, ["Comfy.ColorPalette", theme])
        page.wait_for_function(WORN, arg=IMAGES[theme])

    yield wear
    wear("dark")


def test_a_colour_for_each_type_in_every_theme(page, client, themed):
    described = client.nodes()
    ours = {name for name in described if name.startswith("RealisID_")}
    others = set().union(*(types_of(node) for name, node in described.items() if name not in ours))
    own = sorted(set().union(*(types_of(described[name]) for name in ours)) - others)
    assert "PERSONS" in own
    for theme in ("light", "dark"):
        themed(theme)
        colours = page.evaluate(COLOURS, own)
        assert all(len(set(three)) == 1 and three[0] for three in colours), (
            theme,
            dict(zip(own, colours, strict=True)),
        )
        assert len({three[0] for three in colours}) == len(own)


def test_a_socket_of_two_types_looks_like_the_first(page, themed):
    themed("light")
    for pair in ("FACES,BOUNDING_BOX", "IMAGE,FACE_LANDMARKS"):
        both, first = page.evaluate(COLOURS, [pair, pair.split(",")[0]])
        assert both[0] == first[0] != ""
