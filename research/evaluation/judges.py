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
BROWS = (70, 63, 105, 66, 107, 300, 293, 334, 296, 336)
POINTS = (  # MediaPipe's numbers
    *OVAL[::3], *RIGHT_EYE[::2], *LEFT_EYE[::2], *OUTER_LIPS[::2], *INNER_LIPS[::5], *BROWS, 1, 4, 6, 98, 168, 197, 327,
)  # fmt: skip


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

    A face's measures are places. So the network first finds `POINTS`, each the mean place under a map of its own, and
    the vector is made from these and from the last map, 7 × 7, laid out instead of averaged.
    """

    def __init__(self, shape: Shape):
        super().__init__()
        self.blocks, self.residual = nn.ModuleList(), []
        width = 3
        for channels, count in shape.stages:
            for index in range(count):
                stride = 2 if index == 0 else 1
                convolution = nn.Conv2d(width, channels, 3, stride, 1, bias=False)
                self.blocks.append(nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)))
                self.residual.append(shape.residual and index > 0)
                width = channels
        self.squeeze = nn.Sequential(
            nn.Conv2d(width, shape.squeezed, 1, bias=False), nn.BatchNorm2d(shape.squeezed), nn.ReLU(inplace=True)
        )
        self.heat = nn.ModuleList(nn.Conv2d(channels, len(POINTS), 1) for channels, _ in shape.stages[1:])
        self.geometry = nn.Sequential(
            nn.BatchNorm1d(2 * len(POINTS), affine=False),
            nn.Linear(2 * len(POINTS), HIDDEN, bias=False),
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

    def points(self, maps: list[Tensor]) -> Tensor:
        """[N, P, 2] in -1..1 of the crop, x and y: centres of mass of heat, at a quarter of the resolution."""
        size = maps[1].shape[-2:]
        heats = [
            F.interpolate(heat(m).float(), size, mode="bilinear") for heat, m in zip(self.heat, maps[1:], strict=True)
        ]
        shares = sum(heats).flatten(2).softmax(2).unflatten(2, size)
        x, y = ((2 * torch.arange(n, device=shares.device) + 1) / n - 1 for n in (size[1], size[0]))
        return torch.stack(((shares.sum(2) * x).sum(2), (shares.sum(3) * y).sum(2)), 2)

    def read(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """The unit vectors and the points."""
        maps = self.maps(crops)
        points = self.points(maps)
        seen = torch.cat((self.squeeze(maps[-1]).flatten(1), self.geometry(points.flatten(1))), 1)
        return F.normalize(self.embedding(seen).float(), dim=1), points

    def forward(self, crops: Tensor) -> Tensor:
        return self.read(crops)[0]


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
