"""Whether a face has the head pose and the expression that were asked for, as MediaPipe reads both."""

import numpy as np

from ..perception import head_pose

ANGLES = ("yaw", "pitch", "roll")
BLENDSHAPES = {
    "jaw": ("jawOpen",),
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "blink_left": ("eyeBlinkLeft",),
    "blink_right": ("eyeBlinkRight",),
}


def expression(face: dict) -> dict[str, float]:
    """The four plainest parts of an expression, 0..1, of a face of FACE_LANDMARKS."""
    return {
        name: float(np.mean([face["blendshapes"][shape] for shape in shapes])) for name, shapes in BLENDSHAPES.items()
    }


def pose_errors(face: dict | None, wanted: dict | None) -> dict[str, float]:
    """Absolute differences of two faces: angles in degrees, blendshapes 0..1; NaN where one of them is None."""
    if face is None or wanted is None:
        return dict.fromkeys((*ANGLES, *BLENDSHAPES), float("nan"))
    one, other = (dict(zip(ANGLES, head_pose(each), strict=True)) | expression(each) for each in (face, wanted))
    return {name: abs(one[name] - other[name]) for name in one}


def expression_distance(face: dict, wanted: dict) -> float:
    """Mean absolute difference of all 52 blendshapes, 0..1: the papers' expression error in MediaPipe's terms."""
    return float(np.mean([abs(face["blendshapes"][name] - value) for name, value in wanted["blendshapes"].items()]))
