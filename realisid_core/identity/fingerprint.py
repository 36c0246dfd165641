"""Telling networks apart by their weights."""

import hashlib

import torch
from torch import Tensor, nn

NUMBERS = 16
TOLERANCE = 0.05  # relative; rounding to 8 bits of float stays below it, and other weights differ by more than 1


def digest(module: nn.Module) -> str:
    """A hash of a small network's weights: 16 hexadecimal digits, equal exactly if all weights are."""
    found = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        found.update(name.encode())
        found.update(value.detach().float().cpu().numpy().tobytes())
    return found.hexdigest()[:16]


def fingerprint(module: nn.Module) -> str:
    """Sixteen numbers that tell a large network's weights from others', whatever precision they are held in.

    One value of each matrix, in the order of their names, summed into sixteen. Written as text, for a config.
    """
    matrices = [value for _, value in sorted(module.state_dict().items()) if value.ndim >= 2]
    if not matrices:
        return ""
    middle = torch.stack([value.detach().flatten()[value.numel() // 2].float().cpu() for value in matrices])
    sums = torch.zeros(NUMBERS).index_add_(0, torch.arange(len(middle)) % NUMBERS, middle)
    return " ".join(f"{value:.5g}" for value in sums.tolist())


def same_fingerprint(a: str, b: str) -> bool:
    """Whether two fingerprints are of the same weights, rounding aside. Raises ValueError where one is none."""
    left, right = _numbers(a), _numbers(b)
    return bool((left - right).norm() <= TOLERANCE * left.norm())


def _numbers(written: str) -> Tensor:
    values = torch.tensor([float(value) for value in written.split()])
    if values.shape != (NUMBERS,) or not torch.isfinite(values).all():
        raise ValueError(f"clip_fingerprint {written[:40]!r} is not one: expected {NUMBERS} numbers.")
    return values
