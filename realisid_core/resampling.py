"""Crop-and-enlarge and relocation (Eq. 4), exact to the sub-pixel.

A face box at 1/7 of a 1024-pixel image is 4.6 cells wide on the coarsest feature map: rounding it to whole cells would
move features by up to half a cell, 16 image pixels. So both are separable matrix products with fractional edges,
`out = Wy · F · Wxᵀ`, differentiable in F.

Per axis: `n` cells on the full grid, box `[a, b)` in those cells, `m` cells on the local grid, `s = m / (b − a)`.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from einops import rearrange
from torch import Tensor

from .geometry import FaceBox

TIE = 1e-6  # sides of a face box


def crop_matrix(a: float, b: float, n: int, m: int) -> Tensor:
    """m×n: output cell `j` samples bilinearly at `a + (j + ½)/s − ½`, clamped at the frame's edge."""
    at = a + (torch.arange(m, dtype=torch.float64) + 0.5) * (b - a) / m - 0.5
    return _bilinear(at, n)


def relocation_matrix(a: float, b: float, n: int, m: int) -> Tensor:
    """n×m: output cell `i` averages the local cells it covers; where that would enlarge, it samples bilinearly.

    Either way a row sums to the fraction of cell `i` that lies in the box, and rows outside the box are zero.
    """
    s = m / (b - a)
    i = torch.arange(n, dtype=torch.float64)
    if s >= 1:
        left, right = ((i - a) * s)[:, None], ((i + 1 - a) * s)[:, None]
        k = torch.arange(m, dtype=torch.float64)[None]
        return (torch.minimum(right, k + 1) - torch.maximum(left, k)).clamp(min=0) / s
    return _bilinear((i + 0.5 - a) * s - 0.5, m) * axis_coverage(a, b, n)[:, None]


def axis_coverage(a: float, b: float, n: int) -> Tensor:
    """[n]: the fraction of each cell that lies in `[a, b)`."""
    i = torch.arange(n, dtype=torch.float64)
    return ((i + 1).clamp(max=b) - i.clamp(min=a)).clamp(min=0)


def _bilinear(at: Tensor, n: int) -> Tensor:
    """[len(at), n]: the weights of linear interpolation between cell centres, clamped at both ends."""
    at = at.clamp(0, n - 1)
    return (1 - (at[:, None] - torch.arange(n, dtype=torch.float64)[None]).abs()).clamp(min=0)


Kind = Callable[[float, float, int, int], Tensor]
"""`crop_matrix` or `relocation_matrix`."""


@lru_cache(maxsize=256)
def _stacked(
    kind: Kind, spans: tuple[tuple[float, float], ...], n: int, m: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    return torch.stack([kind(a, b, n, m) for a, b in spans]).to(device=device, dtype=dtype)


def _matrices(
    kind: Kind, boxes: Sequence[FaceBox], frame: tuple[float, float], n: tuple[int, int], m: int, like: Tensor
) -> tuple[Tensor, Tensor]:
    height, width = frame
    spans = [box.scaled(width, height) for box in boxes]
    rows = _stacked(kind, tuple((y0, y1) for _, y0, _, y1 in spans), n[0], m, like.device, like.dtype)
    columns = _stacked(kind, tuple((x0, x1) for x0, _, x1, _ in spans), n[1], m, like.device, like.dtype)
    return rearrange(rows, "b i k -> b 1 i k"), rearrange(columns, "b j l -> b 1 l j")


def crop_and_enlarge(x: Tensor, boxes: Sequence[FaceBox], size: int) -> Tensor:
    """`ẑ_t`: the face region of each latent, resampled bilinearly to `size` × `size` (paper, "Local Branch").

    Args:
        x: [B, C, H, W].
        boxes: one for each of the B items.

    Returns:
        [B, C, size, size].
    """
    height, width = x.shape[-2:]
    rows, columns = _matrices(crop_matrix, boxes, (height, width), (height, width), size, x)
    return rows @ x @ columns


def relocate(
    features: Tensor,
    boxes: Sequence[FaceBox],
    height: int,
    width: int,
    frame: tuple[float, float] | None = None,
) -> Tensor:
    """`R(i_t_l, c_loc)`: shrink local features to their boxes and place them in zeros (Eq. 4).

    Args:
        features: [B, C, m, m].
        boxes: one for each of the B items.
        height, width: cells of the grid to place them in.
        frame: the frame's own (height, width) in those cells, where a halved odd side makes it a fraction less.

    Returns:
        [B, C, height, width], zero outside the box.
    """
    rows, columns = _matrices(
        relocation_matrix, boxes, frame or (height, width), (height, width), features.shape[-1], features
    )
    return rows @ features @ columns


def own_regions(boxes: Sequence[FaceBox], height: int, width: int, frame: tuple[float, float] | None = None) -> Tensor:
    """[N, height, width]: 1 in the cells whose nearest face is that of box n, 0 in the others.

    Nearness is the distance from a box's centre in sides of that box, so that a larger person has the larger region.
    Cells as near to several faces are shared out evenly: everywhere the regions add up to 1.

    Args:
        frame: the frame's own (height, width) in those cells, where a halved odd side makes it a fraction less.
    """
    return _of_the_nearest(boxes, height, width, frame, torch.ones(len(boxes), height, width))


def covered_regions(
    boxes: Sequence[FaceBox], height: int, width: int, frame: tuple[float, float] | None = None
) -> Tensor:
    """[N, height, width]: the fraction of each cell that lies in box n; where boxes overlap, the nearest takes it.

    Args:
        frame: as for `own_regions`.
    """
    frame_height, frame_width = frame or (height, width)
    covered: list[Tensor] = []
    for box in boxes:
        x0, y0, x1, y1 = box.scaled(frame_width, frame_height)
        covered.append(axis_coverage(y0, y1, height)[:, None] * axis_coverage(x0, x1, width))
    return _of_the_nearest(boxes, height, width, frame, torch.stack(covered).float())


def _of_the_nearest(
    boxes: Sequence[FaceBox], height: int, width: int, frame: tuple[float, float] | None, covered: Tensor
) -> Tensor:
    """`covered`, [N, height, width], where box n is the nearest of those that cover anything of a cell; else 0."""
    frame_height, frame_width = frame or (height, width)
    corners = torch.tensor([box.scaled(frame_width, frame_height) for box in boxes], dtype=torch.float64)
    x0, y0, x1, y1 = rearrange(corners, "n corner -> corner n 1 1")
    y, x = torch.arange(height)[:, None] + 0.5, torch.arange(width) + 0.5
    distance = torch.hypot((x - (x0 + x1) / 2) / (x1 - x0), (y - (y0 + y1) / 2) / (y1 - y0))
    distance = distance.masked_fill(covered == 0, torch.inf)
    nearest = ((distance <= distance.amin(0) + TIE) & (covered > 0)).float()
    return covered * nearest / nearest.sum(0).clamp(min=1)
