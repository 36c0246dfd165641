"""What every part of perception shares: faces in images, their square crops, and the host's BOUNDING_BOX form."""

import math
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
MOST_REDUCED = 16  # times that bicubic filtering shrinks; before that, blocks of pixels are averaged
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


def checked_image(image: object, name: str = "image") -> Tensor:
    """`image` as float [B, H, W, 3] in 0..1; one image, grey and RGBA are taken too (alpha is dropped).

    Args:
        name: of the input, for messages.

    Raises:
        ValueError: no such shape, a side of zero, or values that are NaN or infinite; says which and where.
    """
    if not isinstance(image, Tensor):
        raise ValueError(f"The {name} is {type(image).__name__}; expected an IMAGE tensor [B, H, W, channels].")
    if image.ndim == 3:
        image = image[None]
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4):
        raise ValueError(
            f"The {name} has shape {list(image.shape)}; expected [B, H, W, channels] with 1, 3 or 4 channels."
        )
    if 0 in image.shape:
        raise ValueError(
            f"The {name} has shape {list(image.shape)}: no pixel at all. Check the crop or resize before this node."
        )
    image = image.detach().to("cpu", torch.float32)
    image = image.expand(-1, -1, -1, 3) if image.shape[-1] == 1 else image[..., :3]
    if not torch.isfinite(image.sum()):
        bad = (~torch.isfinite(image)).flatten(1).sum(1)
        index = int(bad.argmax())
        raise ValueError(
            f"The {name} has {int(bad[index])} values that are NaN or infinite (picture {index + 1} of {len(image)}). "
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

    The box is in pixels and exact to the sub-pixel; what lies past the frame is zero. However large the box is, no more
    memory is taken than the picture and the crop have.
    """
    x0, y0, x1, _ = box
    scale = (x1 - x0) / size
    if scale > MOST_REDUCED:
        factor = int(scale / MOST_REDUCED * 2)
        reduced = np.asarray(Image.fromarray(pixels).reduce(factor))
        return crop_square(reduced, tuple(value / factor for value in box), size)
    reach = math.ceil(2 * max(1.0, scale)) + 1  # of the bicubic filter, so that cutting changes nothing
    rows, top, bottom = _shown(y0, scale, size, pixels.shape[0], reach)
    columns, left, right = _shown(x0, scale, size, pixels.shape[1], reach)
    crop = np.zeros((size, size, *pixels.shape[2:]), pixels.dtype)
    if rows.start < rows.stop and columns.start < columns.stop:
        canvas = _cut(pixels, left, top, right, bottom)
        corner = (x0 + columns.start * scale - left, y0 + rows.start * scale - top)
        shape = (columns.stop - columns.start, rows.stop - rows.start)
        inside = (*corner, corner[0] + shape[0] * scale, corner[1] + shape[1] * scale)
        crop[rows, columns] = Image.fromarray(canvas).resize(shape, Image.Resampling.BICUBIC, box=inside)
    return crop


def _shown(start: float, scale: float, size: int, length: int, reach: int) -> tuple[slice, int, int]:
    """Along one axis: the crop's cells that a picture of `length` reaches, and which pixels they see, from and to."""
    first = min(max(math.floor((-reach - start) / scale), 0), size)
    last = max(min(math.ceil((length + reach - start) / scale), size), first)
    cells = slice(first, last)
    return cells, math.floor(start + first * scale) - reach, math.ceil(start + last * scale) + reach


def _cut(pixels: np.ndarray, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """`pixels[top:bottom, left:right]`, zero past the frame."""
    canvas = np.zeros((bottom - top, right - left, *pixels.shape[2:]), pixels.dtype)
    part = pixels[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    y, x = max(-top, 0), max(-left, 0)
    canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
    return canvas


def faces_from_boxes(image: Tensor, value: object, margin: float = 0.0) -> Faces:
    """Faces at boxes that someone else found or drew (the host's BOUNDING_BOX), made square; no points.

    Boxes of a single image serve the whole batch. Raises ValueError for boxes of another number of images, or off it.
    """
    image = checked_image(image)
    checked_margin(margin)
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
                "Is it from another picture?"
            )
    return Faces(image, faces, box="given", margin=margin)


def checked_margin(margin: float) -> None:
    """Raises ValueError where a box cannot be enlarged by that."""
    if not -1 < margin <= LARGEST:
        raise ValueError(f"margin is {margin:g}; expected more than -1 and at most {LARGEST}.")


def require_faces(faces: object) -> Faces:
    """`faces` itself; ValueError where it is something else, such as another pack's, or holds no face."""
    if not isinstance(faces, Faces):
        raise ValueError(
            f"faces is {type(faces).__name__}, which RealisID's Detect Faces does not make. Connect its faces output."
        )
    if len(faces) == 0:
        raise ValueError(
            "There is no face in the faces input. Lower the threshold of the detection, or draw a box by hand."
        )
    return faces


def _face(box: dict, margin: float, number: int) -> Face:
    x, y, width, height = (box[key] for key in ("x", "y", "width", "height"))
    found = (x, y, x + width, y + height)
    return Face(found, square(*found), margin, box["score"], number=number)


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
