"""How the pack behaves as a guest: in the server's log, in its node list, at import, in a user's environment."""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import textwrap

import pytest
import requests
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from realisid_bootstrap import PACK, host_path
from realisid_pack.headless.server import NAME, NOT_THE_PACK, environment, running_server, server_command


@pytest.fixture(scope="session")
def described(client) -> dict[str, dict]:
    """What the server says of this pack's nodes."""
    return {name: node for name, node in client.nodes().items() if node["python_module"] == f"custom_nodes.{NAME}"}


def test_the_pack_adds_nothing_to_the_servers_log_but_its_import_time(server, tmp_path):
    options = ["--cpu", "--disable-all-custom-nodes", "--quick-test-for-ci"]
    alone = subprocess.run(
        server_command(host_path(), tmp_path, *options),
        cwd=host_path(), env=environment(), capture_output=True, text=True, encoding="utf-8", check=True,
    )  # fmt: skip
    usual = {message(line) for line in (alone.stdout + alone.stderr).splitlines()}
    start = [message(line).replace(str(server.home), str(tmp_path)) for line in server.lines()]
    start = start[: next(i for i, line in enumerate(start) if line.startswith("Starting server"))]
    imports = [line for line in start if line.endswith(NAME)]
    assert len(imports) == 1
    assert "seconds: " in imports[0]
    theirs = ("Adding extra search path", "Import times for custom nodes", "Database", "Automatically register web")
    new = [line for line in start if not line.startswith(theirs) and line not in usual | {"", imports[0]}]
    assert new == []


def message(line: str) -> str:
    """A line of the log without the coloured level that newer hosts begin it with."""
    return re.sub(r"^\x1b\[\d+m\[\w+\]\x1b\[0m ", "", line).strip()


def test_every_node_is_found_under_the_packs_category(described):
    assert described
    for name, node in described.items():
        assert name.startswith("RealisID_")
        assert node["category"].split("/")[0] == "RealisID", name
        assert node["description"], name


def test_every_input_and_output_has_a_tooltip(described):
    silent = []
    for name, node in described.items():
        inputs = {**node["input"].get("required", {}), **node["input"].get("optional", {})}
        silent += [f"{name}: {socket}" for socket, spec in inputs.items() if not spec[1:] or not spec[1].get("tooltip")]
        tooltips = node.get("output_tooltips") or [None] * len(node["output"])
        silent += [f"{name}: output {i}" for i, tooltip in enumerate(tooltips) if not tooltip]
    assert silent == []


@pytest.mark.slow
def test_loading_the_pack_reaches_for_no_network_and_imports_nothing_heavy():
    script = f"""
        import json, sys
        sys.path.insert(0, {str(host_path())!r})
        import comfy.options
        comfy.options.enable_args_parsing()
        sys.argv = ["main.py", "--cpu"]
        import nodes  # the host, as it is when it loads a pack
        from comfy_api.latest import io, ui
        import asyncio
        import importlib.util

        loop = asyncio.new_event_loop()
        before = set(sys.modules)
        network = []
        sys.addaudithook(
            lambda event, _: network.append(event) if event.startswith(("socket.", "urllib.", "http.")) else None
        )
        spec = importlib.util.spec_from_file_location(
            "pack", {str(PACK / "__init__.py")!r}, submodule_search_locations=[{str(PACK)!r}]
        )
        pack = sys.modules["pack"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(pack)

        async def found():
            return await (await pack.comfy_entrypoint()).get_node_list()

        count = len(loop.run_until_complete(found()))
        print(json.dumps([count, network, sorted(set(sys.modules) - before)]))
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    count, network, imported = json.loads(run.stdout.splitlines()[-1])
    assert count > 0
    assert network == []
    heavy = {"cv2", "mediapipe", "facexlib", "facenet_pytorch", "accelerate", "matplotlib", "webdataset", "numba"}
    assert heavy.isdisjoint(module.split(".")[0] for module in imported)


@pytest.mark.slow
def test_two_copies_of_the_pack_side_by_side_leave_the_server_whole(tmp_path):
    """As from git and from the registry: the server starts, and each node and the route are there once."""
    other = tmp_path / "custom_nodes" / "comfyui-realisid"
    other.parent.mkdir()
    shutil.copytree(PACK, other, ignore=NOT_THE_PACK)
    with running_server(host_path(), tmp_path, "--cpu") as server:
        assert "IMPORT FAILED" not in server.log.read_text(encoding="utf-8", errors="replace")
        nodes = requests.get(f"{server.address}/object_info", timeout=60).json()
        assert "RealisID_Person" in nodes
        answer = requests.post(f"{server.address}/realisid/faces", json={}, timeout=60)
        assert answer.status_code == 400


def test_requirements_leave_torch_and_numpy_alone():
    asked = everything_asked_for(PACK / "requirements.txt")
    assert {"torch", "torchvision", "torchaudio"}.isdisjoint(asked)
    present = importlib.metadata.version("numpy")
    oldest_in_use = "1.26.4" if sys.version_info < (3, 13) else present
    for requirement in asked["numpy"]:
        assert requirement.specifier.contains(present), requirement
        assert requirement.specifier.contains(oldest_in_use), requirement


def requirements_in(file) -> list[Requirement]:
    lines = [line.split("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    return [Requirement(line) for line in lines if line]


def everything_asked_for(file) -> dict[str, list[Requirement]]:
    """Each package that a requirements file asks for, itself or through what it installs, with the requests for it."""
    waiting = requirements_in(file)
    asked: dict[str, list[Requirement]] = {}
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        if name not in asked and name != "numpy":
            waiting += map(Requirement, importlib.metadata.requires(name) or [])
        asked.setdefault(name, []).append(requirement)
    return asked


SYSTEMS = [("Linux", "linux", "x86_64"), ("Windows", "win32", "AMD64"), ("Darwin", "darwin", "arm64")]
DEVELOPMENT = ["requirements.txt", "requirements-training.txt", "requirements-dev.txt"]


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system[0])
@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_what_a_checkout_installs_is_pinned(python, system):
    """To one version of each package, on every system, and no requirement asks for another."""
    about = {"python_version": python, "python_full_version": f"{python}.7", "extra": ""}
    about |= dict(zip(("platform_system", "sys_platform", "platform_machine"), system, strict=True))
    pins: dict[str, Version] = {}
    for pin in requirements_in(PACK / "requirements-lock.txt"):
        if pin.marker is None or pin.marker.evaluate(about):
            assert canonicalize_name(pin.name) not in pins, pin
            ((_, pins[canonicalize_name(pin.name)]),) = ((s.operator, Version(s.version)) for s in pin.specifier)
    asked = [requirement for name in DEVELOPMENT for requirement in requirements_in(PACK / name)]
    for requirement in (wish for wish in asked if wish.marker is None or wish.marker.evaluate(about)):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_the_lock_holds_everything_that_requirements_bring_along():
    pinned = {canonicalize_name(pin.name) for pin in requirements_in(PACK / "requirements-lock.txt")}
    assert {name for file in DEVELOPMENT for name in everything_asked_for(PACK / file)} <= pinned


def test_tools_are_pinned_where_they_are_asked_for():
    tools = requirements_in(PACK / "requirements-dev.txt")
    assert not [str(tool) for tool in tools if [pin.operator for pin in tool.specifier] != ["=="]]


def test_the_hooks_use_the_tools_of_the_tests():
    asked = {str(tool) for tool in requirements_in(PACK / "requirements-dev.txt")}
    hooks = re.findall(r'additional_dependencies: \["(.+?)"\]', (PACK / ".pre-commit-config.yaml").read_text("utf-8"))
    assert hooks
    assert set(hooks) <= asked


def test_the_changelog_tells_of_this_version():
    version = re.search(r'(?m)^version = "(.+)"$', (PACK / "pyproject.toml").read_text("utf-8")).group(1)
    assert f"\n## {version}\n" in (PACK / "CHANGELOG.md").read_text("utf-8")
