"""The moving average of what is trained: torch's `AveragedModel` with a decay that rises."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def averaged_model(module: nn.Module, decay: float) -> AveragedModel:
    """A copy of `module` that follows it: after each step call `update_parameters(module)`.

    The decay rises with the steps n as (1 + n) / (10 + n) up to `decay`, so that a short run is not its first weights.
    """

    def follow(averages: Sequence[Tensor], values: Sequence[Tensor], _: Tensor) -> None:
        steps = int(average.n_averaged)  # on the CPU; the argument is on the GPU, and reading it would wait for it
        torch._foreach_lerp_(averages, values, 1 - min(decay, (1 + steps) / (10 + steps)))

    average = AveragedModel(module, multi_avg_fn=follow)
    return average.requires_grad_(False)
