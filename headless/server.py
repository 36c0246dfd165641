"""A real ComfyUI server with this pack loaded, in folders of its own: the host is read, never written to."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PACK = Path(__file__).resolve().parent.parent
NAME = "ComfyUI-RealisID"
NOT_THE_PACK = shutil.ignore_patterns(".*", "__pycache__", "output", "runs")


@dataclass(frozen=True)
class Server:
    address: str  # http://127.0.0.1:port
    home: Path  # holds custom_nodes, input, output, temp, user, models
    log: Path
    process: subprocess.Popen

    def lines(self) -> list[str]:
        """What the server has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()


@contextmanager
def running_server(
    host: Path, home: Path, *options: str, packs: Iterable[str] = (NAME,), port: int | None = None
) -> Iterator[Server]:
    """Start `host` on 127.0.0.1, wait until it answers, stop it at the end.

    `packs`: the folders in custom_nodes that are this pack, one or several. `port`: a free one where none is given.

    Raises RuntimeError with the end of the server's log if it does not come up.
    """
    port = port or free_port()
    address = f"http://127.0.0.1:{port}"
    log = home / "server.log"
    command = server_command(host, home, "--port", str(port), *options, packs=packs)
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=host, env=environment())
    server = Server(address, home, log, process)
    try:
        wait_until_it_answers(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def server_command(host: Path, home: Path, *options: str, packs: Iterable[str] = (NAME,)) -> list[str]:
    """The command line that runs `host` with this pack, keeping everything it writes in `home`."""
    lay_out(home, packs)
    return [
        *(sys.executable, str(host / "main.py")),
        *("--base-directory", str(home)),
        *("--extra-model-paths-config", str(models_of(host, home))),
        *("--database-url", f"sqlite:///{(home / 'user' / 'comfyui.db').as_posix()}"),
        *("--listen", "127.0.0.1", "--disable-auto-launch"),
        *options,
    ]


def lay_out(home: Path, packs: Iterable[str]) -> None:
    """ComfyUI's folders, and the pack: as a link, or as a copy where links are not allowed."""
    for folder in ("custom_nodes", "input", "output", "temp", "user", "models"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    for pack in (home / "custom_nodes" / name for name in packs):
        if pack.is_symlink():
            pack.unlink()
        try:
            pack.symlink_to(PACK, target_is_directory=True)
        except OSError:  # Windows without developer mode
            shutil.rmtree(pack, ignore_errors=True)
            shutil.copytree(PACK, pack, ignore=NOT_THE_PACK)


def models_of(host: Path, home: Path) -> Path:
    """An extra_model_paths file (JSON is YAML) that lets the server read the host's own models."""
    folders = sorted(folder.name for folder in (host / "models").iterdir() if folder.is_dir())
    file = home / "host_models.yaml"
    paths = {"base_path": str(host / "models"), **{name: name for name in folders}}
    file.write_text(json.dumps({"host": paths}), encoding="utf-8")
    return file


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_it_answers(server: Server, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            urllib.request.urlopen(f"{server.address}/system_stats", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError("\n".join(["ComfyUI did not start. The end of its log:", *server.lines()[-20:]]))
