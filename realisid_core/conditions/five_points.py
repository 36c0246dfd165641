"""The five points that IdentityNet is shown of a face: eyes, nose and corners of the mouth, joined to the nose."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..geometry import FaceBox
from ..perception.landmarks import crop_frame

# Of MediaPipe's 478: the pupils (image-left first), the nose tip, the corners of the mouth (image-left first).
LANDMARKS = (468, 473, 4, 61, 291)
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255))
NOSE = 2
LIMB_HALF_WIDTH, DISC_RADIUS = 4, 10  # pixels, whatever the picture's size
LIMB_BRIGHTNESS = 0.6
FAR = 4  # points are kept within so many pictures, where OpenCV's integers are safe


def points_in_box(face: dict, box: FaceBox, width: float, height: float) -> np.ndarray:
    """[5, 2] in pixels of a picture: a donor's five points, its `crop_frame` laid on the face box.

    Args:
        face: of FACE_LANDMARKS.
    """
    x0, y0, x1, _ = crop_frame(face)
    inside = (np.asarray(face["landmarks_xy"], np.float64)[list(LANDMARKS)] - (x0, y0)) / (x1 - x0)
    left, top, right, bottom = box.scaled(width, height)
    return inside * (right - left, bottom - top) + (left, top)


def five_points_image(faces: Sequence[np.ndarray], height: int, width: int) -> Tensor:
    """[height, width, 3] in 0..1: the five points [5, 2] of each face, in pixels, over black; no anti-aliasing."""
    import cv2

    canvas = np.zeros((height, width, 3), np.uint8)
    faces = [np.clip(points, (-FAR * width, -FAR * height), (FAR * width, FAR * height)) for points in faces]
    for points in faces:
        for number in (point for point in range(5) if point != NOSE):
            cv2.fillConvexPoly(canvas, _limb(points[number], points[NOSE]), COLOURS[number])
    canvas = (canvas * LIMB_BRIGHTNESS).astype(np.uint8)
    for points in faces:
        for (x, y), colour in zip(points, COLOURS, strict=True):
            cv2.circle(canvas, (int(x), int(y)), DISC_RADIUS, colour, -1)
    return torch.from_numpy(canvas).float() / 255


def _limb(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The polygon of an ellipse from point to point."""
    import cv2

    (x0, y0), (x1, y1) = a, b
    middle = int((x0 + x1) / 2), int((y0 + y1) / 2)
    axes = int(math.hypot(x0 - x1, y0 - y1) / 2), LIMB_HALF_WIDTH
    angle = int(math.degrees(math.atan2(y0 - y1, x0 - x1)))
    return np.asarray(cv2.ellipse2Poly(middle, axes, angle, 0, 360, 1))
