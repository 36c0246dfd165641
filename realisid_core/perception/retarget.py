"""Retargeting: one person's face shape with another's expression and head pose (Diff-PC, Eq. 7).

The paper renders a face model with the reference's shape, the donor's expression and pose. Here MediaPipe's landmarks
take its place. Laid over the canonical face, a face `c` is its neutral shape `n` and what expression and turn add:
`n = c − W·[b; g]`. Of `n`, the directions `V` tell people apart, as far as they do so more than one person's photos
differ, which is `A`. So `c' = c_donor + VᵀAV(n_ref − n_donor)`, put back where the donor's was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..alignment import similarity
from .landmarks import POINTS, checked_frames
from .neutral import laid_over, motion, pixels_of_depth

FILE = Path(__file__).parent / "weights" / "expressions.npz"


@dataclass(frozen=True)
class Basis:
    """What faces have in common.

    Attributes:
        names: of the blendshapes.
        motions: `W` [len(names) + 6, 1434]: what each blendshape, and the head's turn, adds to the points, in cm.
        shapes: `V` [K, 1434], orthonormal: in which directions people differ.
        trust: `A` [K, K]: how much of a difference in them is of the persons, not of the photos.
    """

    names: tuple[str, ...]
    motions: np.ndarray
    shapes: np.ndarray
    trust: np.ndarray

    def save(self, path: Path) -> None:
        """Halves: rounding moves no point by a hundredth of a millimetre."""
        values = {name: np.float16(getattr(self, name)) for name in ("motions", "shapes", "trust")}
        np.savez_compressed(path, names=np.array(self.names), **values)

    def of_persons(self, difference: np.ndarray) -> np.ndarray:
        """What of a difference between two neutral shapes [1434] is of the persons: [478, 3] in cm."""
        return (self.shapes.T @ (self.trust @ (self.shapes @ difference))).reshape(POINTS, 3)


@lru_cache
def load_basis(path: Path = FILE) -> Basis:
    with np.load(path, allow_pickle=False) as stored:
        values = {name: stored[name].astype(np.float64) for name in ("motions", "shapes", "trust")}
        return Basis(names=tuple(map(str, stored["names"])), **values)


def neutral_shape(face: dict, basis: Basis, which: str = "landmarks") -> np.ndarray:
    """`n` [1434]: the face at rest, seen from the front, over the canonical face, in cm."""
    return laid_over(face, which).points.ravel() - motion(face, basis.names, which) @ basis.motions


def retarget(reference: Sequence[dict], donor: dict, basis: Basis | None = None) -> dict:
    """The donor's face as if the reference person made it.

    Args:
        reference: faces of one person in FACE_LANDMARKS' form; their shapes are averaged.
        donor: the face whose head pose and expression to follow.

    Returns:
        A face of the same form. Its points are new; blendshapes, transformation matrix and the rest are the donor's.

    Raises:
        ValueError: a face without depth, blendshapes or transformation matrix.
    """
    basis = basis or load_basis()
    wanted = np.mean([neutral_shape(face, basis, "reference") for face in reference], axis=0)
    difference = wanted - neutral_shape(donor, basis, "donor")
    placed = laid_over(donor, "donor")
    changed = placed.points + basis.of_persons(difference)
    return _moved(donor, placed.in_photo(changed) - placed.in_photo(placed.points))


def retarget_all(reference: object, donor: object) -> dict:
    """FACE_LANDMARKS of the donors, each face as if the reference person made it.

    Args:
        reference: FACE_LANDMARKS of one person: a face in each picture, whose shapes are averaged.
        donor: FACE_LANDMARKS, any number of faces.

    Raises:
        ValueError: no face in either, several in one picture of the reference, or one that cannot be retargeted.
    """
    own = checked_frames(reference, "reference")
    for number, frame in enumerate(own, 1):
        if len(frame) > 1:
            raise ValueError(
                f"There are {len(frame)} faces in picture {number} of reference, and it is one person's. In Detect "
                "Faces, set face to the number of theirs; its preview shows the numbers."
            )
    frames = checked_frames(donor, "donor")
    for name, found in (("reference", own), ("donor", frames)):
        if not any(found):
            raise ValueError(f"There is no face in {name}. Connect a photo in which a face is found.")
    faces = [face for frame in own for face in frame]
    return {**donor, "frames": [[retarget(faces, face) for face in frame] for frame in frames]}


def _moved(face: dict, shift: np.ndarray) -> dict:
    """The face with its points moved by `shift` [478, 3]: pixels of the photo, y up, z to the viewer."""
    xy, units = (np.asarray(face[name], np.float64) for name in ("landmarks_xy", "landmarks_3d"))
    across, towards = shift[:, :2] * (1, -1), shift[:, 2] / pixels_of_depth(face)
    to_units = similarity(xy, units[:, :2])[:, :2]  # the crop that MediaPipe saw may be turned
    points = np.float32(xy + across)
    return {
        **face,
        "landmarks_xy": points,
        "landmarks_3d": np.float32(units + np.column_stack((across @ to_units.T, -towards))),
        "bbox_xyxy": np.concatenate([points.min(0), points.max(0)]),
    }
