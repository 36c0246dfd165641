"""A face of FACE_LANDMARKS laid over the canonical face, and what moves it there."""

from dataclasses import dataclass

import numpy as np

from ..alignment import moved, similarity
from ..canonical_face import STABLE, canonical_face
from .landmarks import head_pose


@dataclass(frozen=True)
class Placed:
    """A face in the canonical face's place and size.

    Attributes:
        points: [478, 3] in centimetres, x right, y up, z to the viewer.
        placement: [3, 4], takes them to `solid` points.
    """

    points: np.ndarray
    placement: np.ndarray

    def in_photo(self, points: np.ndarray) -> np.ndarray:
        """[N, 3] of the photo, as `solid` gives them."""
        return moved(points, self.placement)


def pixels_of_depth(face: dict, which: str = "landmarks") -> float:
    """How many pixels of the photo one unit of `landmarks_3d` is.

    Args:
        which: what to call the face in messages.

    Raises:
        ValueError: a face without depth.
    """
    xy, units = (np.asarray(face.get(name, ()), np.float64) for name in ("landmarks_xy", "landmarks_3d"))
    if units.shape != (len(xy), 3) or not np.isfinite(units).all() or not units[:, :2].var(0).sum() > 0:
        raise ValueError(
            f"The face in {which} has no depth (landmarks_3d of {len(xy)} finite points). Make the landmarks with "
            "RealisID's Face Landmarks, or ComfyUI's own."
        )
    return float(np.sqrt(xy.var(0).sum() / units[:, :2].var(0).sum()))


def solid(face: dict, which: str = "landmarks") -> np.ndarray:
    """[478, 3]: a face's points in pixels of its photo, x right, y up, z to the viewer. Raises ValueError as above."""
    depth = pixels_of_depth(face, which)
    return np.column_stack(
        (np.multiply(face["landmarks_xy"], (1.0, -1.0)), -depth * np.asarray(face["landmarks_3d"])[:, 2])
    )


def laid_over(face: dict, which: str = "landmarks") -> Placed:
    """The similarity that lays a face's stable points over the canonical ones. Raises ValueError as above."""
    points, stable = solid(face, which), list(STABLE)
    placement = similarity(canonical_face().vertices[stable].astype(np.float64), points[stable])
    return Placed((points - placement[:, 3]) @ np.linalg.inv(placement[:, :3]).T, placement)


def motion(face: dict, names: tuple[str, ...], which: str = "landmarks") -> np.ndarray:
    """What moves a face without changing whose it is: the `names`d blendshapes, then the head's turn.

    Returns:
        [len(names) + 6]: scores in 0..1, and yaw, pitch, yaw², pitch², yaw·pitch, |yaw| in radians.

    Raises:
        ValueError: a face without blendshapes, or without a transformation matrix.
    """
    shapes = face.get("blendshapes")
    if not shapes:
        raise ValueError(
            f"The face in {which} has no blendshapes, so its expression is not known. Make the landmarks with "
            "RealisID's Face Landmarks, or have ComfyUI's own node give them."
        )
    yaw, pitch, _ = np.radians(head_pose(face))
    turn = (yaw, pitch, yaw**2, pitch**2, yaw * pitch, abs(yaw))
    return np.array((*(float(shapes.get(name, 0.0)) for name in names), *turn))
