"""The rings of the canonical face, and how its mesh was read out of MediaPipe's own `face_landmarker.task`.

`python -m research.world.canonical_face TASK` writes the file of `realisid_core.canonical_face`.
"""

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from realisid_core.canonical_face import FILE, CanonicalFace

# Each ring runs round its hole: the upper edge first, from the outer corner; the right eye is the viewer's left.
RIGHT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
LEFT_EYE = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149,
    150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of one protocol-buffer message: number and raw value."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == 0:
            value, at = _varint(data, at)
        else:
            length, at = (4, at) if key & 7 == 5 else _varint(data, at)
            value, at = data[at : at + length], at + length
        yield key >> 3, value


def extract(task: Path) -> CanonicalFace:
    """The canonical mesh inside a `face_landmarker.task`, its eyes and mouth cut out."""
    metadata = zipfile.ZipFile(task).read("geometry_pipeline_metadata_landmarks.binarypb")
    mesh = max((value for _, value in _fields(metadata) if isinstance(value, bytes)), key=len)
    floats = b"".join(value for number, value in _fields(mesh) if number == 3)
    vertices = np.frombuffer(floats, "<f4").reshape(468, 5)
    triangles = np.array([value for number, value in _fields(mesh) if number == 4], np.int32).reshape(-1, 3)
    holes = [set(RIGHT_EYE), set(LEFT_EYE), set(INNER_LIPS)]
    skin = [triangle for triangle in triangles if not any(hole.issuperset(triangle) for hole in holes)]
    return CanonicalFace(vertices[:, :3], vertices[:, 3:], np.array(skin, np.int32))


if __name__ == "__main__":
    np.savez_compressed(FILE, **extract(Path(sys.argv[1]))._asdict())
