"""The picture's layout: face boxes from a photo, their location mask, and a drawing of them."""

import torch
from einops import rearrange
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from .geometry import FaceBoxes, checked, from_bounding_boxes, relative_size, scaled_about_centre
from .perception import Faces
from .perception.faces import to_image, to_uint8
from .resampling import location_mask

PREVIEW_EDGE = 768
SMALL_FACE = 1 / 6
BACKGROUND = (38, 40, 46)
COLOURS = (  # one a person, the same in the editor; apart from each other for colour-blind eyes (Okabe and Ito)
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (213, 94, 0),
    (0, 114, 178),
    (187, 187, 187),
)


def union_mask(boxes: FaceBoxes) -> Tensor:
    """`c_loc` of everyone together, as the host's MASK: [1, H, W]."""
    if not boxes.boxes:
        return torch.zeros(1, boxes.height, boxes.width)
    masks = location_mask(boxes.boxes, boxes.height, boxes.width)
    return rearrange(masks, "b 1 h w -> b h w").amax(dim=0, keepdim=True)


def boxes_from_faces(faces: object, width: int, height: int, scale: float = 1.0) -> FaceBoxes:
    """Face boxes for a `width` × `height` picture where the faces of a layout photo are.

    The photo is fitted into the picture by its longer side and centred; `faces` is FACES or the host's BOUNDING_BOX in
    pixels of the picture itself. Of a batch, the first image that has faces counts. Raises ValueError for no face.
    """
    if isinstance(faces, Faces):
        photo_height, photo_width = faces.image.shape[1:3]
        found = next((image for image in faces.faces if image), [])
        fit = min(width / photo_width, height / photo_height)
        left, top = (width - photo_width * fit) / 2, (height - photo_height * fit) / 2
        entries = [
            {"x": left + x0 * fit, "y": top + y0 * fit, "width": (x1 - x0) * fit, "height": (y1 - y0) * fit}
            for x0, y0, x1, y1 in (face.box for face in found)
        ]
    else:
        entries = faces
    boxes = from_bounding_boxes(entries, width, height).boxes
    if not boxes:
        raise ValueError("faces holds no face, so there is no box to make. Connect a photo in which faces were found.")
    return checked([scaled_about_centre(box, scale) for box in boxes], width, height)


def draw_layout(boxes: FaceBoxes, background: Tensor | None = None) -> Tensor:
    """The boxes with number, name and relative size over the background, fitted and centred: [1, h, w, 3] in 0..1."""
    scale = PREVIEW_EDGE / max(boxes.width, boxes.height)
    size = round(boxes.width * scale), round(boxes.height * scale)
    picture = Image.new("RGB", size, BACKGROUND)
    if background is not None:
        photo = Image.fromarray(to_uint8(background[0, ..., :3].cpu()))
        photo = ImageOps.contain(photo, size, Image.Resampling.LANCZOS)
        picture.paste(photo, ((size[0] - photo.width) // 2, (size[1] - photo.height) // 2))
    draw = ImageDraw.Draw(picture, "RGBA")
    font = ImageFont.load_default(size=18)
    for number, box in enumerate(boxes.boxes):
        colour = COLOURS[number % len(COLOURS)]
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
