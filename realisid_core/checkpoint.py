"""One .safetensors holds a trained RealisID: `local.*`, `global.*`, `id_projector.*` and its JSON config.

The branches' keys are the host's ControlNet layout, and the host's own loader builds the networks, so that whatever it
does with memory applies to them. A part may be absent: an ablation, or someone's own ControlNet in its place.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import comfy.model_management
import torch
from comfy.controlnet import ControlNet, load_controlnet_state_dict
from comfy.model_patcher import ModelPatcher
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .identity.clip_projector import IDProjector, null_identity, projector_of

METADATA_KEY = "realisid"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class RealisIDConfig:
    """What a checkpoint was trained for; every field changes what its branches expect.

    Attributes:
        base: architecture of the UNet, "sdxl" or "miniature".
        context_dim: width of the ID embedding's tokens.
        clip_vision: the image encoder, in words; `clip_tokens` and `clip_width` are its penultimate layer's shape.
        local_size: side of the enlarged face region, in latent cells.
        keep: what the face parser keeps of the crop that CLIP sees.
        outline: whether the pose-expression image shows the face's outline.
        y_mode: the branches' vector conditioning: "sizes" (pooled part zero) or "prompt" (the prompt's own).
        crop: False where the local branch works on the whole latent, landmarks drawn in place (the ablation).
        format_version: of this file's layout.
    """

    base: str = "sdxl"
    context_dim: int = 2048
    clip_vision: str = "CLIP-ViT-H-14"
    clip_tokens: int = 257
    clip_width: int = 1280
    local_size: int = 64
    keep: str = "face and hair"
    outline: bool = False
    y_mode: str = "sizes"
    crop: bool = True
    format_version: int = FORMAT_VERSION

    def differences(self, expected: "RealisIDConfig") -> str:
        """What is not as expected, in words: "crop True (here False)"; empty where all is."""
        theirs, mine = asdict(self), asdict(expected)
        return ", ".join(f"{key} {theirs[key]} (here {mine[key]})" for key in mine if mine[key] != theirs[key])


@dataclass(frozen=True)
class RealisIDModel:
    """A loaded checkpoint.

    Attributes:
        local, global_: the branches as the host's ControlNets; None where the file has none.
        projector: the IDProjector, wrapped for the host's memory management; None where the file has none.
    """

    config: RealisIDConfig
    local: ControlNet | None
    global_: ControlNet | None
    projector: ModelPatcher | None
    name: str = ""

    def null_identity(self) -> Tensor:
        """[1, T, context_dim]: what "without ID embedding" means. Raises ValueError where the file has no projector."""
        return null_identity(projector_of(self), self.config.clip_tokens)

    def describe(self) -> str:
        """Its name, its base, and how many million parameters each part has."""
        parts = [
            f"{name} {sum(p.numel() for p in part.parameters()) / 1e6:.1f} M"
            for name, part in (
                ("local branch", self.local and self.local.control_model),
                ("global branch", self.global_ and self.global_.control_model),
                ("ID projector", self.projector and self.projector.model),
            )
            if part is not None
        ]
        return f"{self.name or 'RealisID'} for {self.config.base}: " + ", ".join(parts)


def save_checkpoint(
    path: str | Path,
    config: RealisIDConfig,
    local: Mapping[str, Tensor] | None,
    global_: Mapping[str, Tensor] | None,
    projector: Mapping[str, Tensor] | None,
) -> None:
    """Write a checkpoint; whole or not at all. State dicts that are None are left out."""
    path = Path(path)
    state = {
        f"{part}.{key}": value.contiguous()
        for part, values in (("local", local), ("global", global_), ("id_projector", projector))
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
            format, a missing or foreign key, a wrong shape.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise ValueError(
            f"{path.name} cannot be read as .safetensors ({error}); it may be cut short. Download it again."
        ) from error
    try:
        return build(_config(metadata, state), state, path.stem)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def build(config: RealisIDConfig, state: Mapping[str, Tensor], name: str) -> RealisIDModel:
    """The networks of a checkpoint's tensors. Raises ValueError naming the first key or shape that does not fit."""
    parts: dict[str, dict[str, Tensor]] = {"local": {}, "global": {}, "id_projector": {}}
    for key, value in state.items():
        part, _, rest = key.partition(".")
        if part not in parts:
            raise ValueError(f'key "{key}" is not part of a RealisID checkpoint (local.*, global.*, id_projector.*).')
        parts[part][rest] = value
    return RealisIDModel(
        config,
        _branch("local", parts["local"], config, hint_channels=3),
        _branch("global", parts["global"], config, hint_channels=1),
        _projector(parts["id_projector"], config),
        name,
    )


def _config(metadata: Mapping[str, str], state: Mapping[str, Tensor]) -> RealisIDConfig:
    if METADATA_KEY not in metadata:
        found = ", ".join(list(state)[:3]) or "no tensors"
        raise ValueError(f"this is not a RealisID checkpoint: it has no RealisID config; it holds {found}, …")
    values = json.loads(metadata[METADATA_KEY])
    version = values.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(f"format version {version} was found; this pack reads version {FORMAT_VERSION}. Update it.")
    known = {field.name for field in fields(RealisIDConfig)}
    if unknown := set(values) - known:
        raise ValueError(f"its config has fields this pack does not know: {', '.join(sorted(unknown))}. Update it.")
    return RealisIDConfig(**values)


def _branch(part: str, state: dict[str, Tensor], config: RealisIDConfig, hint_channels: int) -> ControlNet | None:
    if not state:
        return None
    hint = state.get("input_hint_block.0.weight")
    if hint is None or "zero_convs.0.0.weight" not in state:
        raise ValueError(f"{part}.* is not a ControlNet: it lacks input_hint_block or zero_convs.")
    if hint.shape[1] != hint_channels:
        raise ValueError(f"{part}.input_hint_block takes {hint.shape[1]} channels; expected {hint_channels}.")
    try:
        control = _controlnet(config.base)(dict(state))
    except (RuntimeError, KeyError) as error:
        raise ValueError(f"{part}.* does not fit the ControlNet it describes: {error}") from error
    expected = control.control_model.state_dict()
    _same_keys(part, state, expected)
    context = next(value for key, value in state.items() if key.endswith("attn2.to_k.weight"))
    if context.shape[1] != config.context_dim:
        raise ValueError(f"{part}.* takes context of width {context.shape[1]}; its config says {config.context_dim}.")
    return control


def _controlnet(base: str) -> Callable[[dict[str, Tensor]], ControlNet]:
    """What builds a branch for a base model: the host's own loader, but for the miniature, which it does not know."""
    if base != "miniature":
        return load_controlnet_state_dict
    from .miniature.networks import branch

    return branch


def _projector(state: dict[str, Tensor], config: RealisIDConfig) -> ModelPatcher | None:
    if not state:
        return None
    load_device = comfy.model_management.get_torch_device()
    offload_device = comfy.model_management.unet_offload_device()
    projector = IDProjector(config.clip_width, config.context_dim, device=offload_device, dtype=torch.float32)
    _same_keys("id_projector", state, projector.state_dict())
    projector.load_state_dict(state)
    return ModelPatcher(projector.eval(), load_device=load_device, offload_device=offload_device)


def _same_keys(part: str, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    for key in expected:
        if key not in state:
            raise ValueError(f"{part}.{key} is missing; expected shape {tuple(expected[key].shape)}.")
    for key, value in state.items():
        if key not in expected:
            raise ValueError(f"{part}.{key} has no place in a {part} of this architecture.")
        if value.shape != expected[key].shape:
            raise ValueError(f"{part}.{key} has shape {tuple(value.shape)}; expected {tuple(expected[key].shape)}.")
