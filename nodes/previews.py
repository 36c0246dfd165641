"""The pictures that the nodes show: boxes, masks and landmarks drawn over the photo."""

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from ..realisid_core.conditions.contours import draw_contours
from ..realisid_core.geometry import FaceBoxes, relative_size, square
from ..realisid_core.perception.faces import Box, Face, Faces, crop_square, to_image, to_uint8
from ..realisid_core.perception.landmarks import crop_frame, head_pose

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
LAYOUT_EDGE = 768
SMALL_FACE = 1 / 6
BACKGROUND = (38, 40, 46)
REMOVED = np.array((24, 26, 32))  # what a parser took away is shown in this colour, faintly


def boxes_picture(faces: Faces) -> Tensor:
    """[B, h, w, 3]: each picture with its faces' square boxes, numbered from 1, confidence and five points."""
    return _stack([_boxes(faces.pixels(index), found) for index, found in enumerate(faces.faces)])


def masks_picture(faces: Faces) -> Tensor:
    """[N, 512, 512, 3]: each face's surroundings, what the parser took away darkened, the crop's box, the parser."""
    return _stack([_mask(faces.pixels(index), face, str(faces.parsed or "not parsed")) for index, face in faces])


def landmarks_picture(landmarks: dict, image: Tensor | None = None) -> Tensor:
    """[N, 512, 512, 3]: the contours over each face (over black without an image) and the head pose in degrees."""
    tiles = []
    for index, found in enumerate(landmarks["frames"]):
        pixels = to_uint8(image[index]) if image is not None else np.zeros((*landmarks["image_size"], 3), np.uint8)
        tiles += [_landmarks(pixels, face) for face in found]
    return _stack(tiles)


def draw_layout(boxes: FaceBoxes, background: Tensor | None = None) -> Tensor:
    """The boxes with number, name and relative size over the background, fitted and centred: [1, h, w, 3] in 0..1."""
    scale = LAYOUT_EDGE / max(boxes.width, boxes.height)
    size = round(boxes.width * scale), round(boxes.height * scale)
    picture = Image.new("RGB", size, BACKGROUND)
    if background is not None:
        photo = Image.fromarray(to_uint8(background[0, ..., :3].cpu()))
        photo = ImageOps.contain(photo, size, Image.Resampling.LANCZOS)
        picture.paste(photo, ((size[0] - photo.width) // 2, (size[1] - photo.height) // 2))
    draw = ImageDraw.Draw(picture, "RGBA")
    font = ImageFont.load_default(size=18)
    for number, box in enumerate(boxes.boxes, 1):
        colour = PERSON_COLOURS[(number - 1) % len(PERSON_COLOURS)]
        corners = box.scaled(*size)
        draw.rectangle(corners, fill=(*colour, 48), outline=colour, width=3)
        fraction = relative_size(box, boxes.width, boxes.height)
        words = [str(number), " ".join(box.name.split()), f"1/{1 / fraction:.1f}"]
        label = "  ".join(filter(None, words)) + " small" * (fraction < SMALL_FACE)
        x, y = max(corners[0], 0), min(max(corners[1], 0), size[1] - 26)
        x = min(x, size[0] - draw.textlength(label, font) - 12)
        draw.rectangle((x, y, x + draw.textlength(label, font) + 12, y + 26), fill=(*colour, 235))
        draw.text((x + 6, y + 3), label, fill=(0, 0, 0), font=font)
    return to_image(picture)


def _boxes(pixels: np.ndarray, found: list[Face]) -> Image.Image:
    height, width = pixels.shape[:2]
    scale = np.clip(max(height, width), LEAST_EDGE, MOST_EDGE) / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    line = max(2, round(max(size) / 256))
    for face in reversed(found):  # the first face's label lies on top
        colour = COLOURS[(face.number - 1) % len(COLOURS)]
        _rectangle(draw, tuple(value * scale for value in face.box), colour, line)
        for x, y in face.points * scale if face.points is not None else ():
            draw.ellipse((x - line, y - line, x + line, y + line), fill=colour)
        corner = (face.box[0] * scale, face.box[1] * scale)
        _label(draw, picture.size, corner, f"{face.number}  {face.score:.0%}", colour, max(size) / 32)
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
    points = (face["landmarks_xy"] - frame[:2]) * (TILE / (frame[2] - frame[0]))
    draw_contours(crop, points, outline=True, width=3)
    picture = Image.fromarray(crop)
    draw = ImageDraw.Draw(picture)
    yaw, pitch, roll = head_pose(face)
    text = f"yaw {yaw:+.0f}°   pitch {pitch:+.0f}°   roll {roll:+.0f}°"
    _label(draw, picture.size, (0, TILE), text, COLOURS[1], TILE / 26)
    return picture


def _inside(box: Box, frame: Box) -> Box:
    scale = TILE / (frame[2] - frame[0])
    return tuple((value - start) * scale for value, start in zip(box, frame[:2] * 2, strict=True))


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
