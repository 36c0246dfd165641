"""Adapters for cross-attention to identities: their layers, and what they make of each person, once.

Decoupled (IP-Adapter), with layers `to_k_ip` and `to_v_ip`; `stacked` has the other way, with `to_k` and `to_v`:

    Σ_n m_n ⊙ softmax(q K_nᵀ/√d) V_n,    K_n = W_k p_n,  V_n = W_v p_n

K_n and V_n depend on the identity alone, so they are computed before any sampling. The layers, 0.68 GB in half
precision for SDXL, are not needed beside the UNet; what is kept is 5.3 MB a person.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import comfy.model_management
import comfy.ops
import torch
from comfy.ldm.modules.attention import CrossAttention
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ..host import core_patcher
from ..model import Part, State, same_keys
from .unet_layers import Place

DECOUPLED = "to_k_ip", "to_v_ip"  # layers whose attention stands beside the text's (IP-Adapter, InstantID)
STACKED = "to_k", "to_v"  # layers whose tokens stand in the text's own softmax (InstantFamily)

KeysValues = Mapping[Place, tuple[Tensor, Tensor]]
"""For each cross-attention K and V of one identity's tokens, [1, T, C] each."""


class IdentityAdapter(nn.Module):
    """One pair of layers for each cross-attention of a UNet, in the order down, up, middle, keyed 1, 3, 5, ….

    Args:
        widths: C of each cross-attention, in that order.
        names: of the two layers of a pair, `DECOUPLED` or `STACKED`.
    """

    def __init__(
        self,
        widths: Sequence[int],
        context_dim: int,
        operations=comfy.ops.manual_cast,
        names: tuple[str, str] = DECOUPLED,
        **options,
    ):
        super().__init__()
        self.names = names
        self.layers = nn.ModuleDict()
        for number, width in enumerate(widths):
            pair = {name: operations.Linear(context_dim, width, bias=False, **options) for name in names}
            self.layers[str(2 * number + 1)] = nn.ModuleDict(pair)

    @property
    def pairs(self) -> list[Any]:
        """Each cross-attention's two layers, by their names."""
        return list(self.layers.values())

    def start_from(self, layers: Iterable[CrossAttention]) -> None:
        """Begin as copies of the cross-attentions' own projections, in the adapter's order."""
        to_k, to_v = self.names
        for pair, layer in zip(self.pairs, layers, strict=True):
            pair[to_k].weight.data.copy_(layer.to_k.weight)
            pair[to_v].weight.data.copy_(layer.to_v.weight)

    @property
    def widths(self) -> list[int]:
        return [pair[self.names[0]].out_features for pair in self.pairs]

    def forward(self, tokens: Tensor) -> list[tuple[Tensor, Tensor]]:
        """K and V of [B, T, context_dim] for each cross-attention."""
        to_k, to_v = self.names
        return [(pair[to_k](tokens), pair[to_v](tokens)) for pair in self.pairs]


def build_adapter(name: str, state: State, context_dim: int, names: tuple[str, str] = DECOUPLED) -> ModelPatcher:
    """The adapter of these tensors. Raises ValueError naming the key that does not fit."""
    key = f"1.{names[0]}.weight"
    if key not in state or state[key].ndim != 2:
        raise ValueError(f"{name}.* is not an identity adapter: it lacks {key}.")
    if state[key].shape[1] != context_dim:
        kind = " (SD1.5's)" if state[key].shape[1] == 768 else ""
        raise ValueError(
            f"{name}.* is made for context {state[key].shape[1]}{kind}; its image_proj gives {context_dim}. Use "
            "InstantID's own ip-adapter, for SDXL."
        )
    widths = []
    while (key := f"{2 * len(widths) + 1}.{names[0]}.weight") in state:
        widths.append(state[key].shape[0])
    described = IdentityAdapter(widths, context_dim, names=names, device="meta").layers.state_dict()
    same_keys(name, state, described)
    load_device = comfy.model_management.get_torch_device()
    offload_device = comfy.model_management.unet_offload_device()
    dtype = torch.float32 if comfy.model_management.is_device_cpu(load_device) else torch.float16
    adapter = IdentityAdapter(widths, context_dim, names=names, device=offload_device, dtype=dtype)
    adapter.layers.load_state_dict(dict(state))
    return core_patcher(adapter.eval(), load_device, offload_device)


ADAPTER = Part("identity adapter", build_adapter, ("context_dim",))
STACKED_ADAPTER = Part("stacked adapter", partial(build_adapter, names=STACKED), ("context_dim",))


@dataclass(frozen=True)
class Identities:
    """K_n and V_n of each person, None for a person without an identity, and those of the null identity.

    Attributes:
        stacked: whether they are read in one softmax with the text.
    """

    persons: Sequence[KeysValues | None]
    null: KeysValues
    stacked: bool = False

    @property
    def known(self) -> list[int]:
        """The numbers of the persons with an identity."""
        return [number for number, person in enumerate(self.persons) if person is not None]

    def of(self, place: Place, person: int | None) -> tuple[Tensor, Tensor]:
        """K and V at a place of person number `person`, who has an identity, or of the null one."""
        known = self.null if person is None else self.persons[person]
        assert known is not None
        return known[place]

    def refuse_other_layers(self, layers: Mapping[Place, CrossAttention]) -> None:
        """Raises ValueError where these are not for a UNet with such cross-attentions."""
        for place, layer in layers.items():
            width = layer.to_k.out_features
            there = self.null[place][0].shape[-1] if place in self.null else None
            if there != width:
                found = "nothing" if there is None else f"width {there}"
                raise ValueError(
                    f"The identity adapter has {found} for the cross-attention {place[0]} {place[1]}.{place[2]}; the "
                    f"model's has width {width}. The adapter is for another architecture: load SDXL or a fine-tune."
                )


def read_identities(
    adapter: ModelPatcher, places: Iterable[Place], tokens: Sequence[Tensor | None], null: Tensor
) -> Identities:
    """What an adapter makes of everyone's ID embedding, [1, T, context_dim] each; None for who has none.

    Args:
        places: of the UNet's cross-attentions, in the adapter's order.
    """
    comfy.model_management.load_models_gpu([adapter])
    places = list(places)
    keep = comfy.model_management.intermediate_device()

    def read(identity: Tensor) -> KeysValues:
        dtype = next(adapter.model.parameters()).dtype
        with torch.no_grad():
            made = adapter.model(identity.to(adapter.load_device, dtype))
        return {place: (k.to(keep), v.to(keep)) for place, (k, v) in zip(places, made, strict=False)}

    persons = [None if own is None else read(own) for own in tokens]
    return Identities(persons, read(null), adapter.model.names == STACKED)
