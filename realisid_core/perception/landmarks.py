"""Facial landmarks by MediaPipe's FaceLandmarker, in the host's FACE_LANDMARKS form."""

import math
import threading
from dataclasses import replace
from functools import lru_cache

import comfy.utils
import numpy as np

from ..geometry import square
from .faces import Box, Face, Faces, crop_square
from .model_files import FACE_LANDMARKER, read_shipped

POINTS = 478
_in_use = threading.Lock()  # the server's route and a running graph share one network
CROP = 512  # the face's surroundings are enlarged (or shrunk) to this before landmarking
CANONICAL = 192  # edge of the frame in which the host gives landmarks_3d
SCALES = (2.0, 1.5, 3.0)  # of the crop's side to the face's, in the order tried
UPRIGHT = math.radians(30)  # MediaPipe's own detector copes with less roll than this
ANGLES = tuple(math.radians(angle) for angle in (0, 45, -45, 90, -90, 180))  # tried where no eye points tell
CONFIDENCE = 0.3
SHOWN = 0.1  # blendshapes weaker than this are left out of descriptions


def face_landmarks(faces: Faces, skip: bool = False) -> dict:
    """Landmarks of every face, in the host's FACE_LANDMARKS form.

    Returns:
        `{"frames": per image a list of faces, "image_size": (H, W), "connection_sets": {name: frozenset of (i, j)}}`.
        A face has `landmarks_xy` [478, 2] and `bbox_xyxy` [4] (their extent) in pixels of the image, `landmarks_3d`
        [478, 3] in the host's canonical frame of 192 units, `blendshapes` {name: 0..1}, `score` (the detector's),
        `presence` (a logit; MediaPipe withholds it, so 0) and `transformation_matrix` [4, 4]: canonical face to a
        camera that looks straight at the face, x right, y up, z towards the viewer.

    Raises:
        ValueError: no landmarks in a face (with `skip`, that face is left out), or MediaPipe is not installed.
    """
    frames = []
    progress = comfy.utils.ProgressBar(len(faces.faces))
    for index, found in enumerate(faces.faces):
        pixels = faces.pixels(index) if found else None
        landmarked = [face.landmarks or find_landmarks(pixels, face) for face in found]
        for number, result in enumerate(landmarked, 1):
            if result is None and not skip:
                raise ValueError(
                    f"No landmarks found in face {number} of picture {index + 1} "
                    f"(box {_rounded(found[number - 1].found)}). Pick another face, raise the detection threshold, "
                    "or give a picture in which the face is larger and less covered."
                )
        frames.append([result for result in landmarked if result is not None])
        progress.update(1)
    height, width = faces.image.shape[1:3]
    return {"frames": frames, "image_size": (height, width), "connection_sets": connection_sets()}


def checked_frames(landmarks: object, name: str = "landmarks") -> list[list[dict]]:
    """The faces of each picture of a FACE_LANDMARKS value, ours or another's.

    Args:
        name: of the input, for messages.

    Raises:
        ValueError: where it is not that form: what it is, and which face lacks its points.
    """
    form = 'expected FACE_LANDMARKS, {"frames": a list of faces for each picture}.'
    if not isinstance(landmarks, dict):
        raise ValueError(f"{name} is {type(landmarks).__name__}; {form}")
    frames = landmarks.get("frames")
    if not isinstance(frames, (list, tuple)):
        raise ValueError(f"{name} has {type(frames).__name__} for frames; {form}")
    for index, frame in enumerate(frames, 1):
        if not isinstance(frame, (list, tuple)):
            raise ValueError(f"Picture {index} of {name} is {type(frame).__name__}; expected a list of faces.")
        for number, face in enumerate(frame, 1):
            _check_points(face, f"Face {number} of picture {index} of {name}")
    return [list(frame) for frame in frames]


def _check_points(face: object, which: str) -> None:
    if not isinstance(face, dict) or "landmarks_xy" not in face:
        raise ValueError(f"{which} has no landmarks_xy; expected 478 points in pixels.")
    try:
        points = np.asarray(face["landmarks_xy"], np.float64)
    except (TypeError, ValueError):
        points = np.zeros(0)
    if points.shape != (POINTS, 2) or not np.isfinite(points).all():
        raise ValueError(
            f"{which} has landmarks_xy of shape {list(points.shape)}; expected {POINTS} finite points in pixels, "
            "MediaPipe's with irises."
        )
    if not np.ptp(points, 0).max() > 0:
        raise ValueError(f"All points of {which[0].lower() + which[1:]} are the same; there is no face to draw.")


def crop_frame(face: dict) -> Box:
    """THE frame of c_pe, in training and inference: the square round the landmarks' extent by its longer edge."""
    points = np.asarray(face["landmarks_xy"], np.float64)
    return square(*points.min(0).tolist(), *points.max(0).tolist())


def head_pose(face: dict) -> tuple[float, float, float]:
    """`(yaw, pitch, roll)` of a face in degrees, as the viewer sees it.

    yaw > 0: turned towards the right edge of the picture; pitch > 0: looking up; roll > 0: tilted clockwise.
    Mirroring the picture changes the signs of yaw and roll. Read from `transformation_matrix`: yaw about the vertical,
    then pitch, then roll about the face's own axis.

    Raises:
        ValueError: the face has no transformation matrix.
    """
    if face.get("transformation_matrix") is None:
        raise ValueError("This face of FACE_LANDMARKS has no transformation_matrix, so its head pose is not known.")
    rotation = np.asarray(face["transformation_matrix"], np.float64)[:3, :3]
    rotation = rotation / np.linalg.norm(rotation, axis=0)
    across, up, towards = rotation[:, 2]
    yaw, pitch = math.atan2(across, towards), math.asin(np.clip(up, -1, 1))
    unrolled = _about_x(pitch) @ _about_y(-yaw) @ rotation
    return math.degrees(yaw), math.degrees(pitch), -math.degrees(math.atan2(unrolled[1, 0], unrolled[0, 0]))


def landmarked_faces(landmarks: dict) -> list[dict]:
    """All faces of a FACE_LANDMARKS value, picture by picture; ValueError where there is none."""
    faces = [face for frame in checked_frames(landmarks) for face in frame]
    if not faces:
        raise ValueError("There is no face in these FACE_LANDMARKS. Lower the confidence of the node that made them.")
    return faces


def describe_face(face: dict) -> dict:
    """Head pose and the blendshapes that are visibly there, ready for JSON."""
    pose = dict(zip(("yaw", "pitch", "roll"), (round(angle, 1) for angle in head_pose(face)), strict=True))
    shapes = face.get("blendshapes") or {}  # which other packs may not have asked for
    shown = {name: round(float(score), 2) for name, score in shapes.items() if score > SHOWN}
    return pose | {"blendshapes": dict(sorted(shown.items(), key=lambda item: -item[1]))}


@lru_cache
def connection_sets() -> dict[str, frozenset[tuple[int, int]]]:
    """Which points are joined, by part, under the host's names."""
    parts = _vision().FaceLandmarksConnections

    def edges(*names: str) -> frozenset:
        return frozenset((edge.start, edge.end) for name in names for edge in getattr(parts, f"FACE_LANDMARKS_{name}"))

    sets = {name: edges(name.upper()) for name in ("face_oval", "lips", "left_eye", "right_eye", "nose", "tesselation")}
    sets |= {name: edges(name.upper()) for name in ("left_eyebrow", "right_eyebrow")}
    sets["irises"] = edges("LEFT_IRIS", "RIGHT_IRIS")
    sets["contours"] = edges("FACE_OVAL", "LEFT_EYE", "RIGHT_EYE", "LEFT_EYEBROW", "RIGHT_EYEBROW", "LIPS")
    sets["all"] = sets["contours"] | sets["irises"] | sets["nose"]
    return sets


def landmarked(faces: Faces) -> Faces:
    """The same faces with their landmarks, where MediaPipe is installed and finds some."""
    if not landmarks_available():
        return faces

    def looked_at(index: int, found: list[Face]) -> list[Face]:
        if all(face.landmarks is not None for face in found):
            return found
        pixels = faces.pixels(index)
        return [replace(face, landmarks=face.landmarks or find_landmarks(pixels, face)) for face in found]

    return replace(faces, faces=[looked_at(index, found) for index, found in enumerate(faces.faces)])


def landmarks_available() -> bool:
    """Whether MediaPipe is installed and loads."""
    try:
        _vision()
    except ValueError:
        return False
    return True


def find_landmarks(pixels: np.ndarray, face: Face) -> dict | None:
    """One face of FACE_LANDMARKS, or None where there is none at `face.found` in `pixels`, uint8 [H, W, 3].

    Crops of it are tried, wider, tighter and turned, until MediaPipe finds landmarks at its middle. Raises ValueError
    where MediaPipe is not installed.
    """
    _vision()
    import mediapipe

    for scale, angle in _attempts(face):
        box = square(*face.found, scale - 1)
        crop = _turned(crop_square(pixels, box, CROP), angle)
        with _in_use:
            result = _landmarker().detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=crop))
        points = [np.array([(point.x, point.y, point.z) for point in found]) for found in result.face_landmarks]
        nearest = min(range(len(points)), key=lambda i: _off_centre(points[i]), default=None)
        if nearest is not None and _off_centre(points[nearest]) < 0.5 / scale:
            return _host_form(result, nearest, points[nearest], box, angle, face.score)
    return None


def _attempts(face: Face) -> list[tuple[float, float]]:
    if face.points is None:
        return [(scale, angle) for angle in ANGLES for scale in SCALES[:2]]
    (right_x, right_y), (left_x, left_y) = face.points[:2]
    roll = math.atan2(left_y - right_y, left_x - right_x)
    if abs(roll) > UPRIGHT:
        return [(scale, roll) for scale in SCALES]
    return [(scale, angle) for angle in (0.0, roll) for scale in SCALES]


def _host_form(result: object, index: int, points: np.ndarray, box: Box, angle: float, score: float) -> dict:
    matrix = np.array(result.facial_transformation_matrixes[index], np.float64)
    if np.abs(matrix[3, :3]).max() > np.abs(matrix[:3, 3]).max():  # older MediaPipe gives it column by column
        matrix = matrix.T
    turn = np.eye(4)
    turn[:2, :2] = _rotation(-angle)  # the image's y points down, the camera's up
    xy = (points[:, :2] - 0.5) @ _rotation(angle).T + 0.5
    xy = np.float32(np.array(box[:2]) + xy * (box[2] - box[0]))
    return {
        "bbox_xyxy": np.concatenate([xy.min(0), xy.max(0)]),
        "landmarks_xy": xy,
        "landmarks_3d": np.float32(points * CANONICAL),
        "blendshapes": {shape.category_name: float(shape.score) for shape in result.face_blendshapes[index]},
        "transformation_matrix": np.float32(turn @ matrix),
        "presence": 0.0,
        "score": float(score),
    }


def _off_centre(points: np.ndarray) -> float:
    """How far the middle of the landmarks is from the crop's, in crops."""
    return float(np.abs((points.min(0) + points.max(0))[:2] / 2 - 0.5).max())


def _turned(crop: np.ndarray, angle: float) -> np.ndarray:
    """A face rolled by `angle` (clockwise) put upright."""
    import cv2

    if angle == 0:
        return crop
    middle = (CROP - 1) / 2
    return cv2.warpAffine(crop, cv2.getRotationMatrix2D((middle, middle), math.degrees(angle), 1), (CROP, CROP))


def _rotation(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _about_x(angle: float) -> np.ndarray:
    matrix = np.eye(3)
    matrix[1:, 1:] = _rotation(angle)
    return matrix


def _about_y(angle: float) -> np.ndarray:
    matrix = np.eye(3)
    matrix[::2, ::2] = _rotation(-angle)
    return matrix


def _rounded(box: Box) -> str:
    return ", ".join(f"{value:.0f}" for value in box)


def _vision():
    try:
        from mediapipe.tasks.python import vision
    except ImportError as error:
        raise ValueError(
            "Landmarks need the Python package mediapipe, which is not installed (or does not load): run "
            f"`python -m pip install mediapipe` in ComfyUI's Python and restart. ({error})"
        ) from error
    return vision


@lru_cache
def _landmarker():
    vision = _vision()
    from mediapipe.tasks.python import BaseOptions

    landmarker = vision.FaceLandmarker.create_from_options(
        vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=read_shipped(FACE_LANDMARKER)),
            num_faces=4,
            min_face_detection_confidence=CONFIDENCE,
            min_face_presence_confidence=CONFIDENCE,
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
        )
    )
    # Closing needs a worker thread, and Python stops those before `atexit`; never closed, it prints an exception.
    threading._register_atexit(landmarker.close)
    return landmarker
