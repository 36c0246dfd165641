"""From a picture somebody took to a square picture of one person, with all that training wants to know of the face."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from ..identity.clip_projector import CROP_SIZE
from ..perception import Face, Faces, crop_frame, detect_faces, face_landmarks, masked_crops, parse_faces
from ..perception.faces import to_image
from .data import face_of

LONGEST = 2048  # pictures are shrunk to this before faces are looked for
ROUND_THE_FACE = 0.5  # of its side, kept in the square crop where the picture has it


@dataclass(frozen=True)
class Candidate:
    """A picture as found: its bytes, which may turn out to be unusable, and its caption or why there is none."""

    source: str
    data: bytes
    caption: str | None
    flaw: str = "no caption"


@dataclass(frozen=True)
class Portrait:
    """A square picture of one person, or of several.

    Attributes:
        image: [S, S, 3] uint8 RGB.
        face_crop: what CLIP sees, [C, C, 3] in 0..1, irrelevant parts zero.
        landmarks: [478, 2] in fractions of the picture.
        sizes: SDXL's (height, width, crop top, crop left, target height, target width), in pixels.
        others: crop and landmarks of each further face.
    """

    source: str
    image: np.ndarray
    face_crop: Tensor
    landmarks: np.ndarray
    caption: str
    sizes: tuple[int, ...]
    others: Sequence[tuple[Tensor, np.ndarray]] = ()

    @property
    def faces(self) -> list[tuple[Tensor, np.ndarray]]:
        """Crop and landmarks of each face."""
        return [(self.face_crop, self.landmarks), *self.others]


class Dropped(Exception):
    """A picture that is not used, and why."""


@dataclass(frozen=True)
class Rules:
    """What makes a picture usable, and how its face is cut out.

    Attributes:
        image_size: side of the square pictures.
        smallest_side: pictures whose shorter side has fewer pixels are dropped.
        smallest_face: least relative size of the face box.
        detector: back end of the face detection.
        parser, keep: of the face parsing.
        faces: at most so many in a picture.
    """

    image_size: int
    smallest_side: int
    detector: str = "yunet"
    parser: str = "auto"
    keep: str = "face and hair"
    smallest_face: float = 1 / 16
    faces: int = 1


def make_portrait(candidate: Candidate, rules: Rules) -> Portrait:
    """Detect, crop square, landmark and parse. Raises Dropped saying why a picture is not used."""
    if candidate.caption is None:
        raise Dropped(candidate.flaw)
    picture = read_picture(candidate.data)
    if min(picture.size) < rules.smallest_side:
        raise Dropped("too small")
    original = picture.size
    picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    found = detect_faces(to_image(picture), rules.detector, required=False).faces[0]
    if not 1 <= len(found) <= rules.faces:
        many = "more than one face" if rules.faces == 1 else f"more than {rules.faces} faces"
        raise Dropped(many if found else "no face")
    width, height = picture.size
    boxes = np.array([face.box for face in found])
    around = (*boxes[:, :2].min(0).tolist(), *boxes[:, 2:].max(0).tolist())
    left, top, side = square_crop(width, height, around)
    if min(box[2] - box[0] for box in boxes) / side < rules.smallest_face:
        raise Dropped("face too small")
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2 - (left, top)
    if len(found) > 1 and not ((middles >= 0) & (middles <= side)).all():
        raise Dropped("faces too far apart for a square")
    scale = rules.image_size / side
    shape = (rules.image_size, rules.image_size)
    square = picture.resize(shape, Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))
    faces = Faces(to_image(square), [[moved(face, left, top, scale) for face in found]])
    landmarks = face_landmarks(faces, skip=True)["frames"][0]
    if len(landmarks) != len(found):
        raise Dropped("no landmarks")
    crops = masked_crops(parse_faces(faces, rules.parser, rules.keep), CROP_SIZE)
    if not crops.flatten(1).any(1).all():
        raise Dropped("face not parsed")
    points = [face["landmarks_xy"] / rules.image_size for face in landmarks]
    return Portrait(
        candidate.source,
        np.asarray(square),
        crops[0],
        points[0],
        candidate.caption,
        (*original[::-1], round(top * scale), round(left * scale), *shape),
        list(zip(crops[1:], points[1:], strict=True)),
    )


def read_picture(data: bytes) -> Image.Image:
    """RGB, upright. Raises Dropped where the bytes are no picture, or hold values that 8 bits cannot."""
    try:
        picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        if picture.mode.startswith("I;16"):  # PIL's own conversion cuts everything above 255 off
            picture = Image.fromarray((np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8))
        elif picture.mode in ("I", "F"):
            raise Dropped("not a picture of 8 or 16 bits")
        return picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Dropped("unreadable") from error


def square_crop(width: int, height: int, face: tuple[float, float, float, float]) -> tuple[int, int, int]:
    """(left, top, side) of the largest square, as near to the middle as the face and its surroundings let it be."""
    side = min(width, height)
    reach = ROUND_THE_FACE * (face[2] - face[0])

    def start(length: int, low: float, high: float) -> int:
        middle = (length - side) / 2
        return round(min(max(middle, high + reach - side, 0), max(low - reach, 0), length - side))

    return start(width, face[0], face[2]), start(height, face[1], face[3]), side


def moved(face: Face, left: float, top: float, scale: float) -> Face:
    """The face in a crop that starts at (left, top) and is enlarged by `scale`."""
    corner = np.array([left, top])

    def in_crop(box):
        return tuple(((np.array(box) - np.tile(corner, 2)) * scale).tolist())

    return replace(
        face,
        found=in_crop(face.found),
        square=in_crop(face.square),
        landmarks=None,
        points=None if face.points is None else (face.points - corner) * scale,
    )


def thumbnail(image: np.ndarray, side: int = 160) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def contact_sheet(thumbnails: list[tuple[bytes, np.ndarray]], columns: int = 8) -> Image.Image:
    """The small pictures with their face boxes and landmarks drawn in; each comes with landmarks in fractions."""
    import cv2

    tiles = []
    for data, landmarks in thumbnails:
        tile = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
        face = face_of(landmarks, len(tile))
        x0, y0, x1, y1 = (round(value) for value in crop_frame(face))
        for x, y in face["landmarks_xy"][:468:6].round().astype(int).tolist():
            cv2.circle(tile, (x, y), 0, (0, 255, 0), -1)
        tiles.append(cv2.rectangle(tile, (x0, y0), (x1, y1), (255, 220, 0), 1))
    side = len(tiles[0])
    rows = -(-len(tiles) // columns)
    sheet = np.zeros((rows * side, min(columns, len(tiles)) * side, 3), np.uint8)
    for i, tile in enumerate(tiles):
        row, column = divmod(i, columns)
        sheet[row * side : (row + 1) * side, column * side : (column + 1) * side] = tile
    return Image.fromarray(sheet)
