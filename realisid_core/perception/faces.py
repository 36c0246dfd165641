"""What every part of perception shares: faces in images, their square crops, and the host's BOUNDING_BOX form."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..box_formats import read_bounding_boxes
from ..geometry import from_pixels, square

Box = tuple[float, float, float, float]
BOXES = ("landmarks", "detector", "given")  # the landmarks' square (`framing`), a detector's own, or somebody else's
PARSERS = {
    "bisenet": "BiSeNet",
    "person": "MediaPipe's person mask",
    "landmarks": "landmark outline",
    "world": "the face world's own mask",
    "none": "nothing zeroed",
}
LARGEST = 8  # a box may be so many pictures wide; past that it is a mistake, and costs memory


@dataclass
class Face:
    """One face. Pixel coordinates are continuous: pixel `i` covers `[i, i + 1)`.

    Attributes:
        found: `(x0, y0, x1, y1)` as the detector gave it, pixels.
        square: the face box, `framing.face_square`; may reach past the frame.
        margin: by how much of its side `box` is larger than `square`.
        score: the detector's confidence, 0..1.
        points: [5, 2] pixels: right eye, left eye, nose tip, right and left corner of the mouth ("right" is the
            person's own); None where the box came without points.
        landmarks: this face of FACE_LANDMARKS; None where nobody has looked, or none were found.
        mask: [H, W] of the whole image, 0..1, what the parser keeps; None before parsing.
        number: in its picture, from 1; what the picture shows it with, whether or not the others were kept.
    """

    found: Box
    square: Box
    margin: float = 0.0
    score: float = 1.0
    points: np.ndarray | None = None
    landmarks: dict | None = None
    mask: Tensor | None = None
    number: int = 1

    @property
    def box(self) -> Box:
        """What is cropped: the square enlarged by the margin."""
        return square(*self.square, self.margin)


@dataclass(frozen=True)
class Parsing:
    """How faces were parsed; two that used the same parser and kept the same are equal. `str()` says it in words.

    Attributes:
        parser: a key of `PARSERS`.
        keep: what was really kept, one of `parsing.KEEP`.
        note: what is not as it was asked for, in words.
    """

    parser: str
    keep: str
    note: str = field(default="", compare=False)

    def __str__(self) -> str:
        text = PARSERS[self.parser] if self.keep == "everything" else f"{PARSERS[self.parser]}: {self.keep}"
        return f"{text} ({self.note})" if self.note else text


@dataclass
class Faces:
    """The faces of a batch of images, and how they came to be: what a checkpoint's config records of its training.

    Attributes:
        image: [B, H, W, 3], 0..1.
        faces: one list per image.
        others: per image the squares of faces that were found and left out; a parser gives them nothing.
        parsed: what parsed them and what was kept; None before parsing.
        detector: which found them, one of `detection.BACKENDS`; "" where none did.
        box: what the square boxes are, one of `BOXES`; "" where it is not known.
        margin: by how much of its side every box was enlarged.
    """

    image: Tensor
    faces: list[list[Face]] = field(default_factory=list)
    others: list[list[Box]] = field(default_factory=list)
    parsed: Parsing | None = None
    detector: str = ""
    box: str = ""
    margin: float = 0.0

    def __len__(self) -> int:
        return sum(map(len, self.faces))

    def __iter__(self) -> Iterator[tuple[int, Face]]:
        """`(index of the image, face)` in order."""
        return ((index, face) for index, faces in enumerate(self.faces) for face in faces)

    def pixels(self, index: int) -> np.ndarray:
        """Image `index` as uint8 [H, W, 3] RGB."""
        return to_uint8(self.image[index])

    def bounding_boxes(self) -> list[list[dict]]:
        """The faces' squares without margin in the host's BOUNDING_BOX form: per image a list, in pixels."""
        return [[_bounding_box(face) for face in faces] for faces in self.faces]

    def describe(self) -> dict:
        """All of it but the pixels, ready for JSON; `box` in pixels, `normalised` in fractions of the picture."""
        height, width = self.image.shape[1:3]
        pictures = [[_describe(face, width, height) for face in faces] for faces in self.faces]
        return {"width": width, "height": height, "faces": pictures}


def checked_image(image: Tensor) -> Tensor:
    """`image` as float [B, H, W, 3] in 0..1; one image, grey and RGBA are taken too (alpha is dropped).

    Raises:
        ValueError: no such shape, a side of zero, or values that are NaN or infinite; says which and where.
    """
    if not isinstance(image, Tensor):
        raise ValueError(f"The image is {type(image).__name__}; expected an IMAGE tensor [B, H, W, channels].")
    if image.ndim == 3:
        image = image[None]
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4):
        raise ValueError(
            f"The image has shape {list(image.shape)}; expected [B, H, W, channels] with 1, 3 or 4 channels."
        )
    if 0 in image.shape:
        raise ValueError(
            f"The image has shape {list(image.shape)}: no pixel at all. Check the crop or resize before this node."
        )
    image = image.detach().float().cpu()
    image = image.expand(-1, -1, -1, 3) if image.shape[-1] == 1 else image[..., :3]
    if not torch.isfinite(image.sum()):
        bad = (~torch.isfinite(image)).flatten(1).sum(1)
        index = int(bad.argmax())
        raise ValueError(
            f"The image has {int(bad[index])} values that are NaN or infinite (picture {index + 1} of {len(image)}). "
            "Check what made it: half-precision VAEs do this; try a full-precision VAE."
        )
    return image


def to_image(picture: np.ndarray | Image.Image) -> Tensor:
    """uint8 RGB [H, W, 3], or a picture of PIL's → IMAGE [1, H, W, 3] in 0..1."""
    return torch.tensor(np.asarray(picture))[None].float() / 255


def to_uint8(image: Tensor) -> np.ndarray:
    """[H, W, 3] in 0..1 → uint8 RGB."""
    return (image * 255).add_(0.5).clamp_(0, 255).to(torch.uint8).numpy()


def crop_square(pixels: np.ndarray, box: Box, size: int) -> np.ndarray:
    """The part of `pixels` (uint8 [H, W, 3] or float32 [H, W]) in `box` at `size` × `size`, antialiased bicubic.

    The box is in pixels and exact to the sub-pixel; what lies past the frame is zero.
    """
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = box
    reach = int(np.ceil(2 * max(1.0, (x1 - x0) / size))) + 1  # of the bicubic filter, so that cutting changes nothing
    left, top = int(np.floor(x0)) - reach, int(np.floor(y0)) - reach
    right, bottom = int(np.ceil(x1)) + reach, int(np.ceil(y1)) + reach
    part = pixels[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    pad = [(max(-top, 0), max(bottom - max(height, top), 0)), (max(-left, 0), max(right - max(width, left), 0))]
    canvas = np.zeros((bottom - top, right - left, *pixels.shape[2:]), pixels.dtype)
    y, x = pad[0][0], pad[1][0]
    canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
    inside = (x0 - left, y0 - top, x1 - left, y1 - top)
    return np.array(Image.fromarray(canvas).resize((size, size), Image.Resampling.BICUBIC, box=inside))


def faces_from_boxes(image: Tensor, value: object, margin: float = 0.0) -> Faces:
    """Faces at boxes that someone else found or drew (the host's BOUNDING_BOX), made square; no points.

    Boxes of a single image serve the whole batch. Raises ValueError for boxes of another number of images, or off it.
    """
    image = checked_image(image)
    entries = read_bounding_boxes(value)
    if len(entries) == 1:
        entries *= len(image)
    if len(entries) != len(image):
        raise ValueError(f"The bboxes are for {len(entries)} pictures, but the image batch has {len(image)}.")
    faces = [[_face(box, margin, number) for number, box in enumerate(boxes, 1)] for boxes in entries]
    height, width = image.shape[1:3]
    for face in (face for found in faces for face in found):
        x0, y0, x1, y1 = face.box
        if not (x0 < width and y0 < height and x1 > 0 and y1 > 0 and x1 - x0 <= LARGEST * max(height, width)):
            corners = ", ".join(f"{value:.0f}" for value in face.box)
            raise ValueError(
                f"The bounding box {corners} (made square, in pixels) does not lie on the {width}×{height} picture. "
                "Is it from another picture, or in fractions instead of pixels?"
            )
    return Faces(image, faces, box="given", margin=margin)


def require_faces(faces: Faces) -> Faces:
    """`faces` itself; ValueError where there is none."""
    if len(faces) == 0:
        raise ValueError(
            "There is no face in the faces input. Lower the threshold of the detection, or draw a box by hand."
        )
    return faces


def _face(box: dict, margin: float, number: int) -> Face:
    x, y, width, height = (float(box[key]) for key in ("x", "y", "width", "height"))
    found = (x, y, x + width, y + height)
    return Face(found, square(*found), margin, float(box.get("score", 1.0)), number=number)


def _describe(face: Face, width: int, height: int) -> dict:
    normalised = from_pixels(*face.box, width, height)
    return {
        "number": face.number,
        "box": list(face.box),
        "normalised": [normalised.x, normalised.y, normalised.width, normalised.height],
        "score": face.score,
        "points": None if face.points is None else face.points.tolist(),
    }


def _bounding_box(face: Face) -> dict:
    x0, y0, x1, y1 = map(float, face.square)
    return {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "label": "face", "score": float(face.score)}
