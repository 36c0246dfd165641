"""The pack's own place: in a folder of any name, ComfyUI serves its files, its tests run, and research/ may be gone."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from conftest import PACK
from realisid_bootstrap import host_path
from realisid_pack.headless.client import Client
from realisid_pack.headless.server import NAME, running_server

ODD = "ComfyUI-RealisID (1).é"
FOLDERS = [NAME, ODD, "Реализ ИД"]
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "output", "runs", "research", "docs")
SELECTION = ["tests/test_geometry.py", "tests/test_box_vectors.py"]
OF_NODES = [f"tests/test_{topic}.py" for topic in ("branches", "checkpoint", "drawing", "identity", "methods")]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of the pack, without research/."""
    folder = tmp_path_factory.mktemp("places") / "main"
    shutil.copytree(PACK, folder, ignore=NOT_COPIED)
    return folder


def run_of_tests(folder: Path, selection: list[str], **options) -> subprocess.CompletedProcess:
    """Pytest's run of a selection in that folder, as a user starts it there."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *selection]
    surroundings = os.environ | {"COMFYUI_PATH": str(host_path()), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True, **options)


@pytest.mark.parametrize("name", FOLDERS)
def test_the_tests_run_in_a_folder_of_any_name(checkout, name):
    run = run_of_tests(checkout.rename(checkout.with_name(name)), SELECTION)
    checkout.with_name(name).rename(checkout)
    assert run.returncode == 0, run.stdout


def test_the_tests_of_the_nodes_need_no_research(checkout):
    run = run_of_tests(checkout, [*OF_NODES, "-m", "not slow"])
    assert run.returncode == 0, run.stdout


def test_the_tests_run_in_a_linked_folder(checkout):
    link = checkout.with_name(f"link to {NAME}")
    link.symlink_to(checkout, target_is_directory=True)
    run = run_of_tests(link, SELECTION)
    assert run.returncode == 0, run.stdout


def test_the_tests_run_in_a_folder_that_is_read_only(checkout):
    with tempfile.TemporaryDirectory() as place:  # not pytest's, which only its owner may enter
        folder = Path(shutil.copytree(checkout, Path(place, NAME)))
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        Path(place).chmod(0o755)
        run = run_of_tests(folder, SELECTION, **not_root())
        folder.chmod(0o755)
        for path in folder.rglob("*"):
            path.chmod(0o755)
    assert run.returncode == 0, run.stdout


def not_root() -> dict[str, int]:
    """For root no folder is read-only: options that run a process as somebody else."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return {}
    nobody = {"user": 65534, "group": 65534}
    if subprocess.run([sys.executable, "-c", "import torch"], cwd="/", **nobody, capture_output=True).returncode:
        pytest.skip("SKIPPED: started by root, from a folder that only root may read.")
    return nobody


@pytest.fixture(scope="module")
def oddly_named(tmp_path_factory, checkout):
    """A server whose only pack is a copy of this one without research/, in a folder with an odd name."""
    home = tmp_path_factory.mktemp("odd")
    shutil.copytree(checkout, home / "custom_nodes" / ODD)
    shutil.copytree(PACK / "web" / "docs", home / "custom_nodes" / ODD / "web" / "docs")
    with running_server(host_path(), home, "--cpu", packs=()) as server:
        yield server


def test_the_editor_is_loaded_once_from_a_folder_of_any_name(oddly_named):
    address = oddly_named.address
    ours = [file for file in requests.get(f"{address}/extensions", timeout=60).json() if "/core/" not in file]
    assert sorted(ours) == [f"/extensions/comfyui-realisid/{file.name}" for file in sorted(PACK.glob("web/*.js"))]
    for file in [*ours, "/extensions/comfyui-realisid/boxes.css"]:
        assert requests.get(address + file, timeout=60).ok, file


def test_help_pages_load_from_a_folder_of_any_name(oddly_named):
    node = Client(oddly_named.address).nodes()["RealisID_DetectFaces"]
    name = node["python_module"].split(".")[1].split("@")[0]  # as the page does
    base = f"{oddly_named.address}/extensions/{quote(name)}/docs"
    page = requests.get(f"{base}/RealisID_DetectFaces.md", timeout=60)
    assert page.text == (PACK / "web/docs/RealisID_DetectFaces.md").read_text(encoding="utf-8")
    assert requests.get(f"{base}/images/detect_faces.jpg", timeout=60).headers["Content-Type"] == "image/jpeg"
    assert requests.get(f"{base}/RealisID_..%2F..%2F..%2FREADME.md", timeout=60).status_code == 404


def test_templates_load_from_a_folder_of_any_name(oddly_named):
    names = requests.get(f"{oddly_named.address}/api/workflow_templates", timeout=60).json()[ODD]
    assert "RealisID 01 start here" in names
    base = f"{oddly_named.address}/api/workflow_templates/{quote(ODD)}"
    for name in names:
        assert "nodes" in requests.get(f"{base}/{name}.json", timeout=60).json()
        assert requests.get(f"{base}/{name}.jpg", timeout=60).headers["Content-Type"] == "image/jpeg"


def test_a_picture_is_made_without_research(oddly_named):
    workflow = json.loads((PACK / "workflows" / "api" / "start_here_miniature.json").read_text(encoding="utf-8"))
    for node in workflow.values():
        if node["class_type"] == "KSampler":
            node["inputs"]["steps"] = 1
    result = Client(oddly_named.address).run(workflow)
    assert [image.mode for node in result.outputs for image in result.images(node)]
