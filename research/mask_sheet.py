"""docs/images/person_masks.jpg: what the person mask keeps of photos and hard cases. `python -m research.mask_sheet`.

Above each crop as it is, below what an image encoder sees of it, with a margin of 0.3 and grey in place of black.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PACK = Path(__file__).parent.parent
SHEET = PACK / "docs" / "images" / "person_masks.jpg"
TILE, COLUMNS, LINE = 136, 8, 18
MARGIN = 0.3
REMOVED = np.array((104, 112, 124), np.uint8)
HARD = {  # of drawn people
    "long hair": {"hair_style": "long"},
    "curls": {"hair_style": "curly"},
    "bun, glasses": {"hair_style": "bun", "glasses": "round"},
    "beard": {"beard": "full", "hair_style": "short", "glasses": "none"},
    "bald, glasses": {"hair_style": "bald", "glasses": "square"},
    "white hair": {"hair_style": "bob", "hair_colour": "white"},
}


def main() -> None:
    from realisid_core.bootstrap import find_host

    find_host()
    tiles = [_tile(name, *found) for name, picture in pictures() for found in crops(picture)]
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * TILE, rows * (2 * TILE + LINE)), (255, 255, 255))
    for number, tile in enumerate(tiles):
        row, column = divmod(number, COLUMNS)
        sheet.paste(tile, (column * TILE, row * tile.height))
    sheet.save(SHEET, quality=80, optimize=True)


def pictures() -> Iterator[tuple[str, np.ndarray]]:
    """Names and pictures: the shipped portraits, photos made hard, drawn people, two people close together."""
    from .world import Pose, portrait, render, sample_identity, sample_scene

    photos = {file.stem: np.asarray(Image.open(file).convert("RGB")) for file in PACK.glob("portraits/*.jpg")}
    yield from photos.items()
    astronaut = photos["astronaut"]
    yield "tilted by 40°", np.asarray(Image.fromarray(astronaut).rotate(-40, Image.Resampling.BICUBIC))
    yield "close photos", np.concatenate([astronaut[40:300, 140:300], photos["grace_hopper"][40:300, 165:345]], 1)
    for number, (name, changes) in enumerate(HARD.items()):
        yield name, render(portrait(replace(sample_identity(number), **changes), Pose(), 0.36), 512).image
    yield "profile", render(portrait(sample_identity(8), Pose(yaw=62), 0.36), 512).image
    yield "looking up", render(portrait(sample_identity(9), Pose(pitch=28, roll=-20), 0.36), 512).image
    for seed in (100, 101, 103):
        scene = sample_scene(np.random.default_rng(seed), 2, (0.28, 0.42), overlap=True, styles=("photo",))
        yield "two close", render(scene, 512).image
    for style in ("watercolor", "anime"):
        scene = sample_scene(np.random.default_rng(7), 1, (0.3, 0.4), styles=(style,))
        yield style, render(scene, 512).image


def crops(picture: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every face's crop [136, 136, 3] and the same masked, uint8."""
    from realisid_core.perception import crop_square, detect_faces, parse_faces
    from realisid_core.perception.faces import to_image

    faces = detect_faces(to_image(picture), order="left to right", margin=MARGIN, threshold=0.4)
    for _, face in parse_faces(faces, "person", "face and hair"):
        crop = crop_square(picture, face.box, TILE)
        kept = np.clip(crop_square(face.mask.numpy(), face.box, TILE), 0, 1)[..., None]
        yield crop, np.uint8(crop * kept + REMOVED * (1 - kept))


def _tile(name: str, crop: np.ndarray, masked: np.ndarray) -> Image.Image:
    tile = Image.new("RGB", (TILE, 2 * TILE + LINE), (255, 255, 255))
    tile.paste(Image.fromarray(crop), (0, 0))
    tile.paste(Image.fromarray(masked), (0, TILE))
    ImageDraw.Draw(tile).text((4, 2 * TILE + 2), name, (0, 0, 0), ImageFont.load_default(12))
    return tile


if __name__ == "__main__":
    main()
