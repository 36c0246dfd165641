"""Face boxes of a picture to be made, from the faces of a layout photo."""

import math

from ..box_formats import from_bounding_boxes
from ..geometry import FaceBox, FaceBoxes, checked, checked_frame, from_pixels, scaled_about_centre
from .faces import Faces


def boxes_from_faces(faces: object, width: int, height: int, scale: float = 1.0) -> FaceBoxes:
    """Face boxes for a `width` × `height` picture where the faces of a layout photo are.

    The photo is fitted into the picture by its longer side and centred; `faces` is FACES or the host's BOUNDING_BOX in
    pixels of the picture itself. Of a batch, the first image that has faces counts. Raises ValueError for no face.
    """
    checked_frame(width, height)
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale is {scale:g}; expected a number greater than zero.")
    fitted = _fitted(faces, width, height) if isinstance(faces, Faces) else None
    boxes = from_bounding_boxes(faces, width, height, "faces").boxes if fitted is None else fitted
    if not boxes:
        raise ValueError("faces holds no face, so there is no box to make. Connect a photo in which faces were found.")
    return checked([scaled_about_centre(box, scale) for box in boxes], width, height)


def _fitted(faces: Faces, width: int, height: int) -> list[FaceBox]:
    photo_height, photo_width = faces.image.shape[1:3]
    fit = min(width / photo_width, height / photo_height)
    left, top = (width - photo_width * fit) / 2, (height - photo_height * fit) / 2
    found = next((image for image in faces.faces if image), [])
    squares = (
        [value * fit + start for value, start in zip(face.square, (left, top) * 2, strict=True)] for face in found
    )
    return [from_pixels(*corners, width, height) for corners in squares]
