"""Face boxes of a picture to be made, from the faces of a layout photo."""

from ..box_formats import from_bounding_boxes
from ..geometry import FaceBoxes, checked, scaled_about_centre
from .faces import Faces


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
            for x0, y0, x1, y1 in (face.square for face in found)
        ]
    else:
        entries = faces
    boxes = from_bounding_boxes(entries, width, height).boxes
    if not boxes:
        raise ValueError("faces holds no face, so there is no box to make. Connect a photo in which faces were found.")
    return checked([scaled_about_centre(box, scale) for box in boxes], width, height)
