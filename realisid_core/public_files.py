"""Public weights as their users have them on disk, read into the parts of a checkpoint. Nothing is ever downloaded."""

import logging
from collections.abc import Mapping
from pathlib import Path

import comfy.model_detection
import comfy.utils
import torch
from torch import Tensor

from .checkpoint import build
from .checks import first_line
from .config import InstantIDConfig
from .identity.known_files import ADAPTERS, IDENTITY_NETS, KnownFile
from .methods.instantid import with_recogniser
from .model import RealisIDModel, State

PICKLES = (".bin", ".pt", ".pth", ".ckpt")
# What marks a file as something else, by the beginning of one of its keys.
OTHER_ADAPTERS = {
    "image_proj.proj.0": "an IP-Adapter FaceID file",
    "image_proj.perceiver_resampler": "an IP-Adapter FaceID file",
    "image_proj.proj.weight": "an IP-Adapter without InstantID's resampler",
    "id_adapter": "PuLID's",
    "pulid": "PuLID's",
    "lora": "a LoRA",
    "double_blocks": "a FLUX model",
}
MOST_NESTED = 2


def load_instantid(
    identity_net: str | Path, adapter: str | Path, recogniser: str | Path | None, base: str = "sdxl"
) -> RealisIDModel:
    """InstantID in the parts of this pack.

    Args:
        identity_net: IdentityNet's ControlNet, with diffusers' keys or the host's.
        adapter: `ip-adapter.bin`, or a .safetensors of it.
        recogniser: an ArcFace in ONNX; without it no photo can be embedded.

    Raises:
        ValueError: naming the file and what does not fit.
    """
    parts: dict[str, Tensor] = {}
    for path, split in ((identity_net, identity_net_parts), (adapter, adapter_parts)):
        path = Path(path)
        try:
            parts |= split(read_tensors(path))
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from error
    _compare_sizes(Path(identity_net), IDENTITY_NETS)
    _compare_sizes(Path(adapter), ADAPTERS)
    config = InstantIDConfig(method="instantid", base=base, context_dim=_context_dim(parts))
    try:
        model = build(config, parts, "InstantID")
    except ValueError as error:
        raise ValueError(f"{Path(identity_net).name} and {Path(adapter).name}: {error}") from error
    return model if recogniser is None else with_recogniser(model, recogniser)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of a pickle, which is never allowed to run code; mapped, not copied.

    Raises:
        ValueError: a file that holds anything but tensors by names, or cannot be read.
    """
    kind = path.suffix.lower()
    try:
        if kind in PICKLES:
            return dict(_flat(_unpickled(path)))
        if kind in (".safetensors", ".sft"):
            return comfy.utils.load_torch_file(str(path), safe_load=True)
    except ValueError:
        raise
    except Exception as error:  # what readers raise differs by version and by what is broken
        raise ValueError(
            f"it cannot be read as weights ({first_line(error)}). It may be cut short, or hold more than weights, "
            "which is refused. Download it again from where it was published."
        ) from error
    raise ValueError(f"it is not a file of weights; expected .safetensors or {', '.join(PICKLES)}.")


def _unpickled(path: Path) -> object:
    options = {"map_location": "cpu", "weights_only": True}
    try:
        return torch.load(path, mmap=True, **options)
    except RuntimeError:  # files from before PyTorch 1.6 cannot be mapped
        return torch.load(path, **options)


def _flat(values: object, prefix: str = "", depth: int = 0) -> list[tuple[str, Tensor]]:
    """Nested dicts as one, keys joined by dots."""
    if not isinstance(values, Mapping) or depth > MOST_NESTED:
        raise ValueError(f"it holds a {type(values).__name__} at {prefix or 'its top'}; expected tensors by names.")
    found = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        found += [(name, value)] if isinstance(value, Tensor) else _flat(value, f"{name}.", depth + 1)
    return found


def adapter_parts(state: State) -> dict[str, Tensor]:
    """`image_proj.*` and `ip_adapter.*` as `id_projector.*` and `adapter.*`. Raises ValueError for other files."""
    for beginning, what in OTHER_ADAPTERS.items():
        if any(key.startswith(beginning) for key in state):
            raise ValueError(f"this is {what}, not InstantID's ip-adapter: it has keys that begin with {beginning}.")
    names = {"image_proj": "id_projector", "ip_adapter": "adapter"}
    parts = {}
    for key, value in state.items():
        beginning, _, rest = key.partition(".")
        if beginning not in names:
            raise ValueError(f'the key "{key[:80]}" is not of InstantID\'s ip-adapter (image_proj.*, ip_adapter.*).')
        parts[f"{names[beginning]}.{rest}"] = value
    for beginning, part in names.items():
        if not any(key.startswith(f"{part}.") for key in parts):
            raise ValueError(f"it has no {beginning}.*; InstantID's ip-adapter has both image_proj.* and ip_adapter.*.")
    return parts


def identity_net_parts(state: State) -> dict[str, Tensor]:
    """A ControlNet's tensors as the part `global`, whichever keys it came with. Raises ValueError for other files."""
    if "controlnet_cond_embedding.conv_in.weight" in state:
        state = from_diffusers(state)
    state = {key.removeprefix("control_model."): value for key, value in state.items()}
    if "input_hint_block.0.weight" not in state:
        found = ", ".join(list(state)[:2]) or "nothing"
        raise ValueError(f"this is not a ControlNet; expected IdentityNet's file. It holds {found}, …")
    return {f"global.{key}": value for key, value in state.items()}


def from_diffusers(state: State) -> dict[str, Tensor]:
    """A ControlNet's tensors under the host's keys. Raises ValueError naming a key that has no place there."""
    try:
        config = comfy.model_detection.unet_config_from_diffusers_unet(dict(state))
    except Exception as error:  # the host indexes whatever it finds
        raise ValueError(f"its layers are not a ControlNet's ({error or type(error).__name__}).") from error
    if config is None:
        raise ValueError("it is a ControlNet of an architecture that ComfyUI does not know; expected SDXL's.")
    names = dict(comfy.utils.unet_to_diffusers(config))
    for suffix in ("weight", "bias"):
        names[f"controlnet_mid_block.{suffix}"] = f"middle_block_out.0.{suffix}"
        hint = "controlnet_cond_embedding"
        blocks = sum(key.startswith(f"{hint}.blocks.") and key.endswith(suffix) for key in state)
        order = ["conv_in", *(f"blocks.{i}" for i in range(blocks)), "conv_out"]
        names |= {f"{hint}.{name}.{suffix}": f"input_hint_block.{2 * i}.{suffix}" for i, name in enumerate(order)}
        zeros = sum(key.startswith("controlnet_down_blocks.") and key.endswith(suffix) for key in state)
        names |= {f"controlnet_down_blocks.{i}.{suffix}": f"zero_convs.{i}.0.{suffix}" for i in range(zeros)}
    for key in state:
        if key not in names:
            raise ValueError(f'the key "{key[:80]}" has no place in an SDXL ControlNet; is this IdentityNet\'s file?')
    return {names[key]: value for key, value in state.items()}


def _context_dim(parts: State) -> int:
    """Width of the tokens that the resampler gives."""
    projection = parts.get("id_projector.proj_out.weight")
    if projection is None or projection.ndim != 2:
        raise ValueError("The ip-adapter has no image_proj.proj_out.weight; use InstantID's own ip-adapter.")
    return projection.shape[0]


def _compare_sizes(path: Path, known: Mapping[str, KnownFile]) -> None:
    """Say where a file has another size than the published one. It may be a conversion of it, so it is not refused."""
    size = path.stat().st_size
    expected = {file.size for file in known.values()}
    if path.suffix.lower() in PICKLES and size not in expected:
        (file,) = known.values()
        logging.warning(f"{path.name} has {size} bytes; {file.name} as published has {file.size}.")
