"""What a run is set up with before its first step: precision, accelerate, the checkpoint's config."""

import ctypes
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace

import torch
from torch import nn

from ..config import InstantFamilyConfig, RealisIDConfig
from ..geometry import LATENT_CELL
from .base import Base
from .precision import AUTO, DTYPES, chosen_precision
from .requirements import needed
from .settings import Settings
from .shards import DatasetInfo
from .start import terms_of
from .states import progress_of, states_in

STACK_GRID = {"miniature": 4}  # side of the grid of face tokens; SDXL's is 7
WINDOW_STEP = 8  # latent cells: the UNet halves them twice, and SDXL itself is trained on multiples of eight
FUSED_ON = ("cpu", "cuda")  # where AdamW takes one pass over the weights, without temporary copies of them
MMAP_MAX, TRIM_THRESHOLD = -4, -1  # of glibc's mallopt


def with_precision(settings: Settings) -> tuple[Settings, str]:
    """The settings with "auto" decided, and why in words. A run that is resumed keeps the precision it has."""
    if settings.precision == AUTO and settings.resume and (states := states_in(settings.output)):
        return replace(settings, precision=progress_of(states[-1])["run"]["precision"]), "as the run began"
    available = torch.accelerator.is_available()
    device = torch.accelerator.current_accelerator() if available else torch.device("cpu")
    precision, why = chosen_precision(settings.precision, device)
    return replace(settings, precision=precision), why


def make_accelerator(settings: Settings):
    """accelerate's Accelerator. Raises ImportError where a package is missing, ValueError under DeepSpeed."""
    needed("tensorboard")
    accelerate = needed("accelerate")
    if not torch.accelerator.is_available():
        keep_freed_memory()
    accelerator = accelerate.Accelerator(
        cpu=not torch.accelerator.is_available(),
        mixed_precision=settings.precision,
        gradient_accumulation_steps=settings.accumulate,
        log_with="tensorboard",
        project_dir=str(settings.output),
        kwargs_handlers=[accelerate.DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
    )
    if accelerator.state.deepspeed_plugin is not None:
        raise ValueError(
            "DeepSpeed keeps the weights in half precision and steps by itself, so --ema, --clip-gradient and "
            "--accumulate would have no effect. Choose FSDP in `accelerate config`."
        )
    if settings.ema_on_cpu and accelerator.distributed_type.name == "FSDP":
        raise ValueError("--ema-on-cpu does not go with FSDP, which shares the average out already. Leave it out.")
    return accelerator


def keep_freed_memory() -> None:
    """On Linux, let this process keep large blocks that it frees.

    The C library returns each to the system and asks for it anew in every step of a training on the CPU. The system
    clears it each time, which takes about a twelfth of the step.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, 2**31 - 1)


def make_config(settings: Settings, base: Base, info: DatasetInfo) -> RealisIDConfig:
    """What the checkpoint will say of itself. Raises ValueError where the data were prepared for another base."""
    channels = base.model.latent_format.latent_channels
    if (info.base, info.latent_channels) != (base.name, channels):
        raise ValueError(
            f"The data in {settings.data} were prepared for {info.base} ({info.latent_channels} latent channels); "
            f"the base is {base.name} ({channels}). Prepare them with the same --base."
        )
    family = {}
    if settings.family:
        family = {"stack_grid": STACK_GRID.get(base.name, 7), "family_ids": settings.family, "mask": settings.mask}
    config = (InstantFamilyConfig if family else RealisIDConfig)(
        **family,
        base=base.name,
        context_dim=base.unet_config["context_dim"],
        clip_vision=info.clip_vision,
        clip_tokens=info.clip_tokens,
        clip_width=info.clip_width,
        clip_fingerprint=info.clip_fingerprint,
        local_size=settings.local_size,
        **asdict(info.photo_path),
        outline=settings.outline,
        y_mode=settings.y_mode,
        crop=settings.crop,
        terms=terms_of(settings.start_from),
    )
    config.check()
    return config


def make_optimizer(settings: Settings, learnt: Sequence[nn.Parameter], device: torch.device) -> torch.optim.Optimizer:
    """AdamW, or its 8-bit form (Dettmers et al. 2022). Raises ImportError where bitsandbytes is missing."""
    options = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    if settings.optimizer == "adamw8bit":
        return needed("bitsandbytes").optim.AdamW8bit(learnt, **options)
    return torch.optim.AdamW(learnt, **options, fused=device.type in FUSED_ON)


def checked_window(window: int, info: DatasetInfo) -> int:
    """Raises ValueError for a window that the UNet cannot halve, or that is no part of the data's pictures."""
    side = info.image_size // LATENT_CELL
    if window and (window % WINDOW_STEP or not 0 < window < side):
        raise ValueError(
            f"--window {window} is not possible: the data's latents are {side} cells wide; give a multiple of "
            f"{WINDOW_STEP} below that, or 0 for whole pictures."
        )
    return window


def working_dtype(settings: Settings, device: torch.device) -> torch.dtype:
    """What the frozen UNet is kept in: the precision of the computation; on the CPU float32, which autocast rounds."""
    return DTYPES[settings.precision] if device.type != "cpu" else torch.float32
