"""Face detection: YuNet (shipped), RetinaFace (facexlib), MTCNN (the paper's, by facenet-pytorch)."""

from functools import lru_cache

import numpy as np
from torch import Tensor

from ..geometry import square
from .faces import Face, Faces, checked_image
from .models import RETINAFACE, YUNET, load_checked, load_weights, read_shipped

ORDERS = {
    "largest first": lambda face: -_area(face),
    "left to right": lambda face: face.found[0] + face.found[2],
    "most confident first": lambda face: -face.score,
}
EDGES = (640, 1280, 320)  # long edge at which YuNet looks: the first that shows a face counts
OVERLAP = 0.3

Detection = tuple[np.ndarray, float, np.ndarray]  # xyxy, score, five points


def detect_faces(
    image: Tensor,
    backend: str = "yunet",
    threshold: float = 0.6,
    order: str = "largest first",
    maximum: int = 0,
    margin: float = 0.0,
    index: int | None = None,
    required: bool = True,
) -> Faces:
    """Find the faces of each picture and make their boxes square by the longer edge (paper, section 3.1 (1)).

    Args:
        image: [B, H, W, C], 0..1, with 1, 3 or 4 channels.
        backend: one of `BACKENDS`.
        threshold: least confidence, 0..1.
        order: one of `ORDERS`.
        maximum: keep so many per picture, after ordering; 0 keeps all.
        margin: enlarges the square, as a fraction of its side.
        index: keep this one only, counted from 0 after ordering.
        required: a picture without a face is an error; otherwise it has an empty list.

    Raises:
        ValueError: no face, no face of that index, a bad image, or a back end that is not there.
    """
    image = checked_image(image)
    if backend not in BACKENDS:
        raise ValueError(f"There is no face detector {backend!r}; expected one of {', '.join(BACKENDS)}.")
    faces = Faces(image)
    for number in range(len(image)):
        detections = BACKENDS[backend](faces.pixels(number), threshold)
        found = [_face(*detection, margin) for detection in detections if detection[1] >= threshold]
        found.sort(key=ORDERS[order])
        if required and not found:
            raise ValueError(_no_face(number, image, backend, threshold))
        if index is not None and found:
            if index >= len(found):
                raise ValueError(
                    f"Face {index} was asked for, but picture {number + 1} has {_faces(len(found))} at threshold "
                    f"{threshold:g}: use an index from 0 to {len(found) - 1}, or lower the threshold."
                )
            found = [found[index]]
        faces.faces.append(found[:maximum] if maximum else found)
    return faces


def _face(box: np.ndarray, score: float, points: np.ndarray, margin: float) -> Face:
    found = tuple(map(float, box))
    return Face(found, square(*found, margin), min(float(score), 1.0), points)


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
    height, width = pixels.shape[:2]
    for edge in EDGES:
        scale = edge / max(height, width)
        shape = (max(1, round(height * scale)), max(1, round(width * scale)))
        if found := _yunet_at(pixels, shape, threshold):
            return found
    return []


def _yunet_at(pixels: np.ndarray, shape: tuple[int, int], threshold: float) -> list[Detection]:
    import cv2

    height, width = pixels.shape[:2]
    enlarging = shape[0] > height or shape[1] > width
    resized = cv2.resize(pixels, shape[::-1], interpolation=cv2.INTER_CUBIC if enlarging else cv2.INTER_AREA)
    detector = _yunet_model()
    detector.setInputSize(shape[::-1])
    detector.setScoreThreshold(threshold)
    rows = detector.detect(cv2.cvtColor(resized, cv2.COLOR_RGB2BGR))[1]
    if rows is None:
        return []
    scale = np.array([width / shape[1], height / shape[0]])
    corners = np.concatenate([rows[:, 0:2], rows[:, 0:2] + rows[:, 2:4]], 1) * np.tile(scale, 2)
    points = rows[:, 4:14].reshape(-1, 5, 2) * scale
    return list(zip(corners, rows[:, 14], points, strict=True))


@lru_cache
def _yunet_model():
    import cv2

    data = np.frombuffer(read_shipped(YUNET), np.uint8)
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # OpenCV 5 warns of its own default
    try:
        return cv2.FaceDetectorYN.create("onnx", data, np.empty(0, np.uint8), (320, 320), 0.5, OVERLAP, 1000)
    finally:
        cv2.utils.logging.setLogLevel(level)


def _retinaface(pixels: np.ndarray, threshold: float) -> list[Detection]:
    import comfy.model_management
    import torch

    patcher = _retinaface_model()
    comfy.model_management.load_models_gpu([patcher])
    network = patcher.model
    network.device = patcher.load_device
    network.mean_tensor = network.mean_tensor.to(patcher.load_device)
    with torch.inference_mode():
        rows = network.detect_faces(pixels[..., ::-1], threshold, OVERLAP + 0.1)
    return [(row[:4], row[4], row[5:15].reshape(5, 2)) for row in rows]


@lru_cache
def _retinaface_model():
    try:
        from facexlib.detection.retinaface import RetinaFace
    except ImportError as error:
        raise ValueError(_package_missing("retinaface", "facexlib", error)) from error
    weights = load_weights(RETINAFACE)
    network = RetinaFace("resnet50", device="cpu")
    load_checked(network, weights, RETINAFACE)
    return managed(network)


def managed(network):
    """`network` in the host's care: it decides where it runs and when it leaves the device."""
    import comfy.model_management
    import comfy.model_patcher

    device, rest = comfy.model_management.get_torch_device(), comfy.model_management.unet_offload_device()
    return comfy.model_patcher.ModelPatcher(network.eval(), load_device=device, offload_device=rest)


def _mtcnn(pixels: np.ndarray, threshold: float) -> list[Detection]:
    boxes, scores, points = _mtcnn_model().detect(np.ascontiguousarray(pixels), landmarks=True)
    return [] if boxes is None else list(zip(boxes, scores, points, strict=True))


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
