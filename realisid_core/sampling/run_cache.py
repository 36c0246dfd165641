"""What a branch computes once a run, not once a step: its hint's features and the keys and values of its ID tokens.

Neither depends on the noise level, yet the host's network computes both at every call. Counted in multiplications, on
SDXL with 257 ID tokens, the hint is 2 % of a pass; keys and values are 3 % at 128² latent cells, 11 % at 64² and 34 %
at 32², and take 42 MB a person in bfloat16.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import comfy.model_management
import torch
from comfy.model_base import BaseModel
from torch import Tensor, nn

from ..attention.masked import cross_attentions

Condition = TypeVar("Condition")
LayerCache = dict[nn.Module, dict[Hashable, Tensor]]
"""What a layer gave for each key."""

HEADROOM = 1.5  # times its own estimate the host wants free before it batches
CACHED_MAPS = 5  # feature maps of full size: a fifth of what a pass of a branch takes at its peak, or less


class RunCache:
    """What is computed once in a run of the sampler.

    Attributes:
        conditions: hints, ID tokens and regions, by what they depend on.
        layers: what the network's layers computed from them.
    """

    def __init__(self) -> None:
        self.conditions: dict[Hashable, Any] = {}
        self.layers: LayerCache = {}

    def once(self, key: Hashable, compute: Callable[[], Condition]) -> Condition:
        """The condition that `key` stands for."""
        if key not in self.conditions:
            self.conditions[key] = compute()
        return self.conditions[key]


def token_projections(network: nn.Module) -> list[nn.Linear]:
    """The layers that make keys and values of the ID tokens."""
    return [layer for block in cross_attentions(network) for layer in (block.attn2.to_k, block.attn2.to_v)]


def layer_budget(
    network: Any, layers: LayerCache, tokens: int, model: BaseModel, unet_batch: Sequence[int], x: Tensor
) -> float:
    """Bytes that `layers` may grow by, where they are free.

    There is room for two identities (a person and the null one, or two persons), and for more where that is little
    beside a pass: memory must not grow with the persons.

    Args:
        tokens: ID tokens of an identity.
        unet_batch: the shape of the UNet's own batch.
        x: what the branch computes on.
    """
    free = free_memory(model, x.device) - model.memory_required(list(unet_batch)) * HEADROOM
    used = sum(value.nbytes for values in layers.values() for value in values.values())
    feature_map = network.model_channels * unet_batch[-2] * unet_batch[-1] * x.element_size()
    features = sum(layer.out_features for layer in token_projections(network))
    identity = tokens * features * x.element_size()
    return min(free, max(2 * (identity + feature_map), CACHED_MAPS * feature_map) - used)


def free_memory(model: BaseModel, device: torch.device) -> float:
    """Bytes that the host would batch into: of newer hosts, what weights under dynamic VRAM would make room for too."""
    ask = getattr(model.current_patcher, "get_free_memory", comfy.model_management.get_free_memory)
    return ask(device)


@contextmanager
def computed_once(
    network: Any, layers: LayerCache, hints: Sequence[Hashable], tokens: Sequence[Hashable], budget: float
) -> Iterator[None]:
    """While it lasts, `network` takes what is in `layers` from there, computes the rest once for each key and adds it.

    Args:
        layers: empty at the start of a run, and the same one for all of its evaluations.
        hints, tokens: a key for each row of the batch; rows of one key have the same hint, or the same ID tokens.
        budget: bytes that `layers` may grow by; what does not fit is computed again at the next evaluation.
    """

    def recall(layer: nn.Module, keys: Sequence[Hashable], stub: Callable[[Tensor], Tensor]) -> list:
        stored = layers.setdefault(layer, {})
        present = dict(stored)

        def compute_new(_, args):
            nonlocal budget
            inputs, *others = args
            for row, key in enumerate(keys):
                if key not in present:
                    present[key] = layer.forward(inputs[row : row + 1], *others)
                    if present[key].nbytes <= budget:
                        budget -= present[key].nbytes
                        stored[key] = present[key]
            return stub(inputs), *others

        def recall_all(*_):
            values = [present[key] for key in keys]
            present.clear()  # so that what is not stored does not outlive the layer
            return torch.cat(values)

        return [layer.register_forward_pre_hook(compute_new), layer.register_forward_hook(recall_all)]

    hooks = recall(network.input_hint_block, hints, lambda hint: hint[:1, :, :8, :8])
    for layer in token_projections(network):
        hooks += recall(layer, tokens, lambda tokens: tokens[:1, :1])
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
