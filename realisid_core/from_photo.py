"""A person's photo on its way to an ID embedding, done as in the training of the checkpoint that will read it."""

from torch import Tensor

from .config import RealisIDConfig
from .model import RealisIDModel
from .perception import BACKENDS, Faces, detect_faces, face_landmarks, landmarked_faces


def person_faces(realisid: RealisIDModel, photo: Tensor, number: int) -> Faces:
    """The face of one person in each photo, found by the detector and in the margin that the checkpoint records.

    Args:
        photo: [B, H, W, C] in 0..1.
        number: of the face, counted from 1, the largest first; 0 where there is only one.

    Raises:
        ValueError: as `detect_faces`; names the input `photo`.
    """
    config = realisid.config
    path = config.photo_path if isinstance(config, RealisIDConfig) else None
    detector = path.detector if path is not None and path.detector in BACKENDS else "yunet"
    return _found("photo", photo, detector, 0.0 if path is None else path.face_margin, number)


def pose_of(pose: Tensor | dict) -> dict:
    """FACE_LANDMARKS of the largest face in a picture [B, H, W, C]; landmarks come back as they are.

    Raises:
        ValueError: as `detect_faces` and `face_landmarks`; names the input `pose`.
    """
    if not isinstance(pose, dict):
        return face_landmarks(_found("pose", pose, "yunet", 0.0, 1))
    landmarked_faces(pose)
    return pose


def _found(name: str, picture: Tensor, detector: str, margin: float, number: int) -> Faces:
    try:
        return detect_faces(picture, detector, margin=margin, pick=number)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
