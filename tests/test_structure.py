"""The house: which folder may import which, and how long a file and a function may be (CONTRIBUTING.md)."""

import ast
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PACK

CORE = sorted(PACK.glob("realisid_core/**/*.py"))
NODES = [PACK / "__init__.py", *sorted(PACK.glob("nodes/*.py"))]
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 300, 60


def imported(file: Path) -> Iterator[str]:
    """Every module that a file imports, at its head or later, as a dotted path from the pack's folder."""
    package = file.relative_to(PACK).parent.parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            within = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*within, *filter(None, [node.module])))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def towards(files: list[Path], *folders: str) -> list[str]:
    return [
        f"{file.relative_to(PACK).as_posix()} imports {module}"
        for file in files
        for module in imported(file)
        if module.split(".")[0] in folders
    ]


def test_the_core_imports_neither_research_nor_nodes():
    assert towards(CORE, "research", "nodes", "headless", "workflows", "benchmarks", "tests") == []


def test_the_nodes_import_no_research():
    assert towards(NODES, "research", "headless", "workflows", "benchmarks", "tests") == []


def test_within_the_core_parts_know_neither_methods_nor_what_samples_and_trains():
    parts = ["identity", "conditions", "branches", "injection", "attention", "metrics", "perception"]
    pure = ["geometry", "box_formats", "resampling"]
    files = [file for file in CORE if set(file.relative_to(PACK).with_suffix("").parts) & {*parts, *pure}]
    above = [f"realisid_core.{name}" for name in ("methods", "sampling", "training")]
    assert [wrong for wrong in towards(files, "realisid_core") if wrong.split()[-1].startswith(tuple(above))] == []


@pytest.mark.parametrize("file", CORE, ids=lambda file: file.relative_to(PACK).as_posix())
def test_files_and_functions_of_the_core_are_short(file):
    source = file.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MOST_LINES_OF_A_FILE
    functions = (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    lengths = {function.name: function.end_lineno - function.lineno + 1 for function in functions}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES_OF_A_FUNCTION} == {}


def test_tests_that_need_research_live_in_its_folder():
    """So that all others pass with research/ removed."""
    elsewhere = [file for file in PACK.glob("tests/**/*.py") if file.parent.name != "research"]
    assert towards(elsewhere, "research") == []


@pytest.mark.parametrize(
    "folder", ["realisid_core", "nodes", "research", "headless", "workflows", "benchmarks", "tests"]
)
def test_identifiers_are_ascii(folder):
    """Greek letters stay in docstrings and messages."""
    for file in PACK.glob(f"{folder}/**/*.py"):
        with tokenize.open(file) as source:
            names = {token.string for token in tokenize.generate_tokens(source.readline) if token.type == tokenize.NAME}
        assert not [name for name in names if not name.isascii()], file
