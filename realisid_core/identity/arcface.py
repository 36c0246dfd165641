"""A face recogniser in ONNX, run by OpenCV: a face's five points → its square of 112 pixels → a vector (ArcFace)."""

import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..alignment import similarity
from .known_files import RECOGNISERS, sha256

if TYPE_CHECKING:
    from ..perception import Faces

SIZE = 112
VECTOR = 512
# Where a face's eyes (image-left first), nose tip and corners of the mouth are in the square, in OpenCV's pixels.
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
EXTERNAL_DATA = b"\x0a\x08location\x12"  # how an ONNX file says that a tensor is in another file


def aligned(pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The face in its square: [112, 112, 3] of an RGB image uint8 and the face's five points [5, 2] in its pixels."""
    import cv2

    matrix = similarity(np.asarray(points, np.float64), TEMPLATE)
    return cv2.warpAffine(pixels, matrix, (SIZE, SIZE), borderValue=(0,))


class Recogniser:
    """An ArcFace network from an ONNX file.

    Args:
        any_space: its vectors are only compared with each other, so another network's serve as well.

    Raises:
        ValueError: a file that OpenCV cannot run, that gives no vector of 512, or that is known to be of another space.
    """

    def __init__(self, path: str | Path, any_space: bool = False):
        self.path = Path(path)
        if not any_space:
            self._check_space()
        self._network = self._read()

    def _check_space(self) -> None:
        known = RECOGNISERS.get(self.hash)
        if known is not None and known.refused:
            raise ValueError(f"{self.path.name} is {known.name}. {known.refused}")
        if known is None:
            logging.warning(
                f"{self.path.name} is not a recogniser that RealisID knows. Its vectors must be those that the model "
                "was trained with (antelopev2's glintr100.onnx for InstantID), or the likeness is lost."
            )

    @cached_property
    def hash(self) -> str:
        return sha256(self.path)

    def vector(self, face: np.ndarray) -> np.ndarray:
        """[512], as the network gives it, of a face in its square, [112, 112, 3] RGB uint8."""
        blob = (face.astype(np.float32) - 127.5) / 127.5
        self._network.setInput(np.ascontiguousarray(blob.transpose(2, 0, 1)[None]))
        return self._network.forward().reshape(-1)

    def _read(self):
        import cv2

        data = np.fromfile(self.path, np.uint8)
        try:
            network = cv2.dnn.readNetFromONNX(data)
            network.setInput(np.zeros((1, 3, SIZE, SIZE), np.float32))
            found = network.forward().shape
        except cv2.error as error:
            if EXTERNAL_DATA in data.tobytes():
                raise ValueError(
                    f"{self.path.name} keeps its weights in another file, which OpenCV does not read. Use a file that "
                    "holds its weights itself, such as antelopev2's glintr100.onnx."
                ) from error
            raise ValueError(
                f"{self.path.name} cannot be run by OpenCV ({str(error).strip().splitlines()[-1][:200]}). Use an "
                "ArcFace recogniser in ONNX, such as antelopev2's glintr100.onnx."
            ) from error
        if int(np.prod(found)) != VECTOR:
            raise ValueError(
                f"{self.path.name} gives {list(found)} for one face; expected a vector of {VECTOR}. Use a recogniser, "
                "not a detector: antelopev2's is glintr100.onnx."
            )
        return network


def face_vectors(recogniser: Recogniser, faces: "Faces") -> tuple[Tensor, Tensor]:
    """[N, 512] and the squares that the recogniser saw, [N, 112, 112, 3] in 0..1, of faces with five points each.

    Raises:
        ValueError: a face without points.
    """
    squares = []
    for index, face in faces:
        if face.points is None:
            raise ValueError(
                "faces has a face without eyes, nose and mouth, by which a recogniser needs it turned upright. Connect "
                "faces from Detect Faces with the detector yunet."
            )
        squares.append(aligned(faces.pixels(index), face.points))
    vectors = torch.from_numpy(np.stack([recogniser.vector(square) for square in squares]))
    return vectors, torch.from_numpy(np.stack(squares)).float() / 255
