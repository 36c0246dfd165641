"""The editor's "From photo": face boxes of a picture that the page already shows, without running the graph."""

import asyncio
from pathlib import Path

import folder_paths
from aiohttp import web
from PIL import Image, ImageOps, UnidentifiedImageError

from ..realisid_core.box_formats import to_editor
from ..realisid_core.geometry import MAX_BOXES
from ..realisid_core.perception import detect_faces
from ..realisid_core.perception.faces import to_image
from ..realisid_core.perception.layout import boxes_from_faces


def boxes_of(filename: str, subfolder: str, kind: str, width: int, height: int) -> str:
    """Face boxes, as the editor's text, of a file in the host's input, output or temp folder.

    Raises ValueError: no such folder or file, no picture, or no face.
    """
    path = _file(filename, subfolder, kind)
    try:
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{filename} cannot be read as a picture.") from error
    found = detect_faces(to_image(picture), order="left to right", maximum=MAX_BOXES)
    return to_editor(boxes_from_faces(found, width, height))


def _file(filename: str, subfolder: str, kind: str) -> Path:
    folder = folder_paths.get_directory_by_type(kind)
    if folder is None:
        raise ValueError(f"There is no folder {kind!r}; expected input, output or temp.")
    root = Path(folder).resolve()
    path = (root / subfolder / filename).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise ValueError(f"{filename} is not in the {kind} folder any more. Run the graph again.")
    return path


async def answer(request: web.Request) -> web.Response:
    try:
        wanted = await request.json()
        file = (str(wanted.get(key, "")) for key in ("filename", "subfolder", "type"))
        text = await asyncio.to_thread(boxes_of, *file, int(wanted["width"]), int(wanted["height"]))
    except (KeyError, TypeError, ValueError) as error:
        return web.json_response({"error": str(error)}, status=400)
    return web.json_response({"boxes": text})


ROUTES = (web.post("/realisid/faces", answer),)
