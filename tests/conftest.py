"""Loads the pack the way ComfyUI does: by its path, after the host; here under the name `realisid_pack`."""

import importlib.util
import sys
from pathlib import Path

PACK = Path(__file__).resolve().parent.parent


def load(name: str, file: Path, **options):
    spec = importlib.util.spec_from_file_location(name, file, **options)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


load("realisid_host", PACK / "realisid_core" / "host.py").find_host()
load("realisid_pack", PACK / "__init__.py", submodule_search_locations=[str(PACK)])
