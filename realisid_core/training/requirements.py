"""The trainer's own packages: imported where they are used, named in one sentence where they are missing."""

from importlib import import_module
from types import ModuleType


def needed(name: str) -> ModuleType:
    """The module `name`. Raises ImportError saying what to install."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"The trainer needs the Python package {name.partition('.')[0]}; in ComfyUI's Python run "
            f"`python -m pip install -r requirements-training.txt` from the pack's folder. ({error})"
        ) from error
