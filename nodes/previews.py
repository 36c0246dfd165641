"""The pictures that the nodes show: boxes, masks and landmarks drawn over the photo."""

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import count, islice

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from ..realisid_core.conditions.contours import draw_contours
from ..realisid_core.geometry import FaceBox, FaceBoxes, relative_size, square
from ..realisid_core.metrics.scoring import Score
from ..realisid_core.perception.faces import Box, Face, Faces, crop_square, to_image, to_uint8
from ..realisid_core.perception.landmarks import crop_frame, head_pose

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
LEAST_EDGE, MOST_EDGE = 512, 1024  # small pictures are enlarged, so that figures stay legible
TILE = 512
SURROUNDINGS = 0.5
COLOURS = ((255, 196, 0), (0, 200, 255), (255, 92, 138), (120, 220, 90), (190, 140, 255), (255, 140, 60))
# one a person, the same in the editor; apart from each other for colour-blind eyes (Okabe and Ito)
PERSON_COLOURS = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (213, 94, 0),
    (0, 114, 178),
    (187, 187, 187),
)
NOT_KEPT = (170, 172, 178)
LAYOUT_EDGE = 2048
LEGIBLE = 768  # edge of a picture whose letters are 18 pixels high
LONGEST_LABEL = 40  # characters of a name
LACKING = "\U0010ffff"  # no font has it; they draw a box for what they lack
SYSTEM_FONTS = (  # of Windows, macOS and Linux, for names in Latin, Greek, Cyrillic, Chinese, Japanese and Korean
    *("DejaVuSans.ttf", "segoeui.ttf", "msyh.ttc", "malgun.ttf", "Arial Unicode.ttf", "Hiragino Sans GB.ttc"),
    *("NotoSansCJK-Regular.ttc", "wqy-zenhei.ttc"),
)
MOST_SHOWN = 16  # pictures, faces
SMALL_FACE = 1 / 6
BACKGROUND = (38, 40, 46)
REMOVED = np.array((24, 26, 32))  # what a parser took away is shown in this colour, faintly


def boxes_picture(faces: Faces) -> Tensor:
    """[B, h, w, 3]: each picture with its faces' square boxes, numbered from 1, confidence and five points.

    Faces that were found and not kept are there in grey, with the numbers that choose them.
    """
    others = faces.others or [[] for _ in faces.faces]
    shown = zip(range(MOST_SHOWN), faces.faces, others, strict=False)
    return _stack([_boxes(faces.pixels(index), found, left_out) for index, found, left_out in shown])


def scores_picture(image: Tensor, scored: Sequence[Sequence[Score]]) -> Tensor:
    """[B, h, w, 3]: each picture with the judged faces' boxes and their likeness; who was not found stands below."""
    return _stack([_scores(to_uint8(one[..., :3].cpu()), scores) for one, scores in zip(image, scored, strict=True)])


def masks_picture(faces: Faces) -> Tensor:
    """[N, 512, 512, 3]: each face's surroundings, what the parser took away darkened, the crop's box, the parser."""
    shown = islice(faces, MOST_SHOWN)
    return _stack([_mask(faces.pixels(index), face, str(faces.parsed or "not parsed")) for index, face in shown])


def landmarks_picture(landmarks: dict, image: Tensor | None = None) -> Tensor:
    """[N, 512, 512, 3]: the contours over each face (over black without an image) and the head pose in degrees."""
    shown = [(index, face) for index, frame in enumerate(landmarks["frames"]) for face in frame][:MOST_SHOWN]
    black = np.zeros((1, 1, 3), np.uint8)
    return _stack([_landmarks(black if image is None else to_uint8(image[index]), face) for index, face in shown])


def draw_layout(boxes: FaceBoxes, background: Tensor | None = None) -> Tensor:
    """The boxes with number, name and relative size over the background, fitted and centred: [1, h, w, 3] in 0..1.

    As large as the picture that is to be made, up to `LAYOUT_EDGE`.
    """
    scale = min(1.0, LAYOUT_EDGE / max(boxes.width, boxes.height))
    size = max(1, round(boxes.width * scale)), max(1, round(boxes.height * scale))
    picture = Image.new("RGB", size, BACKGROUND)
    if background is not None:
        photo = Image.fromarray(to_uint8(background[0, ..., :3].cpu()))
        photo = ImageOps.contain(photo, size, Image.Resampling.LANCZOS)
        picture.paste(photo, ((size[0] - photo.width) // 2, (size[1] - photo.height) // 2))
    draw = ImageDraw.Draw(picture, "RGBA")
    unit = max(size) / LEGIBLE  # lines and letters grow with the picture
    for number, box in enumerate(boxes.boxes, 1):
        colour = PERSON_COLOURS[(number - 1) % len(PERSON_COLOURS)]
        corners = _clipped(box.scaled(*size), size, 8 * unit)
        draw.rectangle(corners, fill=(*colour, 48), outline=colour, width=max(1, round(3 * unit)))
        fraction = relative_size(box, boxes.width, boxes.height)
        label, font = _label_of(number, box, fraction, max(8, round(18 * unit)))
        across, down, pad = draw.textlength(label, font) + 12 * unit, 26 * unit, 6 * unit
        x, y = max(0, min(corners[0], size[0] - across)), min(max(corners[1], 0), max(0, size[1] - down))
        draw.rectangle((x, y, x + across, y + down), fill=(*colour, 235))
        draw.text((x + pad, y + pad / 2), label, fill=(0, 0, 0), font=font)
    return to_image(picture)


def _label_of(number: int, box: FaceBox, fraction: float, size: int) -> tuple[str, Font]:
    """Number, name, relative size, and a font that has the name's letters; without the name where no font has them."""
    name = " ".join(box.name.split())
    name = name if len(name) <= LONGEST_LABEL else name[: LONGEST_LABEL - 3] + "..."
    font = next((font for font in _fonts(size) if _has(font, name)), None)
    words = [str(number), name if font else "", f"1/{1 / fraction:.1f}"]
    label = "  ".join(filter(None, words)) + " small" * (fraction < SMALL_FACE)
    return label, font or _fonts(size)[0]


def _has(font: Font, text: str) -> bool:
    def drawn(letter: str) -> bytes:
        return bytes(font.getmask(letter))  # pyright: ignore[reportArgumentType] -- Pillow's core has no types

    return not any(drawn(letter) == drawn(LACKING) for letter in set(text) - {" "})


@lru_cache(8)
def _fonts(size: int) -> list[Font]:
    """Pillow's own font, which has ASCII only, and what the system has of others."""
    fonts: list[Font] = [ImageFont.load_default(size)]
    for name in SYSTEM_FONTS:
        with suppress(OSError):
            fonts.append(ImageFont.truetype(name, size))
    return fonts


def _clipped(box: Box, size: tuple[int, int], past: float) -> Box:
    """The box as far as it shows, and its edges `past` the picture's where they do not: large ones are slow to draw."""
    x0, y0, x1, y1 = (min(max(value, -past), edge + past) for value, edge in zip(box, size * 2, strict=True))
    return x0, y0, x1, y1


def _boxes(pixels: np.ndarray, found: list[Face], left_out: list[Box]) -> Image.Image:
    height, width = pixels.shape[:2]
    scale = np.clip(max(height, width), LEAST_EDGE, MOST_EDGE) / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    line = max(2, round(max(size) / 256))
    kept = {face.number for face in found}
    numbers = (number for number in count(1) if number not in kept)
    for number, box in zip(numbers, left_out, strict=False):
        _rectangle(draw, _clipped(tuple(value * scale for value in box), size, 4 * line), NOT_KEPT, line)
        _label(draw, picture.size, (box[0] * scale, box[1] * scale), str(number), NOT_KEPT, max(size) / 32)
    for face in reversed(found):  # the first face's label lies on top
        colour = COLOURS[(face.number - 1) % len(COLOURS)]
        _rectangle(draw, _clipped(tuple(value * scale for value in face.box), size, 4 * line), colour, line)
        for x, y in face.points * scale if face.points is not None else ():
            draw.ellipse((x - line, y - line, x + line, y + line), fill=colour)
        corner = (face.box[0] * scale, face.box[1] * scale)
        _label(draw, picture.size, corner, f"{face.number}  {face.score:.0%}", colour, max(size) / 32)
    return picture


def _scores(pixels: np.ndarray, scores: Sequence[Score]) -> Image.Image:
    height, width = pixels.shape[:2]
    scale = np.clip(max(height, width), LEAST_EDGE, MOST_EDGE) / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    line, missing = max(2, round(max(size) / 256)), []
    for number, score in enumerate(scores):
        colour = PERSON_COLOURS[number % len(PERSON_COLOURS)]
        label = score.name if _has(_fonts(16)[0], score.name) else f"person {number + 1}"
        label = label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 3] + "..."
        if score.square is None:
            missing.append(label)
            continue
        box = tuple(value * scale for value in score.square)
        _rectangle(draw, _clipped(box, size, 4 * line), colour, line)
        _label(draw, size, box[:2], f"{label}  {score.similarity:.2f}", colour, max(size) / 28)
    if missing:
        _label(draw, size, (0, size[1]), f"not found: {', '.join(missing)}", NOT_KEPT, max(size) / 28)
    return picture


def _mask(pixels: np.ndarray, face: Face, parsed: str) -> Image.Image:
    frame = square(*face.box, SURROUNDINGS)
    crop = crop_square(pixels, frame, TILE)
    if face.mask is not None:
        kept = np.clip(crop_square(face.mask.numpy(), frame, TILE), 0, 1)[..., None]
        crop = np.uint8(crop * kept + (0.25 * crop + 0.75 * REMOVED) * (1 - kept))
    picture = Image.fromarray(crop)
    draw = ImageDraw.Draw(picture)
    _rectangle(draw, _inside(face.box, frame), COLOURS[0], 2)
    _label(draw, picture.size, (0, TILE), parsed, COLOURS[0], TILE / 26)
    return picture


def _landmarks(pixels: np.ndarray, face: dict) -> Image.Image:
    frame = square(*crop_frame(face), SURROUNDINGS)
    crop = crop_square(pixels, frame, TILE) // 2
    points = (np.asarray(face["landmarks_xy"]) - frame[:2]) * (TILE / (frame[2] - frame[0]))
    draw_contours(crop, points, outline=True, width=3)
    picture = Image.fromarray(crop)
    draw = ImageDraw.Draw(picture)
    yaw, pitch, roll = head_pose(face)
    text = f"yaw {yaw:+.0f}°   pitch {pitch:+.0f}°   roll {roll:+.0f}°"
    _label(draw, picture.size, (0, TILE), text, COLOURS[1], TILE / 26)
    return picture


def _inside(box: Box, frame: Box) -> Box:
    scale = TILE / (frame[2] - frame[0])
    x0, y0, x1, y1 = ((value - start) * scale for value, start in zip(box, frame[:2] * 2, strict=True))
    return x0, y0, x1, y1


def _rectangle(draw: ImageDraw.ImageDraw, box: Box, colour: tuple, line: int) -> None:
    x0, y0, x1, y1 = box
    draw.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=(0, 0, 0), width=line + 2)  # legible on any background
    draw.rectangle(box, outline=colour, width=line)


def _label(draw: ImageDraw.ImageDraw, size: tuple, corner: tuple, text: str, colour: tuple, height: float) -> None:
    """Dark text on a plate of `colour`, its lower left at `corner`, pushed inside the picture."""
    height = max(8, min(round(height), size[1] // 2))
    longest = size[0] - height // 2
    font = ImageFont.load_default(height)
    if (length := font.getlength(text)) > longest:
        font = ImageFont.load_default(max(8, int(height * longest / length)))
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    pad = height // 4
    across, down = right - left + 2 * pad, bottom - top + 2 * pad
    x = max(0, min(corner[0], size[0] - across))
    y = max(0, min(corner[1] - down, size[1] - down))
    draw.rectangle((x, y, x + across, y + down), fill=colour)
    draw.text((x + pad - left, y + pad - top), text, fill=(16, 16, 16), font=font)


def _stack(pictures: list[Image.Image]) -> Tensor:
    return torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).float() / 255
