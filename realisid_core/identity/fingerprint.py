"""Telling networks apart by their weights."""

import hashlib
import math

import torch
from torch import nn

NUMBERS = 16
LONGEST = 400  # characters of a fingerprint
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
    """Whether two fingerprints are of the same weights, rounding aside."""
    left, right = (torch.tensor([float(number) for number in written.split()]) for written in (a, b))
    return bool((left - right).norm() <= TOLERANCE * left.norm())


def is_fingerprint(written: object) -> bool:
    """Whether this is a fingerprint as `fingerprint` writes it."""
    if not isinstance(written, str) or len(written) > LONGEST:
        return False
    try:
        values = [float(number) for number in written.split()]
    except ValueError:
        return False
    return len(values) == NUMBERS and all(map(math.isfinite, values))
