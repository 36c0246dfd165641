"""The editor's "From photo": face boxes of a picture that the page already shows, without running the graph.

Anybody who can reach the server can ask, with anything for a body: what is read, decoded and done at once is bounded.
"""

import asyncio
import json
import os
from pathlib import Path

import folder_paths
import node_helpers
from aiohttp import web
from PIL import Image, ImageOps, UnidentifiedImageError

from ..realisid_core.box_formats import to_editor
from ..realisid_core.geometry import MAX_BOXES, checked_frame
from ..realisid_core.perception import detect_faces
from ..realisid_core.perception.faces import to_image
from ..realisid_core.perception.layout import boxes_from_faces

MOST_BODY = 10_000  # bytes of a request
LONGEST_PATH = 1000  # characters
MOST_BYTES = 150 << 20  # of a decoded picture
LONG_EDGE = 2048  # larger pictures are shrunk to this before faces are looked for
MOST_WAITING = 8  # requests; one is worked on at a time
# What Load Image offers, of the formats that Pillow knows. Others run programs of the system (EPS) or are no pictures.
FORMATS = ["AVIF", "BMP", "DIB", "GIF", "HEIF", "ICO", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP"]

_one_at_a_time = asyncio.Semaphore(1)
_waiting: set[object] = set()


def boxes_of(filename: str, subfolder: str, kind: str, width: int, height: int) -> str:
    """Face boxes, as the editor's text, of a file in the host's input, output or temp folder.

    Raises ValueError: no such folder or file, no picture, too large a one, or no face.
    """
    checked_frame(width, height)
    path = _file(filename, subfolder, kind)
    try:
        picture = _picture(path)
    except Image.DecompressionBombError as error:
        raise ValueError(f"{filename} is too large a picture to look for faces in.") from error
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"{filename} cannot be read as a picture.") from error
    found = detect_faces(to_image(picture), order="left to right", maximum=MAX_BOXES)
    return to_editor(boxes_from_faces(found, width, height))


def _picture(path: Path) -> Image.Image:
    """The picture as the host's Load Image reads it (the first of several), shrunk to `LONG_EDGE`."""
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    with node_helpers.pillow(lambda file: Image.open(file, formats=formats), path) as picture:
        picture.draft("RGB", (LONG_EDGE, LONG_EDGE))  # a JPEG can be decoded smaller
        width, height = picture.size
        cell = (4 if picture.mode in "IF" else 1) * len(picture.getbands()) + 3 * (picture.mode != "RGB")
        if width * height * cell > MOST_BYTES:
            raise ValueError(f"{path.name} is {width}×{height}, too large a picture to look for faces in.")
        whole = node_helpers.pillow(_decoded, picture)
    if whole.mode == "I":
        whole = whole.point(lambda value: value * (1 / 255))
    whole = whole if whole.mode == "RGB" else whole.convert("RGB")
    whole.thumbnail((LONG_EDGE, LONG_EDGE))
    return ImageOps.exif_transpose(whole)


def _decoded(picture: Image.Image) -> Image.Image:
    picture.load()
    return picture


def _file(filename: str, subfolder: str, kind: str) -> Path:
    folder = folder_paths.get_directory_by_type(kind)
    if folder is None:
        raise ValueError(f"There is no folder {kind!r:.40}; expected input, output or temp.")
    root = os.path.abspath(folder)
    path = os.path.abspath(os.path.join(root, subfolder, filename))  # not resolved: users link pictures into it
    if "\0" in path or os.path.commonpath((root, path)) != root or not os.path.isfile(path):
        raise ValueError(f"{filename:.100} is not in the {kind} folder any more. Run the graph again.")
    return Path(path)


async def answer(request: web.Request) -> web.Response:
    if len(_waiting) >= MOST_WAITING:
        return web.json_response({"error": "Faces are being looked for in other pictures. Try again."}, status=503)
    place = object()
    _waiting.add(place)
    try:
        wanted = _asked(await _body(request))
        async with _one_at_a_time:
            text = await asyncio.to_thread(boxes_of, *wanted)
    except ValueError as error:
        return web.json_response({"error": str(error)}, status=400)
    finally:
        _waiting.discard(place)
    return web.json_response({"boxes": text})


async def _body(request: web.Request) -> bytes:
    try:
        await request.content.readexactly(MOST_BODY)
    except asyncio.IncompleteReadError as whole:
        return whole.partial
    raise ValueError(f"The request is longer than {MOST_BODY:,} bytes; expected a picture's name and a frame's size.")


def _asked(body: bytes) -> tuple[str, str, str, int, int]:
    """Filename, subfolder, type, width and height from a request's body. Raises ValueError saying what is wrong."""
    form = 'expected {"filename": …, "subfolder": …, "type": "input", "width": …, "height": …}'
    try:
        wanted = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The request is not JSON; {form}.") from error
    if not isinstance(wanted, dict):
        raise ValueError(f"The request is {type(wanted).__name__}; {form}.")
    texts: list[str] = []
    for key, default in (("filename", ""), ("subfolder", ""), ("type", "output")):
        text = wanted.get(key, default)
        if not isinstance(text, str) or len(text) > LONGEST_PATH:
            raise ValueError(f"{key} is no text of at most {LONGEST_PATH} characters; {form}.")
        texts.append(text)
    width, height = wanted.get("width"), wanted.get("height")
    checked_frame(width, height)
    filename, subfolder, kind = texts
    return filename, subfolder, kind, width, height  # pyright: ignore[reportReturnType] -- checked_frame looked at them


ROUTES = (web.post("/realisid/faces", answer),)
