"""THE face box: one square, wherever a box is made from a face (crop, location mask, landmark frame).

It is the square round the landmarks by their longer edge. Where no landmarks are found it is estimated from the
detector's box, by what both measure on average: of 2 photos and 60 people of the face world, the landmarks' square has
0.93 ± 0.05 of the side of YuNet's (MTCNN's: 0.91 ± 0.07) and lies 0.05 (0.07) of it lower.
"""

import numpy as np

from ..geometry import square
from .faces import Box
from .landmarks import crop_frame

SIDE, LOWER = 0.93, 0.055  # of the side of the square round the detector's box


def face_square(found: Box, points: np.ndarray | None, landmarks: dict | None) -> Box:
    """The face box in pixels.

    Args:
        found: the detector's box.
        points: the detector's five points, which say where "lower" is; None takes the face for upright.
        landmarks: the face of FACE_LANDMARKS; None where there is none.
    """
    if landmarks is not None:
        return crop_frame(landmarks)
    x0, y0, x1, y1 = square(*found)
    side = x1 - x0
    across, down = downwards(points) * LOWER * side
    return square(x0 + across, y0 + down, x1 + across, y1 + down, SIDE - 1)


def downwards(points: np.ndarray | None) -> np.ndarray:
    """The unit vector from forehead to chin of a face whose first two points are its right and its left eye."""
    if points is None:
        return np.array([0.0, 1.0])
    across, down = points[1] - points[0]
    return np.array([-down, across]) / max(np.hypot(across, down), 1e-6)
