"""Loads the pack the way ComfyUI does: by its path, after the host; here under the name `realisid_pack`."""

import importlib.util
import sys
from pathlib import Path

import pytest

PACK = Path(__file__).resolve().parent.parent


def load(name: str, file: Path, **options):
    spec = importlib.util.spec_from_file_location(name, file, **options)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


host = load("realisid_host", PACK / "realisid_core" / "host.py")
host.find_host()
load("realisid_pack", PACK / "__init__.py", submodule_search_locations=[str(PACK)])


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A real ComfyUI with this pack, on a free port, in folders of its own, for the whole session."""
    from realisid_pack.headless.server import running_server

    with running_server(host.host_path(), tmp_path_factory.mktemp("comfyui"), "--cpu") as server:
        yield server


@pytest.fixture(scope="module")
def applied():
    """Positive and negative with both branches for one person of random weights."""
    from pictures import miniature, person, prompt
    from realisid_pack.realisid_core.apply import apply_branch
    from realisid_pack.realisid_core.geometry import FaceBox

    someone, realisid = person(1, FaceBox(0.2, 0.25, 0.4, 0.4)), miniature().realisid
    conds = prompt("a person wearing a red sweater"), prompt("watercolor style")
    return apply_branch("local", *apply_branch("global", *conds, realisid, [someone]), realisid, [someone])


@pytest.fixture(scope="session")
def client(server):
    from realisid_pack.headless.client import Client

    return Client(server.address)


@pytest.fixture(scope="session")
def portraits() -> dict[str, Path]:
    """The shipped photos, by name."""
    return {file.stem: file for file in sorted((PACK / "portraits").glob("*.jpg"))}
