"""One .safetensors file holds a trained method: its parts' tensors (`local.*`, `global.*`, …) and its JSON config.

`METHODS` says which parts a method has; each part builds its network the host's own way, so that whatever the host does
with memory applies to it. A part may be absent: an ablation, or someone's own ControlNet in its place.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import comfy.utils
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from .config import FORMAT_VERSION, Config, RealisIDConfig, shown
from .methods import METHODS
from .model import Network, RealisIDModel

__all__ = ["RealisIDConfig", "RealisIDModel", "build", "load_checkpoint", "save_checkpoint"]

METADATA_KEY = "realisid"
LONGEST_CONFIG = 100_000  # characters
LARGEST_WEIGHT = torch.finfo(torch.float16).max  # in half precision, a larger one is infinite


def save_checkpoint(path: str | Path, config: Config, parts: Mapping[str, Mapping[str, Tensor] | None]) -> None:
    """Write a checkpoint; whole or not at all. Parts that are None are left out."""
    path = Path(path)
    state = {
        f"{name}.{key}": value.contiguous()
        for name, values in parts.items()
        if values is not None
        for key, value in values.items()
    }
    unfinished = path.with_name(path.name + ".part")
    save_file(state, unfinished, metadata={METADATA_KEY: json.dumps(asdict(config))})
    unfinished.replace(path)


def load_checkpoint(path: str | Path) -> RealisIDModel:
    """Read a checkpoint into networks that the host built.

    Raises:
        ValueError: naming the file and what does not fit: not safetensors, truncated, no RealisID config, a newer
            format, another method, a field's value, a missing or foreign key, a wrong shape, a weight that is no finite
            number. All of it is checked before a network is built.
    """
    path = Path(path)
    with _reading(path):
        state, metadata = comfy.utils.load_torch_file(str(path), safe_load=True, return_metadata=True)
    try:
        return build(_config(metadata or {}, state), state, path.stem)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def read_config(path: str | Path) -> Config:
    """What a checkpoint says of itself; its tensors are not read. Raises ValueError as `load_checkpoint` does."""
    path = Path(path)
    with _reading(path), safe_open(str(path), "pt") as file:
        metadata, keys = file.metadata(), list(file.keys())
    try:
        return _config(metadata or {}, keys)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever a reader raises inside, as a sentence that names the file."""
    if path.suffix.lower() not in (".safetensors", ".sft"):
        raise ValueError(f"{path.name} is not a .safetensors file, and RealisID reads no other.")
    try:
        yield
    except Exception as error:  # what readers raise differs by version and by what is broken
        raise ValueError(
            f"{path.name} cannot be read as .safetensors ({error}); it may be cut short. Download it again."
        ) from error


def build(config: Config, state: Mapping[str, Tensor], name: str) -> RealisIDModel:
    """The networks of a checkpoint's tensors. Raises ValueError naming the first key or value that does not fit."""
    config.check()
    method = METHODS[config.method]
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        part, _, rest = key.partition(".")
        if part not in method.parts:
            known = ", ".join(f"{known}.*" for known in method.parts)
            raise ValueError(f'key "{key}" is not part of a {method.name} checkpoint ({known}).')
        _check_weight(key, value)
        parts.setdefault(part, {})[rest] = value
    if not parts:
        raise ValueError("it holds no tensors at all. Download it again.")
    networks = {part: _network(part, parts[part], config) for part in method.parts if part in parts}
    return RealisIDModel(method, config, networks, name)


def _network(name: str, state: Mapping[str, Tensor], config: Config) -> Network:
    part = METHODS[config.method].parts[name]
    return part.build(name, state, **{field: getattr(config, field) for field in part.reads})


def _config(metadata: Mapping[str, str], keys: Iterable[str]) -> Config:
    if METADATA_KEY not in metadata:
        found = ", ".join(list(keys)[:3]) or "no tensors"
        raise ValueError(f"this is not a RealisID checkpoint: it has no RealisID config; it holds {found}, …")
    written = metadata[METADATA_KEY]
    try:
        if len(written) > LONGEST_CONFIG:
            raise ValueError(f"it has {len(written)} characters")
        values = json.loads(written)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its config cannot be read as JSON ({error}). Download it again.") from error
    if not isinstance(values, dict):
        raise ValueError(f'its config is {shown(values)}; expected an object such as {{"format_version": 1, …}}.')
    version = values.get("format_version")
    if type(version) is not int or version != FORMAT_VERSION:
        raise ValueError(
            f"format version {shown(version)} was found; this pack reads version {FORMAT_VERSION}. Update it."
        )
    method = values.get("method", "realisid")  # files from before there were several are of the first
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"its method is {shown(method)}; this pack knows {', '.join(METHODS)}. Update it.")
    return METHODS[method].config.read(values)


def _check_weight(key: str, value: Tensor) -> None:
    """Raises ValueError naming a weight that is no number, or none that every precision can hold."""
    if not value.is_floating_point():
        kind = str(value.dtype).removeprefix("torch.")
        raise ValueError(f"{key} has values of type {kind}; expected floating point (float16, bfloat16, float32).")
    if value.numel() == 0:
        return
    wide = value.float() if value.element_size() == 1 else value  # float8 has no arithmetic
    least, most = (bound.item() for bound in torch.aminmax(wide))
    if not (least >= -LARGEST_WEIGHT and most <= LARGEST_WEIGHT):  # false for NaN, which aminmax hands on
        raise ValueError(
            f"{key} has values that are NaN, infinite or beyond ±{LARGEST_WEIGHT:g}, the most that half precision "
            "holds. The file is damaged or its training went wrong; use an earlier one."
        )
