"""A branch's network from its tensors: a ControlNet of SDXL's classes, built and wrapped by the host."""

from functools import partial

import comfy.model_detection
import comfy.ops
from comfy.cldm.cldm import ControlNet as ControlNetwork
from comfy.controlnet import ControlNet, load_controlnet_state_dict

from ..attention.masked import cross_attentions
from ..miniature import networks
from ..model import Part, RealisIDModel, State, same_keys

HINT, ZERO = "input_hint_block.0.weight", "zero_convs.0.0.weight"


def branch_part(title: str, hint_channels: int) -> Part:
    """A branch whose hint has so many channels: 3 for a drawing, 1 for a mask."""
    return Part(title, partial(build_branch, hint_channels=hint_channels), ("base", "context_dim"))


def build_branch(name: str, state: State, base: str, context_dim: int, hint_channels: int) -> ControlNet:
    """The host's ControlNet of these tensors. Raises ValueError naming the key that does not fit."""
    if HINT not in state or ZERO not in state or state[HINT].ndim != 4:
        raise ValueError(f"{name}.* is not a ControlNet: it lacks input_hint_block or zero_convs.")
    if state[HINT].shape[1] != hint_channels:
        raise ValueError(f"{name}.input_hint_block takes {state[HINT].shape[1]} channels; expected {hint_channels}.")
    same_keys(name, state, _described_by(name, state, base, hint_channels))
    context = next((value for key, value in state.items() if key.endswith("attn2.to_k.weight")), None)
    if context is None or context.shape[1] != context_dim:
        width = "no context" if context is None else f"context of width {context.shape[1]}"
        raise ValueError(f"{name}.* takes {width}; its config says {context_dim}.")
    if base == "miniature":
        return networks.branch(dict(state))  # the host's loader does not know this architecture
    return load_controlnet_state_dict(dict(state))


def _described_by(name: str, state: State, base: str, hint_channels: int) -> State:
    """The keys and shapes of the ControlNet that these tensors seem to be of, on the meta device."""
    try:
        config = networks.architecture_of(state).branch_config() if base == "miniature" else _detected(state)
        options = {"dtype": None, "device": "meta", "operations": comfy.ops.disable_weight_init}
        return ControlNetwork(**{**config, "hint_channels": hint_channels, **options}).state_dict()
    except Exception as error:  # the host's detection indexes and divides by whatever it finds
        raise ValueError(
            f"{name}.* does not fit the ControlNet it describes: {error or type(error).__name__}"
        ) from error


def _detected(state: State) -> dict:
    config = comfy.model_detection.model_config_from_unet(dict(state), "", True).unet_config
    return {key: value for key, value in config.items() if key != "out_channels"}


def branch_network(name: str, realisid: RealisIDModel, control_net: ControlNet | None, context_dim: int) -> ControlNet:
    """The network of a branch, or `control_net` in its place, which has to read tokens of width `context_dim`.

    Raises:
        ValueError: a checkpoint without it, a ControlNet of another kind.
    """
    if control_net is not None:
        if not isinstance(getattr(control_net, "control_model", None), ControlNetwork):
            raise ValueError(
                f"control_net is a {type(control_net).__name__}; expected an SDXL ControlNet with its own weights. "
                "Disconnect it to use the RealisID model's own branch."
            )
        widths = {block.attn2.to_k.in_features for block in cross_attentions(control_net.control_model)}
        if widths != {context_dim}:
            found = " and ".join(map(str, sorted(widths))) or "none"
            raise ValueError(
                f"control_net reads tokens of width {found}; those of the ID embedding have {context_dim}. Connect an "
                "SDXL ControlNet with cross-attention, or disconnect it."
            )
        return control_net
    own = realisid.parts.get(name)
    if not isinstance(own, ControlNet):
        raise ValueError(
            f"The RealisID model {realisid.name} has no {name} branch. Load a complete checkpoint, "
            "or connect a ControlNet to use in its place."
        )
    return own
