"""`python dev.py serve`: ComfyUI with this pack, in the foreground, for a browser."""

import os
import subprocess
import sys
from pathlib import Path

from headless.server import environment, server_command
from realisid_core.bootstrap import host_path


def main() -> int:
    options = sys.argv[1:]
    device = [] if "--gpu" in options else ["--cpu"]
    rest = [option for option in options if option != "--gpu"]
    command = server_command(host_path(), Path(os.environ["REALISID_DEV"], "home"), *device, *rest)
    return subprocess.run(command, env=environment()).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(0)
