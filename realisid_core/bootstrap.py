"""Where ComfyUI is, for whatever runs outside of it: the trainer, the evaluation, the tests."""

import importlib.util
import os
import sys
from pathlib import Path

PACK = Path(__file__).resolve().parent.parent


def host_path() -> Path:
    """The ComfyUI folder: `COMFYUI_PATH`, the ComfyUI this pack is installed in, or the one `dev.py` unpacked.

    Raises FileNotFoundError, naming every place that was looked at.
    """
    named = os.environ.get("COMFYUI_PATH")
    places = [Path(named)] if named else [PACK.parent.parent, PACK / ".dev" / "host"]
    for place in places:
        if (place / "comfy" / "controlnet.py").is_file():
            return place.resolve()
    raise FileNotFoundError(
        f"No ComfyUI found in {', '.join(map(str, places))}. Set COMFYUI_PATH to the folder that holds its main.py."
    )


def find_host() -> None:
    """Make `comfy` importable. The host goes before the pack, whose folder `nodes` has the name of a host module."""
    if importlib.util.find_spec("comfy") is None:
        sys.path.insert(0, str(host_path()))
    import torch
    from comfy.cli_args import args

    if not torch.accelerator.is_available():
        args.cpu = True  # what `main.py --cpu` says; the host does not fall back to it by itself


def start_worker() -> None:
    """What a spawned process of a pool begins with: the host, one core, and no log."""
    import logging

    import cv2
    import torch

    find_host()
    logging.disable(logging.INFO)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
