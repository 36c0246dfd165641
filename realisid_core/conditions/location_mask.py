"""The location mask c_loc, the global branch's hint: 1 inside the face box, 0 outside (paper, section 3.1 (3))."""

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor

from ..geometry import FaceBox, FaceBoxes
from ..resampling import axis_coverage


def location_mask(boxes: Sequence[FaceBox], height: int, width: int, device=None, dtype=torch.float32) -> Tensor:
    """`c_loc`: [B, 1, height, width], 1 inside the box, 0 outside, the covered fraction where its edge cuts a cell."""
    spans = [box.scaled(width, height) for box in boxes]
    rows = torch.stack([axis_coverage(y0, y1, height) for _, y0, _, y1 in spans]).to(device=device, dtype=dtype)
    columns = torch.stack([axis_coverage(x0, x1, width) for x0, _, x1, _ in spans]).to(device=device, dtype=dtype)
    return rearrange(rows, "b h -> b 1 h 1") * rearrange(columns, "b w -> b 1 1 w")


def union_mask(boxes: FaceBoxes) -> Tensor:
    """`c_loc` of everyone together, as the host's MASK: [1, H, W]."""
    if not boxes.boxes:
        return torch.zeros(1, boxes.height, boxes.width)
    masks = location_mask(boxes.boxes, boxes.height, boxes.width)
    return rearrange(masks, "b 1 h w -> b h w").amax(dim=0, keepdim=True)
