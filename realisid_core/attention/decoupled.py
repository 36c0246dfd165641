"""Keys and values of identities for decoupled cross-attention (IP-Adapter), computed once, before any sampling."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from comfy.ldm.modules.attention import CrossAttention
from torch import Tensor

from .unet_layers import Place

KeysValues = Mapping[Place, tuple[Tensor, Tensor]]
"""For each cross-attention K and V of one identity's tokens, [1, T, C] each."""


@dataclass(frozen=True)
class Identities:
    """K_n and V_n of each person, and of the null identity."""

    persons: Sequence[KeysValues]
    null: KeysValues

    def of(self, place: Place, person: int | None) -> tuple[Tensor, Tensor]:
        """K and V at a place of person number `person`, or of the null identity."""
        return (self.null if person is None else self.persons[person])[place]

    def refuse_other_layers(self, layers: Mapping[Place, CrossAttention]) -> None:
        """Raises ValueError where these are not the keys of a UNet with such cross-attentions."""
        for place, layer in layers.items():
            width = layer.to_k.out_features
            there = self.null[place][0].shape[-1] if place in self.null else None
            if there != width:
                found = "nothing" if there is None else f"width {there}"
                raise ValueError(
                    f"The identity adapter has {found} for the cross-attention {place[0]} {place[1]}.{place[2]}; the "
                    f"model's has width {width}. The adapter is for another architecture: load SDXL or a fine-tune."
                )
