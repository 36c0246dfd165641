"""`--dry-run`: what a training will need, counted where it can be counted and measured where it can be measured."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import comfy.model_management
import torch
from torch import Tensor, nn

from ..config import RealisIDConfig
from .base import Base, load_base
from .data import batches
from .learning import learn_only
from .loop import Training
from .precision import say_precision
from .settings import Settings
from .setup import FUSED_ON, make_accelerator, make_config, with_precision, working_dtype
from .shards import DatasetInfo
from .states import STATES_KEPT
from .trainee import GLOBAL_HINT, LOCAL_HINT, branch_network, new_projector

GIB = 2**30
FLOAT32, FLOAT16 = 4, 2


def dry_run(settings: Settings) -> str:
    """Parameters, memory, disk and time in words. A few real steps are run where the memory for them is there."""
    settings, why = with_precision(settings)
    accelerator = make_accelerator(settings)
    device = accelerator.device
    base = load_base(settings.base, working_dtype(settings, device))
    config = make_config(settings, base, DatasetInfo.read(settings.data))
    size = sizes(settings, base, config, device)
    memory = training_memory(settings, base, size, device)
    free = comfy.model_management.get_free_memory(device)
    measured = None
    if sum(memory.values()) < free:
        try:
            measured = Measured(Training(settings, accelerator, base))
            memory[f"activations, batch of {settings.batch_size} (measured)"] = measured.activations
        except torch.OutOfMemoryError:
            pass
    lines = [
        say_precision(settings.precision, why),
        f"Parameters: UNet {count(base.model.diffusion_model) / 1e6:,.1f} M (frozen), "
        + ", ".join(f"{name} {number / 1e6:,.1f} M" for name, number in size.parts.items())
        + f"; {size.learnt / 1e6:,.1f} M learn ({settings.train}).",
        "Memory of a process, unless accelerate shards it:",
        *(f"  {size / GIB:8.2f} GiB  {name}" for name, size in memory.items() if size),
        f"  {sum(memory.values()) / GIB:8.2f} GiB  in all; {free / GIB:.2f} GiB are free on {device}.",
        *_more_for_samples(settings, base, sum(size.parts.values())),
    ]
    if measured and measured.peak:
        lines.append(f"  {measured.peak / GIB:8.2f} GiB  was the most that was taken in the steps measured.")
    lines.append(_disk(settings, size))
    lines.append(_time(settings, measured, accelerator.num_processes))
    return "\n".join(lines)


@dataclass(frozen=True)
class Sizes:
    """Of what is trained: parameters by part, how many of them learn, bytes of those that do not."""

    parts: dict[str, int]
    learnt: int
    frozen: int


def sizes(settings: Settings, base: Base, config: RealisIDConfig, device: torch.device) -> Sizes:
    """Counted on networks without memory of their own."""
    branches = {"local branch": LOCAL_HINT, "global branch": GLOBAL_HINT}
    networks: dict[str, nn.Module] = {name: branch_network(base, hint, "meta") for name, hint in branches.items()}
    networks["ID projector"] = new_projector(config)
    parts = {name: count(network) for name, network in networks.items()}
    for name in branches:
        learn_only(networks[name], settings.train, working_dtype(settings, device))
    values = [value for network in networks.values() for value in network.parameters()]
    learnt = sum(value.numel() for value in values if value.requires_grad)
    return Sizes(parts, learnt, sum(value.nbytes for value in values if not value.requires_grad))


def training_memory(settings: Settings, base: Base, size: Sizes, device: torch.device) -> dict[str, int]:
    """Bytes by name, without activations; what is on the CPU beside a GPU is not counted.

    The gradients are what processes exchange (`gradient_as_bucket_view`), so there is no second copy of them.
    """
    dtype, trained = working_dtype(settings, device), size.learnt
    text = base.clip.patcher if base.clip else None
    return {
        f"frozen UNet ({str(dtype).removeprefix('torch.')})": count(base.model.diffusion_model) * dtype.itemsize,
        "what learns of branches and projector (float32)": trained * FLOAT32,
        "what does not learn of them": size.frozen,
        "gradients": trained * FLOAT32,
        "AdamW": 2 * trained * (1 if settings.optimizer == "adamw8bit" else FLOAT32),
        "AdamW's temporary copies": trained * FLOAT32 * (device.type not in FUSED_ON),
        "moving average": trained * FLOAT32 * bool(settings.ema and not (settings.ema_on_cpu and device.type != "cpu")),
        "text encoders": held(text.model) if text and text.load_device.type == device.type else 0,
    }


def _more_for_samples(settings: Settings, base: Base, trained: int) -> list[str]:
    if not settings.sample_every:
        return []
    more = trained * FLOAT16 + (held(base.vae.first_stage_model) if base.vae else 0)
    return [f"  {more / GIB:8.2f} GiB  more while a sample grid is drawn, by the branches in float16 and the VAE."]


def _disk(settings: Settings, size: Sizes) -> str:
    moments = 2 * (1 if settings.optimizer == "adamw8bit" else FLOAT32)
    state = size.learnt * (FLOAT32 * (1 + bool(settings.ema)) + moments) + size.frozen * (1 + bool(settings.ema))
    whole = (STATES_KEPT + 1) * state + 2 * sum(size.parts.values()) * FLOAT16  # another of each while it is written
    place = next(path for path in (settings.output, *settings.output.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(place).free
    return (
        f"Disk: {state / GIB:.2f} GiB a state; {whole / GIB:.2f} GiB for {STATES_KEPT} states, the next one and the "
        f"checkpoint. {free / GIB:.2f} GiB are free."
    )


def _time(settings: Settings, measured: "Measured | None", processes: int) -> str:
    if measured is None:
        return "Time: not measured: it does not fit. Shard it, or use --recompute and a smaller --batch-size."
    samples = settings.batch_size * settings.accumulate * processes
    return (
        f"Time: {measured.seconds:.2f} s a step of {samples} samples ({samples / measured.seconds:.1f} samples/s, "
        f"measured); {settings.steps} steps take {measured.seconds * settings.steps / 3600:.1f} hours."
    )


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def held(module: nn.Module) -> int:
    """Bytes of the module's parameters as they are."""
    return sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())


class Measured:
    """A few real steps.

    Attributes:
        activations: bytes that one forward pass keeps for its backward pass.
        peak: bytes that were taken at the most; 0 where the device does not say.
        seconds: of a step.
    """

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
        self.peak = torch.cuda.max_memory_allocated() if training.device.type == "cuda" else 0


@contextmanager
def counting_saved(kept: dict[int, int], module: nn.Module) -> Iterator[None]:
    """Fills `kept`, {storage: bytes}, with what autograd saves inside, the module's own parameters aside."""
    own = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield
