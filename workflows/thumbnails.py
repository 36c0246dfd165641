"""Thumbnails for ComfyUI's template browser: `python -m workflows.thumbnails`.

Each shows who goes in and what comes out. Where that takes models that the pack does not have, it shows the layout with
the faces in their boxes, and says what is needed.
"""

import json
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from headless.client import Client, Workflow
from headless.server import PACK, running_server
from realisid_core.bootstrap import find_host, host_path

from .build import FOLDER, TEMPLATES, api_file
from .graph import INSTANTID, MINIATURE, PLAIN_SDXL, SDXL

SIZE = (640, 360)
PAPER, INK, FAINT, PANEL = "#1f2227", "#f4f2ec", "#a9adb5", "#33373f"
COLOURS = ("#56b4e9", "#e69f00", "#009e73")  # of the editor's boxes
EDGE, MARGIN, FACE = 320, 20, 104
NEEDS = {
    MINIATURE.name: "Runs at once",
    INSTANTID.name: "Needs SDXL and InstantID's files",
    PLAIN_SDXL.name: "Needs SDXL only",
    SDXL.name: "Needs SDXL and a trained RealisID",
}


def main() -> None:
    find_host()
    with tempfile.TemporaryDirectory() as home, running_server(host_path(), Path(home), "--cpu") as server:
        client = Client(server.address)
        for name, (workflow, base) in TEMPLATES.items():
            nodes = json.loads((FOLDER / api_file(workflow, base)).read_text(encoding="utf-8"))
            result = client.run(nodes).images("save")[0] if base is MINIATURE else None
            picture = thumbnail(name, NEEDS[base.name], nodes, result)
            picture.save(FOLDER / f"{name}.jpg", quality=78, optimize=True)
            print(name, flush=True)


def thumbnail(name: str, needs: str, nodes: Workflow, result: Image.Image | None) -> Image.Image:
    picture = Image.new("RGB", SIZE, PAPER)
    draw = ImageDraw.Draw(picture)
    right = SIZE[0] - MARGIN - EDGE
    panel = layout_of(nodes) if result is None else result.convert("RGB")
    picture.paste(ImageOps.fit(panel, (EDGE, EDGE), Image.Resampling.LANCZOS), (right, MARGIN))
    kinds = ("photo_", "pose_photo", "scene_photo")
    photos = [photo_of(node) for kind in kinds for key, node in nodes.items() if key.startswith(kind)]
    for place, photo in enumerate(photos):
        row, column = divmod(place, 2)
        corner = MARGIN + column * (FACE + 12), MARGIN + row * (FACE + 12)
        picture.paste(ImageOps.fit(photo, (FACE, FACE), centering=(0.5, 0.2)), corner)
    if photos:
        arrow, middle = right - 40, MARGIN + FACE // 2
        draw.line((arrow - 12, middle, arrow + 14, middle), FAINT, 4)
        draw.polygon([(arrow + 10, middle - 9), (arrow + 10, middle + 9), (arrow + 24, middle)], FAINT)
    title = name.removeprefix("RealisID ")[3:]
    draw.text((MARGIN, SIZE[1] - 92), title[:1].upper() + title[1:], INK, font(22))
    draw.text((MARGIN, SIZE[1] - 54), needs, FAINT, font(15))
    if result is None:
        draw.rectangle((right, MARGIN + EDGE - 28, right + 64, MARGIN + EDGE), PAPER)
        draw.text((right + 10, MARGIN + EDGE - 24), "layout", FAINT, font(15))
    return picture


def layout_of(nodes: Workflow) -> Image.Image:
    """The picture's frame with each person's face, or their words, in the box."""
    panel = Image.new("RGB", (EDGE, EDGE), PANEL)
    if "boxes" in nodes:
        drawn = json.loads(nodes["boxes"]["inputs"]["boxes"])["boxes"]
    else:
        panel = ImageOps.fit(photo_of(nodes["scene_photo"]), panel.size)
        x0, y0, x1, _ = (value / EDGE for value in face_in(panel).square)
        drawn = [{"x": x0, "y": y0, "size": x1 - x0}]
    draw = ImageDraw.Draw(panel)
    people = [key.removeprefix("person_") for key in nodes if key.startswith("person_")]
    for who, box, colour in zip(people, drawn, COLOURS, strict=False):
        x, y, side = (round(box[key] * EDGE) for key in ("x", "y", "size"))
        if photo := nodes.get(f"photo_{who}"):
            panel.paste(face_of(photo).resize((side, side), Image.Resampling.LANCZOS), (x, y))
        draw.rectangle((x, y, x + side, y + side), outline=colour, width=3)
        if words := nodes.get(f"words_{who}"):
            text = words["inputs"]["text"].removeprefix("a person wearing ")
            draw.text((x + side / 2, y + side + 16), text, INK, font(14), anchor="mm")
    return panel


def photo_of(node: dict) -> Image.Image:
    """What an Example Portrait gives, or a Load Image of a portrait of the same name."""
    name = node["inputs"].get("portrait") or Path(node["inputs"]["image"]).stem
    return _photo(name)


@lru_cache
def _photo(name: str) -> Image.Image:
    return Image.open(PACK / "portraits" / f"{name}.jpg").convert("RGB")


def face_of(node: dict) -> Image.Image:
    from realisid_core.perception import crop_square

    photo = photo_of(node)
    return Image.fromarray(crop_square(np.asarray(photo), face_in(photo).square, 256))


def face_in(photo: Image.Image):
    """The largest face, as the nodes find it."""
    from realisid_core.perception import detect_faces
    from realisid_core.perception.faces import to_image

    ((face,),) = detect_faces(to_image(photo), maximum=1).faces
    return face


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


if __name__ == "__main__":
    main()
