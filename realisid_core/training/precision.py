"""Which precision a training computes in: bf16 only where the processor gains by it.

A CPU without bf16 instructions computes in bf16 all the same, by conversions: a step then takes over ten times as long
as in float32. What a machine has is asked of the machine, by one small convolution in both precisions.
"""

import time
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

AUTO = "auto"
DTYPES = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PAYS = 1.2  # of float32's time; a processor with bf16 takes 0.4 to 0.8 (busy ones more), one without 2 to 20
REPEATS = 5


def chosen_precision(asked: str, device: torch.device) -> tuple[str, str]:
    """("no", "bf16" or "fp16"; why, in words) for a `--precision` of "auto" or one of the three.

    Raises:
        ValueError: no such precision.
    """
    if asked != AUTO:
        if asked not in DTYPES:
            raise ValueError(f"The precision is {asked!r}; give one of {', '.join((AUTO, *DTYPES))}.")
        return asked, "as given"
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16", "this GPU computes in bf16"
        return "fp16", "this GPU has no bf16"
    share = bf16_time(device)
    found = f"in bf16 a convolution takes {share:.2f} of its time in float32 on this {device.type}"
    return ("bf16" if share <= PAYS else "no"), found


def bf16_time(device: torch.device) -> float:
    """What a convolution with its backward pass takes in bf16, as a share of its time in float32; inf: not possible.

    On a CPU one thread's own time is taken, so that other work on the machine does not count.
    """
    shapes = (4, 64, 24, 24), (64, 64, 3, 3)
    image, kernel = (torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device) for shape in shapes)
    taken: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(REPEATS):
            for dtype, seconds in taken.items():
                seconds.append(_seconds(image.to(dtype), kernel.to(dtype)))
    except RuntimeError:
        return float("inf")
    finally:
        torch.set_num_threads(threads)
    return min(taken[torch.bfloat16]) / min(taken[torch.float32])


def _seconds(image: Tensor, kernel: Tensor) -> float:
    clock = time.thread_time if image.device.type == "cpu" else time.perf_counter
    kernel.requires_grad_()
    start = clock()
    (gradient,) = torch.autograd.grad(F.conv2d(image, kernel, padding=1).square().mean(), kernel)
    gradient[0, 0, 0, 0].item()  # waits for an accelerator
    return clock() - start


def autocast(precision: str, device: torch.device) -> AbstractContextManager:
    """The forward pass's rounding in this precision, for trainings without accelerate."""
    return nullcontext() if precision == "no" else torch.autocast(device.type, DTYPES[precision])


def say_precision(precision: str, why: str) -> str:
    """One line for the log."""
    return f"Precision: {'float32' if precision == 'no' else precision} ({why})."
