"""MediaPipe's canonical face: 468 vertices in centimetres (x right, y up, z to the viewer), texture coordinates.

`canonical_face.npz` was read out of MediaPipe's own `face_landmarker.task` (Apache-2.0) by
`research/world/canonical_face.py`; nothing here needs MediaPipe to run.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

FILE = Path(__file__).parent / "perception" / "weights" / "canonical_face.npz"
STABLE = (  # points that expressions hardly move
    33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 98, 327, 10, 127, 356, 234, 454, 21, 251, 54, 284, 103, 332, 67, 297,
    109, 338, 151, 9, 8,
)  # fmt: skip


class CanonicalFace(NamedTuple):
    vertices: np.ndarray  # [468, 3] float32, cm
    uv: np.ndarray  # [468, 2] float32 in 0..1, v downwards
    triangles: np.ndarray  # [852, 3] int32, counter-clockwise seen from the front; the eyes and the mouth are holes


@cache
def canonical_face() -> CanonicalFace:
    with np.load(FILE, allow_pickle=False) as stored:
        return CanonicalFace(stored["vertices"], stored["uv"], stored["triangles"])


def normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """[V, 3] unit normals: the area-weighted mean over the triangles round each vertex."""
    corners = vertices[triangles]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    index = triangles.ravel()
    each = np.repeat(faces, 3, axis=0)
    total = np.stack([np.bincount(index, each[:, axis], len(vertices)) for axis in range(3)], 1).astype(np.float32)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)
