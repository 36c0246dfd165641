"""The server holds face boxes to the same rules as the editor: one file of cases, run on both sides."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from realisid_core import box_formats, geometry

WEB = Path(__file__).parent / "web"
VECTORS = json.loads((WEB / "box_vectors.json").read_text(encoding="utf-8"))


def title(case):
    return case["what"]


@pytest.mark.parametrize("case", VECTORS["valid"], ids=title)
def test_reads(case):
    frame = case["width"], case["height"]
    found = box_formats.parse_boxes(case["value"], *frame).boxes
    assert [(box.x, box.y, box.name) for box in found] == [(box["x"], box["y"], box["name"]) for box in case["boxes"]]
    sizes = [geometry.relative_size(box, *frame) for box in found]
    assert sizes == pytest.approx([box["size"] for box in case["boxes"]])


@pytest.mark.parametrize("case", VECTORS["invalid"], ids=title)
def test_refuses_and_says_why(case):
    with pytest.raises(ValueError, match=case["reason"]):
        box_formats.parse_boxes(case["value"], case["width"], case["height"])


def test_the_editors_own_tests_pass():
    """The modules of `web/` that do not touch the page, under Node's test runner."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("SKIPPED: the editor's unit tests need Node 20 or newer, and no `node` is on the PATH.")
    files = sorted(map(str, WEB.glob("*.test.mjs")))
    run = subprocess.run([node, "--test", *files], capture_output=True, text=True, encoding="utf-8")
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
