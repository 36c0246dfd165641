"""Two networks that recognise the second world's people by their faces alone.

`judge` only measures: nothing is trained with it, and no setting is chosen by it on held-out people. `trainer` only
trains (Diff-PC's ID loss, the autoencoder's perceptual term). They differ in shape and in the people they learnt from.
Both see the face box without a margin, so hair hardly shows; `judges_training` made them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from realisid_core.geometry import square
from realisid_core.perception import crop_square

from ..world.canonical_face import INNER_LIPS, LEFT_EYE, OUTER_LIPS, OVAL, RIGHT_EYE

CROP = 112  # px; faces of any size are brought to this
WIDTH, HIDDEN = 128, 256
FINE, LOOKS = 48, 12  # channels of the map that points are found in, and of what is read at each of them
BROWS = (46, 53, 52, 65, 55, 70, 63, 105, 66, 107, 276, 283, 282, 295, 285, 300, 293, 334, 296, 336)
NOSE = (1, 2, 4, 5, 6, 19, 48, 64, 94, 97, 98, 115, 168, 195, 197, 278, 294, 326, 327, 344)
POINTS = (*OVAL, *RIGHT_EYE, *LEFT_EYE, *OUTER_LIPS, *INNER_LIPS, *BROWS, *NOSE)  # MediaPipe's numbers


@dataclass(frozen=True)
class Shape:
    """`stages`: channels and convolutions; each halves the picture. `residual`: convolutions after a stage's first
    are added to their input. `squeezed`: channels that are laid out, place by place, for the embedding."""

    stages: tuple[tuple[int, int], ...]
    residual: bool
    squeezed: int


SHAPES = {
    "judge": Shape(((16, 1), (32, 2), (64, 2), (128, 2)), False, 32),
    "trainer": Shape(((24, 1), (32, 1), (56, 3), (112, 3)), True, 24),
}


class FaceRecogniser(nn.Module):
    """`[N, 3, 112, 112]` in 0..1 to unit vectors `[N, 128]`; their dot product is the identity similarity.

    A face's measures are places. So the network first finds `POINTS`, each the mean place under a heat map of its own.
    The vector is made from these places, from what is seen at each, and from the last map, 7 × 7, laid out instead of
    averaged. The heat has a quarter of the crop's resolution and knows the coarser maps (Lin et al. 2017).
    """

    def __init__(self, shape: Shape):
        super().__init__()
        self.blocks, self.residual = nn.ModuleList(), []
        width = 3
        for channels, count in shape.stages:
            for index in range(count):
                stride = 2 if index == 0 else 1
                self.blocks.append(_convolution(width, channels, 3, stride))
                self.residual.append(shape.residual and index > 0)
                width = channels
        self.squeeze = _convolution(width, shape.squeezed, 1)
        self.lateral = nn.ModuleList(nn.Conv2d(channels, FINE, 1) for channels, _ in shape.stages[1:])
        self.merge = nn.ModuleList(_convolution(FINE, FINE, 3) for _ in shape.stages[2:])
        self.heat, self.looks = nn.Conv2d(FINE, len(POINTS), 1), nn.Conv2d(FINE, LOOKS, 1)
        self.geometry = nn.Sequential(
            nn.BatchNorm1d((2 + LOOKS) * len(POINTS), affine=False),
            nn.Linear((2 + LOOKS) * len(POINTS), HIDDEN, bias=False),
            nn.BatchNorm1d(HIDDEN),
            nn.ReLU(inplace=True),
        )
        laid_out = shape.squeezed * (CROP >> len(shape.stages)) ** 2
        self.embedding = nn.Sequential(
            nn.Linear(laid_out + HIDDEN, HIDDEN, bias=False),
            nn.BatchNorm1d(HIDDEN),
            nn.ReLU(inplace=True),
            nn.Linear(HIDDEN, WIDTH, bias=False),
            nn.BatchNorm1d(WIDTH, affine=False),
        )

    def maps(self, crops: Tensor) -> list[Tensor]:
        """What each stage ends with, largest first."""
        x, maps = crops * 2 - 1, []
        for block, residual in zip(self.blocks, self.residual, strict=True):
            if block[0].stride[0] == 2:
                maps.append(x)
            x = block(x) + x if residual else block(x)
        return [*maps[1:], x]

    def fine(self, maps: list[Tensor]) -> Tensor:
        """[N, FINE, 28, 28]: the maps from the second on, the coarser ones enlarged and added to the finer."""
        *finer, x = (lateral(m) for lateral, m in zip(self.lateral, maps[1:], strict=True))
        for merge, below in zip(self.merge, reversed(finer), strict=True):
            x = merge(below + F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return x

    def points(self, fine: Tensor) -> tuple[Tensor, Tensor]:
        """Places [N, P, 2] in -1..1 of the crop, x and y, the centres of mass of heat; what is seen there
        [N, P, LOOKS], its mean under the same heat."""
        height, width = fine.shape[-2:]
        shares = self.heat(fine).float().flatten(2).softmax(2)
        y, x = ((2 * torch.arange(n, device=shares.device) + 1) / n - 1 for n in (height, width))
        places = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1)
        return shares @ places, shares @ self.looks(fine).float().flatten(2).transpose(1, 2)

    def read(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """The unit vectors and the points."""
        maps = self.maps(crops)
        places, looks = self.points(self.fine(maps))
        face = self.geometry(torch.cat((places, looks), 2).flatten(1))
        seen = torch.cat((self.squeeze(maps[-1]).flatten(1), face), 1)
        return F.normalize(self.embedding(seen).float(), dim=1), places

    def forward(self, crops: Tensor) -> Tensor:
        return self.read(crops)[0]


def _convolution(width: int, channels: int, side: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, channels, side, stride, side // 2, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )


def weights_file(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.safetensors")


@lru_cache
def load_judge(name: str = "judge", file: Path | None = None) -> FaceRecogniser:
    """ "judge" or "trainer" as shipped, in float32 on the CPU, ready to use."""
    network = FaceRecogniser(SHAPES[name])
    network.load_state_dict({key: value.float() for key, value in load_file(file or weights_file(name)).items()})
    return network.eval().requires_grad_(False)


def face_crop(pixels: np.ndarray, box: Sequence[float], grown: float = 0.0, size: int = CROP) -> np.ndarray:
    """[size, size, 3] uint8: the face box (x0, y0, x1, y1 px of `pixels` uint8 [H, W, 3]), `grown` by that share."""
    return crop_square(pixels, square(*box, grown), size)


@torch.inference_mode()
def recognise(network: nn.Module, pictures: Sequence[np.ndarray], boxes: Sequence[Sequence[float]]) -> Tensor:
    """Unit vectors [N, 128] of one face in each of N pictures, uint8 [H, W, 3], sizes may differ."""
    crops = np.stack([face_crop(pixels, box) for pixels, box in zip(pictures, boxes, strict=True)])
    batches = torch.from_numpy(crops).permute(0, 3, 1, 2).float().div(255).split(64)
    return torch.cat([network(batch) for batch in batches])
