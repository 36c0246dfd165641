"""The moving average of what is trained: torch's `AveragedModel` with a decay that rises."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from .requirements import needed


def averaged_model(module: nn.Module, decay: float, device: torch.device | None = None) -> AveragedModel:
    """A copy of `module` that follows it: after each step call `update_parameters(module)`.

    What does not learn is not copied, but shared with `module`; on another device, `device`, all is copied.

    The decay rises with the steps n as (1 + n) / (10 + n) up to `decay`, so that a short run is not its first weights.
    """

    def follow(averages: Sequence[Tensor], values: Sequence[Tensor], _: Tensor) -> None:
        pairs = zip(map(own_part, averages), map(own_part, values), strict=True)
        learnt = [pair for pair in pairs if pair[0].data_ptr() != pair[1].data_ptr()]
        steps = int(average.n_averaged)  # on the CPU; the argument is on the GPU, and reading it would wait for it
        if learnt:
            averages, values = map(list, zip(*learnt, strict=True))
            torch._foreach_lerp_(averages, values, 1 - min(decay, (1 + steps) / (10 + steps)))

    shared = {} if device else {id(value): value for value in module.parameters() if not value.requires_grad}
    average = AveragedModel(nn.Identity(), multi_avg_fn=follow)
    average.module = copy.deepcopy(module, shared).to(device)
    return average.requires_grad_(False)


def own_part(value: Tensor) -> Tensor:
    """What this process has of a tensor that FSDP shares out; any other tensor is whole."""
    return value.to_local() if hasattr(value, "to_local") else value


def prepared_average(accelerator, average: nn.Module) -> nn.Module:
    """The average as accelerate saves and loads it; under FSDP each process keeps its own part of it."""
    if not accelerator.is_fsdp2:
        return accelerator.prepare_model(average, evaluation_mode=accelerator.distributed_type.name != "FSDP")
    average = needed("accelerate.utils").fsdp2_prepare_model(
        accelerator, average
    )  # `prepare` wants an optimiser with it
    accelerator._models.append(average)
    return average
