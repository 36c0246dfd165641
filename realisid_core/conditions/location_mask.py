"""The location mask c_loc, the global branch's hint: 1 inside the face box, 0 outside (paper, section 3.1 (3))."""

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor

from ..geometry import FaceBox, FaceBoxes
from ..resampling import axis_coverage

LONGEST_MASK = 4096


def location_mask(boxes: Sequence[FaceBox], height: int, width: int, device=None, dtype=torch.float32) -> Tensor:
    """`c_loc`: [B, 1, height, width], 1 inside the box, 0 outside, the covered fraction where its edge cuts a cell."""
    spans = [box.scaled(width, height) for box in boxes]
    rows = torch.stack([axis_coverage(y0, y1, height) for _, y0, _, y1 in spans]).to(device=device, dtype=dtype)
    columns = torch.stack([axis_coverage(x0, x1, width) for x0, _, x1, _ in spans]).to(device=device, dtype=dtype)
    return rearrange(rows, "b h -> b 1 h 1") * rearrange(columns, "b w -> b 1 1 w")


def union_mask(boxes: FaceBoxes) -> Tensor:
    """`c_loc` of everyone together, as the host's MASK: [1, H, W], of larger pictures 4096 cells on the long edge."""
    scale = min(1.0, LONGEST_MASK / max(boxes.height, boxes.width))
    mask = torch.zeros(1, round(boxes.height * scale), round(boxes.width * scale))
    for box in boxes.boxes:  # one at a time, for the memory
        torch.maximum(mask, location_mask([box], mask.shape[1], mask.shape[2])[0], out=mask)
    return mask
