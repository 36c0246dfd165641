"""Loads the pack the way ComfyUI does: by its path, after the host; here under the name `realisid_pack`."""

import importlib
import importlib.abc
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


bootstrap = load("realisid_bootstrap", PACK / "realisid_core" / "bootstrap.py")
bootstrap.find_host()
sys.path.append(str(PACK))  # after the host, whose module `nodes` has the name of a folder here


class OneCore(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The nodes' `realisid_pack.realisid_core` is the `realisid_core` that tests and research import: one copy."""

    def find_spec(self, name, path, target=None):
        inside = name.startswith("realisid_pack.realisid_core")
        return importlib.util.spec_from_loader(name, self) if inside else None

    def create_module(self, spec):
        module = importlib.import_module(spec.name.removeprefix("realisid_pack."))
        self.own_spec = module.__spec__
        return module

    def exec_module(self, module):
        module.__spec__ = self.own_spec


class NoTestPackage:
    """The pack's `__init__.py` is ComfyUI's to load; pytest, left alone, imports it as a test package, and fails where
    the folder's name is no identifier, as `ComfyUI-RealisID` is none."""

    @staticmethod
    def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Dir | None:
        inside = path.resolve().is_relative_to(PACK / "tests")
        return None if inside else pytest.Dir.from_parent(parent, path=path)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(NoTestPackage())


SLOW_FIXTURES = {"server", "oddly_named", "browser", "checkout"}
SLOW_FILES = ("research/", "test_training")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what `dev.py test --quick` leaves out."""
    for item in items:
        file = item.path.relative_to(PACK / "tests").as_posix()
        samples = hasattr(getattr(item, "module", None), "sample")  # from pictures.py
        if samples or file.startswith(SLOW_FILES) or SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


sys.meta_path.insert(0, OneCore())
load("realisid_pack", PACK / "__init__.py", submodule_search_locations=[str(PACK)])


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A real ComfyUI with this pack, on a free port, in folders of its own, for the whole session."""
    from realisid_pack.headless.server import running_server

    with running_server(bootstrap.host_path(), tmp_path_factory.mktemp("comfyui"), "--cpu") as server:
        yield server


@pytest.fixture(scope="module")
def applied():
    """Positive and negative with both branches for one person of random weights."""
    from pictures import apply, miniature, person, prompt

    from realisid_core.geometry import FaceBox

    someone, realisid = person(1, FaceBox(0.2, 0.25, 0.4, 0.4)), miniature().realisid
    conds = prompt("a person wearing a red sweater"), prompt("watercolor style")
    return apply("local", *apply("global", *conds, realisid, [someone]), realisid, [someone])


@pytest.fixture(scope="session")
def client(server):
    from realisid_pack.headless.client import Client

    return Client(server.address)


@pytest.fixture(scope="session")
def portraits() -> dict[str, Path]:
    """The shipped photos, by name."""
    return {file.stem: file for file in sorted((PACK / "portraits").glob("*.jpg"))}
