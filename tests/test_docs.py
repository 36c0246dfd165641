"""The help pages: one a node, complete, with pictures that exist and are small; the README's links lead somewhere."""

import ast
import re

import pytest
import requests
from conftest import PACK

PAGES = PACK / "web" / "docs"
PICTURE = re.compile(r"!\[[^\]]+\]\(([^)]+)\)")
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)#]+)\)")
PLACE = re.compile(r"(?<!!)\[[^\]]+\]\(([^)#:]*)#([^)]+)\)")
HEADING = re.compile(r"(?m)^#+ (.+)$")
MOST_BYTES = 60_000
TEXTS = sorted([*PACK.glob("*.md"), *PACK.glob("research/*.md"), *(PACK / "docs").glob("*.md"), *PAGES.glob("*.md")])


@pytest.fixture(scope="module")
def described(client) -> dict[str, dict]:
    return {name: node for name, node in client.nodes().items() if name.startswith("RealisID_")}


def test_every_node_has_a_help_page_and_every_page_a_node(described):
    assert {page.stem for page in PAGES.glob("*.md")} == set(described)


def test_a_page_explains_every_input_and_named_output(described):
    missing = []
    for name, node in described.items():
        page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
        inputs = {**node["input"].get("required", {}), **node["input"].get("optional", {})}
        missing += [f"{name}: {socket}" for socket in [*inputs, *node["output_name"]] if not explained(socket, page)]
    assert missing == []


def explained(socket: str, page: str) -> bool:
    """An item of a list names it. Outputs without a name of their own bear their type's."""
    item = rf"(?m)^- .*`{socket}`" if not socket.isupper() else rf"(?m)^- {socket}|^- The {socket.lower()}\b"
    return re.search(item, page) is not None


def test_every_portrait_is_explained():
    page = (PAGES / "RealisID_ExamplePortrait.md").read_text(encoding="utf-8")
    assert [file.stem for file in (PACK / "portraits").glob("*.jpg") if f"`{file.stem}`" not in page] == []


def test_every_page_has_a_picture(described):
    assert not [name for name in described if not PICTURE.search((PAGES / f"{name}.md").read_text(encoding="utf-8"))]


@pytest.mark.parametrize("text", TEXTS, ids=lambda file: file.relative_to(PACK).as_posix())
def test_what_a_text_refers_to_exists(text):
    content = text.read_text(encoding="utf-8")
    targets = [target for target in PICTURE.findall(content) + LINK.findall(content) if "://" not in target]
    assert not [target for target in targets if not (text.parent / target).exists()]


@pytest.mark.parametrize("text", TEXTS, ids=lambda file: file.relative_to(PACK).as_posix())
def test_a_place_that_a_text_refers_to_is_a_heading_there(text):
    def places(file) -> set[str]:
        return {
            re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
            for title in HEADING.findall(file.read_text("utf-8"))
        }

    found = PLACE.findall(text.read_text(encoding="utf-8"))
    assert not [(file, place) for file, place in found if place not in places(text.parent / file if file else text)]


def test_the_readme_lists_every_node_and_its_page_every_workflow(described):
    readme = (PACK / "README.md").read_text(encoding="utf-8")
    page = (PACK / "docs" / "workflows.md").read_text(encoding="utf-8")
    workflows = {file.stem for file in (PACK / "workflows").glob("*.json")}
    assert not [name for name in described if f"(web/docs/{name}.md)" not in readme]
    assert workflows == set(re.findall(r"(?m)^\| `(.+?)`", page))


def test_help_pictures_are_small():
    assert not [file.name for file in (PAGES / "images").iterdir() if file.stat().st_size > MOST_BYTES]


def test_the_server_serves_a_page_and_its_pictures_where_the_frontend_looks(server):
    base = f"{server.address}/extensions/ComfyUI-RealisID/docs"
    page = requests.get(f"{base}/RealisID_DetectFaces.md", timeout=60)
    assert page.ok
    for picture in PICTURE.findall(page.text):
        assert requests.get(f"{base}/{picture}", timeout=60).headers["Content-Type"] == "image/jpeg"


def test_the_readme_is_short():
    assert len((PACK / "README.md").read_text(encoding="utf-8").split()) <= 900


def test_the_readmes_commands_are_what_continuous_integration_runs():
    readme = (PACK / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"(?m)^\s*(python dev\.py \w+)$", readme)
    assert commands == ["python dev.py demo", "python dev.py test"]
    runs = (PACK / ".github" / "workflows" / "test.yml").read_text("utf-8") + (PACK / ".ci" / "run").read_text("utf-8")
    assert not [command for command in commands if command.replace("python", "") not in runs.replace("python3", "")]


def test_the_readme_names_no_place_to_be_filled_in():
    assert not re.findall(r"<[a-z' ]+>", (PACK / "README.md").read_text(encoding="utf-8"))


def test_the_messages_that_troubleshooting_explains_are_the_packs():
    page = (PACK / "docs" / "troubleshooting.md").read_text(encoding="utf-8").split("\n## ")[0]
    explained = re.findall(r"(?m)^\| (.+?) \| ", page)[2:]
    said = [text for file in (*PACK.glob("realisid_core/**/*.py"), *PACK.glob("nodes/*.py")) for text in texts_in(file)]
    for message in explained:
        parts = re.compile(".*".join(re.escape(part.strip()) for part in message.split("…")), re.DOTALL)
        assert any(parts.search(text) for text in said), message


def texts_in(file) -> list[str]:
    """Every text in a Python file; what is filled in later is left out."""
    texts = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            texts.append(" ".join(str(part.value) for part in node.values if isinstance(part, ast.Constant)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append(node.value)
    return texts
