"""From a photo to faces, parsed crops, landmarks and pose-expression images.

`detect_faces` → `parse_faces` → `masked_crops` gives what CLIP sees of a person;
`detect_faces` → `face_landmarks` → `pose_expression_image` gives c_pe. OpenCV, MediaPipe and facexlib are imported
when first used.
"""

from .detection import BACKENDS, ORDERS, detect_faces
from .faces import Face, Faces, Parsing, checked_image, crop_square, faces_from_boxes, require_faces
from .landmarks import crop_frame, describe_face, face_landmarks, head_pose, landmarked_faces
from .parsing import KEEP, METHODS, masked_crops, parse_faces

__all__ = [
    "BACKENDS",
    "KEEP",
    "METHODS",
    "ORDERS",
    "Face",
    "Faces",
    "Parsing",
    "checked_image",
    "crop_frame",
    "crop_square",
    "describe_face",
    "detect_faces",
    "face_landmarks",
    "faces_from_boxes",
    "head_pose",
    "landmarked_faces",
    "masked_crops",
    "parse_faces",
    "require_faces",
]
