"""`--dry-run`: what a training will need, counted where it can be counted and measured where it can be measured."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import comfy.model_management
import torch
from torch import Tensor

from .base import load_base
from .data import batches
from .loop import Training
from .precision import say_precision
from .settings import Settings
from .setup import make_accelerator, make_config, with_precision, working_dtype
from .shards import DatasetInfo
from .trainee import GLOBAL_HINT, LOCAL_HINT, branch_network, new_projector

GIB = 2**30
FLOAT32 = 4


def dry_run(settings: Settings) -> str:
    """Parameters, memory and time in words. A few real steps are run where the memory for them is there."""
    settings, why = with_precision(settings)
    accelerator = make_accelerator(settings)
    dtype = working_dtype(settings, accelerator.device)
    base = load_base(settings.base, dtype)
    config = make_config(settings, base, DatasetInfo.read(settings.data))
    unet = count(base.model.diffusion_model)
    local, global_ = (count(branch_network(base, hint, "meta")) for hint in (LOCAL_HINT, GLOBAL_HINT))
    trained = local + global_ + count(new_projector(config))
    memory = {
        f"frozen UNet ({str(dtype).removeprefix('torch.')})": unet * dtype.itemsize,
        "branches and projector (float32)": trained * FLOAT32,
        "gradients": trained * FLOAT32,
        "AdamW": 2 * trained * FLOAT32,
        "moving average": trained * FLOAT32 * bool(settings.ema),
    }
    lines = [
        say_precision(settings.precision, why),
        f"Parameters: UNet {unet / 1e6:,.1f} M (frozen), local branch {local / 1e6:,.1f} M, global branch "
        f"{global_ / 1e6:,.1f} M, ID projector {(trained - local - global_) / 1e6:,.2f} M.",
        "Memory of a process, unless accelerate shards it:",
    ]
    free = comfy.model_management.get_free_memory(accelerator.device)
    fits = sum(memory.values()) < free
    measured = None
    if fits:
        try:
            measured = Measured(Training(settings, accelerator, base))
            memory[f"activations, batch of {settings.batch_size} (measured)"] = measured.activations
        except torch.OutOfMemoryError:
            fits = False
    lines += [f"  {size / GIB:8.2f} GiB  {name}" for name, size in memory.items() if size]
    needed = sum(memory.values())
    lines.append(f"  {needed / GIB:8.2f} GiB  in all; {free / GIB:.2f} GiB are free on {accelerator.device}.")
    if measured is None:
        lines.append("Time: not measured: it does not fit. Shard it, or use --recompute and a smaller --batch-size.")
    else:
        samples = settings.batch_size * settings.accumulate * accelerator.num_processes
        lines.append(
            f"Time: {measured.seconds:.2f} s a step of {samples} samples ({samples / measured.seconds:.1f} samples/s, "
            f"measured); {settings.steps} steps take {measured.seconds * settings.steps / 3600:.1f} hours."
        )
    return "\n".join(lines)


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


class Measured:
    """A few real steps: `activations`, the bytes that one forward pass keeps for its backward pass, and `seconds`."""

    def __init__(self, training: Training, steps: int = 2):
        stream = batches(training.data, training.share(), 0, pin=False)
        kept: dict[int, int] = {}
        batch = next(stream)
        with counting_saved(kept, training.trainee):
            training.loss(training.trainee, batch)
        self.activations = sum(kept.values())
        training.step(stream)  # the first one allocates what later ones reuse
        start = time.perf_counter()
        for _ in range(steps):
            training.step(stream).item()
        self.seconds = (time.perf_counter() - start) / steps


@contextmanager
def counting_saved(kept: dict[int, int], module: torch.nn.Module) -> Iterator[None]:
    """Fills `kept`, {storage: bytes}, with what autograd saves inside, the module's own parameters aside."""
    own = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield
