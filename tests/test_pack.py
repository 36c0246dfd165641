"""How the pack behaves as a guest: in the server's log, in its node list, at import, in a user's environment."""

import importlib.metadata
import json
import re
import subprocess
import sys
import textwrap

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from realisid_bootstrap import PACK, host_path
from realisid_pack.headless.server import NAME, environment, server_command


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


def test_requirements_leave_torch_and_numpy_alone():
    asked = everything_asked_for(PACK / "requirements.txt")
    assert {"torch", "torchvision", "torchaudio"}.isdisjoint(asked)
    present = importlib.metadata.version("numpy")
    oldest_in_use = "1.26.4" if sys.version_info < (3, 13) else present
    for requirement in asked["numpy"]:
        assert requirement.specifier.contains(present), requirement
        assert requirement.specifier.contains(oldest_in_use), requirement


def everything_asked_for(file) -> dict[str, list[Requirement]]:
    """Each package that a requirements file asks for, itself or through what it installs, with the requests for it."""
    lines = [line.split("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    waiting = [Requirement(line) for line in lines if line]
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
