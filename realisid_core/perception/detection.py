"""Face detection: YuNet (shipped), RetinaFace (facexlib), MTCNN (the paper's, by facenet-pytorch)."""

import threading
import warnings
from dataclasses import replace
from functools import lru_cache, partial

import comfy.model_management
import comfy.utils
import numpy as np
import torch
from torch import Tensor

from ..host import core_patcher
from .faces import Face, Faces, checked_image, checked_margin
from .framing import face_square
from .landmarks import find_landmarks, landmarks_available
from .model_files import RETINAFACE, YUNET, load_checked, load_weights, read_shipped

ORDERS = {
    "largest first": lambda face: -_area(face),
    "left to right": lambda face: face.found[0] + face.found[2],
    "most confident first": lambda face: -face.score,
}
EDGES = (640, 1280, 320)  # long edge at which YuNet looks: the first that shows a face counts
LEAST_EDGE, MOST_EDGE = 640, 1280  # of what the other two are shown
MTCNN_LEAST = 20  # pixels; the smallest face that it looks for
_yunet_in_use = threading.Lock()  # the server's route and a running graph share one network
YUNET_LEAST = 64  # pixels; in thinner strips OpenCV 4 reads memory that it never wrote, and sees faces there
OVERLAP = 0.3

Detection = tuple[np.ndarray, float, np.ndarray]  # xyxy, score, five points


def detect_faces(
    image: Tensor,
    backend: str = "yunet",
    threshold: float = 0.6,
    order: str = "largest first",
    maximum: int = 0,
    margin: float = 0.0,
    pick: int = 0,
    required: bool = True,
) -> Faces:
    """Find the faces of each picture and give each its square (paper, section 3.1 (1); `framing.face_square`).

    Args:
        image: [B, H, W, C], 0..1, with 1, 3 or 4 channels.
        backend: one of `BACKENDS`.
        threshold: least confidence, 0..1.
        order: one of `ORDERS`.
        maximum: keep so many per picture, after ordering; 0 keeps all.
        margin: enlarges the square, as a fraction of its side.
        pick: keep this one only, counted from 1 after ordering; 0 keeps all.
        required: a picture without a face is an error; otherwise it has an empty list.

    Raises:
        ValueError: no face, no face of that index, a bad image, or a back end that is not there.
    """
    image = checked_image(image)
    checked_margin(margin)
    if not 0 < threshold < 1:  # NaN is none of it
        raise ValueError(f"threshold is {threshold:g}; expected a confidence between 0 and 1, such as 0.6.")
    if not isinstance(order, str) or order not in ORDERS:
        raise ValueError(f"order is {order!r:.60}; expected one of {', '.join(ORDERS)}.")
    if not isinstance(backend, str) or backend not in BACKENDS:
        raise ValueError(f"There is no face detector {backend!r}; expected one of {', '.join(BACKENDS)}.")
    faces = Faces(image, detector=backend, box="landmarks", margin=margin)
    progress = comfy.utils.ProgressBar(len(image)) if len(image) > 1 else None  # one is done in an instant
    for number in range(len(image)):
        pixels = faces.pixels(number)
        detections = BACKENDS[backend](pixels, threshold)
        found = [_face(*detection, margin) for detection in detections if detection[1] >= threshold]
        found.sort(key=ORDERS[order])
        found = [replace(face, number=place) for place, face in enumerate(found, 1)]
        if required and not found:
            raise ValueError(_no_face(number, image, backend, threshold))
        kept = found[:maximum] if maximum else found
        if pick and found:
            if not 1 <= pick <= len(found):
                raise ValueError(
                    f"Face {pick} was asked for, but picture {number + 1} has {_faces(len(found))} at threshold "
                    f"{threshold:g}. Use a number from 1 to {len(found)}, or lower the threshold."
                )
            kept = [found[pick - 1]]
        faces.faces.append([_framed(pixels, face) for face in kept])
        left_out = {face.number for face in found} - {face.number for face in kept}
        faces.others.append([face.square for face in found if face.number in left_out])
        if progress:
            progress.update(1)
    return faces


def _face(box: np.ndarray, score: float, points: np.ndarray, margin: float) -> Face:
    found = tuple(map(float, box))
    return Face(found, face_square(found, points, None), margin, min(float(score), 1.0), points)


def _framed(pixels: np.ndarray, face: Face) -> Face:
    """The face with its landmarks, where there are any, and with the square round them."""
    landmarks = find_landmarks(pixels, face) if landmarks_available() else None
    return replace(face, landmarks=landmarks, square=face_square(face.found, face.points, landmarks))


def _area(face: Face) -> float:
    x0, y0, x1, y1 = face.found
    return (x1 - x0) * (y1 - y0)


def _faces(count: int) -> str:
    return "1 face" if count == 1 else f"{count} faces"


def _no_face(number: int, image: Tensor, backend: str, threshold: float) -> str:
    height, width = image.shape[1:3]
    which = f"picture {number + 1} of {len(image)}" if len(image) > 1 else "the picture"
    return (
        f"No face found in {which} ({width}×{height}) by {backend} at threshold {threshold:g}. Try a lower threshold "
        "(0.3), another detector, a picture in which the face is larger or upright, or draw the box by hand."
    )


def _yunet(pixels: np.ndarray, threshold: float) -> list[Detection]:
    """At a few sizes in turn: one serves most pictures, the others are for tiny and for frame-filling faces."""
    for edge in EDGES:
        if found := _yunet_at(pixels, edge, threshold):
            return found
    return []


def _yunet_at(pixels: np.ndarray, edge: int, threshold: float) -> list[Detection]:
    import cv2

    resized, scale = _resized(pixels, edge)
    lacking = max(0, YUNET_LEAST - min(resized.shape[:2]))
    resized = cv2.copyMakeBorder(resized, 0, lacking, 0, lacking, cv2.BORDER_CONSTANT)
    with _yunet_in_use:
        detector = _yunet_model()
        detector.setInputSize(resized.shape[1::-1])
        detector.setScoreThreshold(threshold)
        rows = detector.detect(np.ascontiguousarray(resized[..., ::-1]))[1]
    if rows is None:
        return []
    corners = np.concatenate([rows[:, 0:2], rows[:, 0:2] + rows[:, 2:4]], 1)
    return _scaled(corners, rows[:, 14], rows[:, 4:14].reshape(-1, 5, 2), scale)


def _resized(pixels: np.ndarray, edge: int) -> tuple[np.ndarray, np.ndarray]:
    """`pixels` with `edge` as the long edge, and what takes its (x, y) back."""
    import cv2

    height, width = pixels.shape[:2]
    ratio = edge / max(height, width)
    shape = (max(1, round(height * ratio)), max(1, round(width * ratio)))
    resized = cv2.resize(pixels, shape[::-1], interpolation=cv2.INTER_CUBIC if ratio > 1 else cv2.INTER_AREA)
    return resized, np.array([width / shape[1], height / shape[0]])


def _scaled(corners: np.ndarray, scores: np.ndarray, points: np.ndarray, scale: np.ndarray) -> list[Detection]:
    return list(zip(corners * np.tile(scale, 2), scores, points * scale, strict=True))


@lru_cache
def _yunet_model():
    import cv2

    data = np.frombuffer(read_shipped(YUNET), np.uint8)
    create = partial(cv2.FaceDetectorYN.create, "onnx", data, np.empty(0, np.uint8), (320, 320), 0.5, OVERLAP, 1000)
    if not hasattr(cv2.utils, "logging"):  # OpenCV 4
        return create()
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # OpenCV 5 warns of its own default
    try:
        return create()
    finally:
        cv2.utils.logging.setLogLevel(level)


def _retinaface(pixels: np.ndarray, threshold: float) -> list[Detection]:
    patcher = _retinaface_model()
    comfy.model_management.load_models_gpu([patcher])
    network = patcher.model
    network.device = patcher.load_device
    network.mean_tensor = network.mean_tensor.to(patcher.load_device)
    resized, scale = _resized(pixels, int(np.clip(max(pixels.shape), LEAST_EDGE, MOST_EDGE)))
    with torch.inference_mode():
        rows = network.detect_faces(resized[..., ::-1], threshold, OVERLAP)
    return _scaled(rows[:, :4], rows[:, 4], rows[:, 5:15].reshape(-1, 5, 2), scale)


@lru_cache
def _retinaface_model():
    try:
        from facexlib.detection.retinaface import RetinaFace
    except ImportError as error:
        raise ValueError(_package_missing("retinaface", "facexlib", error)) from error
    weights = load_weights(RETINAFACE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # facexlib asks torchvision for a ResNet in the old way
        network = RetinaFace("resnet50", device="cpu")
    load_checked(network, weights, RETINAFACE)
    return managed(network)


def managed(network):
    """`network` in the host's care: it decides where it runs and when it leaves the device."""
    device, rest = comfy.model_management.get_torch_device(), comfy.model_management.unet_offload_device()
    return core_patcher(network.eval(), device, rest)


def _mtcnn(pixels: np.ndarray, threshold: float) -> list[Detection]:
    resized, scale = _resized(pixels, int(np.clip(max(pixels.shape), LEAST_EDGE, MOST_EDGE)))
    if min(resized.shape[:2]) < MTCNN_LEAST:
        return []
    corners, scores, points = _mtcnn_model().detect(resized, landmarks=True)
    return [] if corners is None else _scaled(corners, scores, points, scale)


@lru_cache
def _mtcnn_model():
    try:
        from facenet_pytorch import MTCNN
    except ImportError as error:
        raise ValueError(_package_missing("mtcnn", "facenet-pytorch", error, " --no-deps")) from error
    return MTCNN(keep_all=True, device="cpu")


def _package_missing(backend: str, package: str, error: ImportError, options: str = "") -> str:
    return (
        f"The detector {backend} needs the Python package {package}: run `python -m pip install {package}{options}` in "
        f"ComfyUI's Python and restart, or choose yunet, which needs nothing more. ({error})"
    )


BACKENDS = {"yunet": _yunet, "retinaface": _retinaface, "mtcnn": _mtcnn}
