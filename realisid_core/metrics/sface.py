"""SFace (Zhong et al. 2021) by OpenCV: 128 numbers a face. OpenCV takes 0.363 and more for the same person."""

from pathlib import Path

import numpy as np
from torch import Tensor

from ..perception import Faces
from .upright import upright_vectors

ROW = 15  # OpenCV's face: x, y, width, height, five points, score


class SFace:
    """A `Judge` from its ONNX file. Raises ValueError where OpenCV cannot read it."""

    name = "SFace"
    note = ""

    def __init__(self, path: str | Path):
        import cv2

        data = np.fromfile(path, np.uint8)  # bytes, not a path: OpenCV fails on paths that are not ASCII
        try:
            self._network = cv2.FaceRecognizerSF.create("onnx", data, np.empty(0, np.uint8))
        except cv2.error as error:
            raise ValueError(f"{Path(path).name} cannot be read by OpenCV. Delete it, and fetch it again.") from error

    def vectors(self, faces: Faces) -> Tensor:
        return upright_vectors(faces, self.vector)

    def vector(self, pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
        """[128], as the network gives it, of a face with five points [5, 2] in an RGB image uint8."""
        row = np.zeros((1, ROW), np.float32)
        row[0, 4:14] = points.reshape(-1)
        upright = self._network.alignCrop(np.ascontiguousarray(pixels[..., ::-1]), row)
        return self._network.feature(upright).reshape(-1).copy()
