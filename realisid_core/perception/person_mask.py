"""Face and hair for everyone: MediaPipe's person segmenter, cut below the jaw, less what is nearer to other faces."""

import threading
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..geometry import square
from .faces import Box, Face, crop_square
from .framing import downwards
from .landmark_paths import FACE_OVAL, JAW
from .model_files import SELFIE_SEGMENTER, read_shipped

SURROUNDINGS = 1.5  # round the face's square: of 0.6 to 2, where the segmenter was best on 40 people of the face world
INPUT = 256  # the network's own
EDGE = 512  # of the masks made here
ASPECT = 0.78  # a face's width over its height, where no landmarks tell
SOME = 0.2  # of a place that counts as joined
FAR = 4.0  # sides of the face; past the surroundings' edge
_in_use = threading.Lock()  # two graphs share one network


@dataclass(frozen=True)
class Outline:
    """A face's outline in pixels of its picture.

    Attributes:
        oval: [N, 2], closed.
        jaw: [K, 2], from one ear lobe along the chin to the other.
        down: the unit vector from forehead to chin.
    """

    oval: np.ndarray
    jaw: np.ndarray
    down: np.ndarray


def outline_of(face: Face) -> Outline:
    """By the landmarks; where there are none, an ellipse in the face's square, upright as the eyes are."""
    if face.landmarks is not None:
        points = np.asarray(face.landmarks["landmarks_xy"], np.float64)
        return Outline(points[list(FACE_OVAL)], points[list(JAW)], downwards(points[[33, 263]]))
    return ellipse(face.square, downwards(face.points))


def ellipse(frame: Box, down: np.ndarray) -> Outline:
    """The outline that a face of this square has on average."""
    x0, y0, x1, y1 = frame
    across = np.array([down[1], -down[0]])
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)[:, None]
    oval = np.array([x0 + x1, y0 + y1]) / 2 + (x1 - x0) / 2 * (
        ASPECT * np.cos(angle) * across + np.sin(angle) * down  # 0: one ear, π/2: the chin, π: the other ear
    )
    return Outline(oval, oval[4:21], down)


def face_and_hair(pixels: np.ndarray, face: Face, others: list[Box]) -> tuple[np.ndarray, Box]:
    """What belongs to a person's face and hair (and hat) in a picture, uint8 [H, W, 3].

    The person there, as far as this face is the nearest, without what is below the jaw; and all of the face's outline.

    Args:
        others: squares of the other faces in the picture.

    Returns:
        A mask float32 [512, 512], 0..1, and the square in pixels that it is of.
    """
    box = square(*face.square, SURROUNDINGS)
    scale = EDGE / (box[2] - box[0])
    outline = outline_of(face)

    def drawn(polygon: np.ndarray) -> np.ndarray:
        return filled((polygon - box[:2]) * scale, EDGE, EDGE)

    oval = drawn(outline.oval)
    below = np.maximum.reduce([drawn(polygon) for polygon in _below(outline, box[2] - box[0])])
    mask = _person(crop_square(pixels, box, INPUT)) * (1 - below)
    if others:
        inside = [drawn(ellipse(other, np.array([0.0, 1.0])).oval) for other in others]
        mask = mask * _nearest(face.square, others, box) * (1 - np.maximum.reduce(inside))
    return _joined(np.maximum(mask, oval), oval), box


def _joined(mask: np.ndarray, oval: np.ndarray) -> np.ndarray:
    """The mask without what is not joined to the face: pieces of shoulders, collars and other people."""
    import cv2

    _, pieces = cv2.connectedComponents(np.uint8(mask > SOME))
    face = np.unique(pieces[oval > SOME])
    return mask * np.isin(pieces, face[face > 0])


def filled(polygon: np.ndarray, height: int, width: int) -> np.ndarray:
    """[height, width] float32: 1 inside of a polygon [N, 2] in pixels, its edge anti-aliased."""
    import cv2

    mask = np.zeros((height, width), np.uint8)
    limit = 8 * max(height, width)  # OpenCV takes 16-bit integers with 4 bits of fraction
    points = np.clip(polygon - 0.5, -limit, limit)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


def _below(outline: Outline, side: float) -> list[np.ndarray]:
    """Polygons of neck and body: below the jaw from ear to ear, and all that is lower than the chin."""
    down = outline.down * FAR * side
    across = np.array([down[1], -down[0]])
    under_jaw = np.concatenate([outline.jaw, outline.jaw[::-1] + down])
    chin = outline.jaw[np.argmax(outline.jaw @ outline.down)]
    return [under_jaw, np.array([chin - across, chin + across, chin + across + down, chin - across + down])]


def _nearest(own: Box, others: list[Box], box: Box) -> np.ndarray:
    """[512, 512] float32: 1 where no other face's centre is nearer, in sides of that face."""
    step = (box[2] - box[0]) / EDGE
    y, x = np.mgrid[:EDGE, :EDGE] * step + step / 2

    def distance(face: Box) -> np.ndarray:
        x0, y0, x1, y1 = face
        return np.hypot(x + box[0] - (x0 + x1) / 2, y + box[1] - (y0 + y1) / 2) / (x1 - x0)

    return (distance(own) <= np.minimum.reduce([distance(other) for other in others])).astype(np.float32)


def _person(crop: np.ndarray) -> np.ndarray:
    """How surely each place shows a person: uint8 [256, 256, 3] → float32 [512, 512] in 0..1."""
    import cv2

    with _in_use:
        network = _segmenter()
        network.setInput(np.float32(crop.transpose(2, 0, 1)[None]) / 255)
        seen = network.forward().reshape(INPUT, INPUT)
        return np.clip(cv2.resize(seen, (EDGE, EDGE), interpolation=cv2.INTER_LINEAR), 0, 1)


@lru_cache
def _segmenter():
    import cv2

    try:
        return cv2.dnn.readNetFromTFLite(np.frombuffer(read_shipped(SELFIE_SEGMENTER), np.uint8))
    except (AttributeError, cv2.error) as error:
        raise ValueError(
            f"OpenCV {cv2.__version__} cannot read {SELFIE_SEGMENTER.name}. Update opencv-contrib-python to 4.8 or "
            f"newer and restart, or choose another method. ({error})"
        ) from error
