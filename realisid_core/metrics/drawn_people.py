"""The miniature's judge: recognises drawn people. It had no part in making any picture.

It was trained on drawn identities that nothing else uses, so of photos it says little.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from ..geometry import square
from ..perception import Faces, crop_square

WEIGHTS = Path(__file__).parent / "weights" / "recogniser.safetensors"
CROP = 80  # px; faces of any size are brought to this
MARGIN = 0.45  # of the face box's side, so that the hair is seen
WIDTH = 128
STAGES = ((24, 1), (48, 2), (96, 2), (160, 2))  # channels, convolutions; each stage halves the picture


class Recogniser(nn.Module):
    """`[N, 3, 80, 80]` in 0..1 to unit vectors `[N, 128]`; their dot product is the identity similarity."""

    def __init__(self):
        super().__init__()
        layers, width = [], 3
        for channels, count in STAGES:
            for index in range(count):
                layers += [
                    nn.Conv2d(width, channels, 3, 2 if index == 0 else 1, 1, bias=False),
                    nn.BatchNorm2d(channels),
                ]
                layers += [nn.ReLU(inplace=True)]
                width = channels
        self.features = nn.Sequential(*layers)
        self.embedding = nn.Sequential(nn.Linear(width * 2, WIDTH, bias=False), nn.BatchNorm1d(WIDTH))

    def forward(self, crops: Tensor) -> Tensor:
        features = self.features(crops * 2 - 1)
        pooled = torch.cat((features.mean((2, 3)), features.amax((2, 3))), 1)
        return F.normalize(self.embedding(pooled), dim=1)


@lru_cache
def load_recogniser() -> Recogniser:
    """The shipped network, in float32 on the CPU, ready to use."""
    network = Recogniser()
    network.load_state_dict({key: value.float() for key, value in load_file(WEIGHTS).items()})
    return network.eval()


def recognition_crop(pixels: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """[80, 80, 3] uint8: the face box (x0, y0, x1, y1 px of `pixels` uint8 [H, W, 3]) with its margin."""
    x0, y0, x1, y1 = box
    return crop_square(pixels, square(x0, y0, x1, y1, MARGIN), CROP)


@torch.inference_mode()
def embed_faces(pictures: Sequence[np.ndarray], boxes: Sequence[Sequence[float]]) -> Tensor:
    """Unit vectors [N, 128] of one face in each of N pictures, uint8 [H, W, 3], sizes may differ."""
    crops = np.stack([recognition_crop(pixels, box) for pixels, box in zip(pictures, boxes, strict=True)])
    batches = torch.from_numpy(crops).permute(0, 3, 1, 2).float().div(255).split(64)
    return torch.cat([load_recogniser()(batch) for batch in batches])


class DrawnPeople:
    """The `Judge` that ships with the pack."""

    name = "the miniature's judge"
    note = "It knows drawn people only, so of photos its figures say little."

    def vectors(self, faces: Faces) -> Tensor:
        pictures = [faces.pixels(index) for index, _ in faces]
        return embed_faces(pictures, [face.square for _, face in faces])
