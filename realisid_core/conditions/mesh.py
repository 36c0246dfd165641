"""The face as a mesh: normals of its surface, contours and irises on top (Diff-PC, Eq. 7).

The paper renders its face model in one grey. Here MediaPipe's mesh is drawn, whose normals say more of the same shape.
"""

import math

import numpy as np
import torch
from torch import Tensor

from ..canonical_face import canonical_face, normals
from ..perception.landmarks import crop_frame
from ..perception.neutral import solid
from .contours import CANVAS, FAR, draw_contours

OVERSAMPLED = 2  # times, at least, that the mesh is drawn larger than it is shown


def mesh_image(face: dict, size: int) -> Tensor:
    """One face of FACE_LANDMARKS in its `crop_frame`: [size, size, 3] in 0..1.

    Raises:
        ValueError: a face without depth.
    """
    import cv2

    x0, y0, x1, _ = crop_frame(face)
    points = (solid(face) * (1, -1, 1) - (x0, y0, 0)) / (x1 - x0)
    scale = max(OVERSAMPLED, math.ceil(CANVAS / size))
    canvas = normal_map(points, size * scale)
    draw_contours(canvas, points[:, :2] * (size * scale), outline=False)
    shown = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(shown).float() / 255


def normal_map(points: np.ndarray, size: int, triangles: np.ndarray | None = None) -> np.ndarray:
    """The surface's normals as colours, (n + 1)/2, over black: uint8 [size, size, 3].

    n is in the viewer's axes: x right, y up, z towards the viewer. What is nearer hides what is behind it; triangles
    that are seen from behind are left out; between vertices, whose normals are the means of their triangles', normals
    are interpolated.

    Args:
        points: [V, 3] in fractions of the picture: x right, y down, z towards the viewer.
        triangles: [T, 3], counter-clockwise seen from outside; MediaPipe's 852, if none are given.
    """
    triangles = canonical_face().triangles if triangles is None else triangles
    corners = np.clip(points, -FAR, FAR)[triangles] * size  # [T, 3, 3]
    shades = normals(points * (1, -1, 1), triangles)[triangles]
    depth = np.full((size, size), -np.inf)
    drawn = np.zeros((size, size, 3))
    for corner, shade in zip(corners, shades, strict=True):
        _draw(corner, shade, depth, drawn)
    length = np.linalg.norm(drawn, axis=2, keepdims=True)
    colours = (drawn / np.maximum(length, 1e-9) + 1) / 2 * (length > 0)
    return (colours * 255 + 0.5).astype(np.uint8)


def _draw(corners: np.ndarray, shades: np.ndarray, depth: np.ndarray, drawn: np.ndarray) -> None:
    """One triangle [3, 3], in pixels, its corners' normals [3, 3], into the pixels whose middles it covers."""
    size = len(depth)
    (ax, ay, _), (bx, by, _), (cx, cy, _) = corners
    area = (cx - ax) * (by - ay) - (bx - ax) * (cy - ay)  # above 0 where it is seen from outside: y points down
    left, top = np.maximum(np.ceil(corners[:, :2].min(0) - 0.5), 0).astype(int)
    right, bottom = np.minimum(np.floor(corners[:, :2].max(0) - 0.5) + 1, size).astype(int)
    if area <= 0 or left >= right or top >= bottom:
        return
    x, y = np.arange(left, right) + 0.5, np.arange(top, bottom)[:, None] + 0.5
    b = ((cx - ax) * (y - ay) - (x - ax) * (cy - ay)) / area
    c = ((x - ax) * (by - ay) - (bx - ax) * (y - ay)) / area
    shares = np.stack((1 - b - c, b, c), -1)
    z = shares @ corners[:, 2]
    window = np.s_[top:bottom, left:right]
    seen = (shares.min(-1) >= -1e-9) & (z > depth[window])
    depth[window][seen] = z[seen]
    drawn[window][seen] = shares[seen] @ shades
