"""Many pictures on one sheet: a row for each workflow, a caption under each picture."""

from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont, ImageOps

TILE = 256  # height of a picture; its width follows from its aspect ratio, up to twice that
GAP = 18
MARGIN = 40
WIDTH = 1560
CAPTION = 30
HEADING = 58
PAPER, INK, FAINT, RULE = "#fbfaf7", "#22252b", "#8a8d93", "#dcd9d1"


@dataclass(frozen=True)
class Tile:
    caption: str
    image: Image.Image


@dataclass(frozen=True)
class Row:
    title: str
    note: str
    tiles: list[Tile]


def contact_sheet(title: str, rows: list[Row]) -> Image.Image:
    """All rows, one under the other; a row that is too long goes on in the next line."""
    placed, bottom = [], 2 * MARGIN + 30
    for row in rows:
        lines = broken_into_lines([scaled(tile) for tile in row.tiles])
        placed.append((bottom, row, lines))
        bottom += HEADING + len(lines) * (TILE + CAPTION + GAP)
    sheet = Image.new("RGB", (WIDTH, bottom + MARGIN // 2), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), title, INK, font(34))
    for top, row, lines in placed:
        draw_row(sheet, draw, top, row, lines)
    return sheet


def draw_row(sheet: Image.Image, draw: ImageDraw.ImageDraw, top: int, row: Row, lines: list[list[Tile]]) -> None:
    draw.line((MARGIN, top, WIDTH - MARGIN, top), RULE, 2)
    draw.text((MARGIN, top + 14), row.title, INK, font(24))
    draw.text((WIDTH - MARGIN, top + 18), row.note, FAINT, font(18), anchor="ra")
    y = top + HEADING
    for line in lines:
        x = MARGIN
        for tile in line:
            sheet.paste(tile.image, (x, y))
            draw.text((x, y + TILE + 7), fitted(tile.caption, tile.image.width), FAINT, font(16))
            x += tile.image.width + GAP
        y += TILE + CAPTION + GAP


def scaled(tile: Tile) -> Tile:
    """The picture at the height of a tile, on paper where it is transparent."""
    image = tile.image.convert("RGBA")
    image = ImageOps.contain(image, (2 * TILE, TILE), Image.Resampling.LANCZOS)
    background = Image.new("RGBA", (image.width, TILE), PAPER)
    background.alpha_composite(image, (0, (TILE - image.height) // 2))
    return Tile(tile.caption, background.convert("RGB"))


def broken_into_lines(tiles: list[Tile]) -> list[list[Tile]]:
    lines: list[list[Tile]] = [[]]
    x = MARGIN
    for tile in tiles:
        if lines[-1] and x + tile.image.width > WIDTH - MARGIN:
            lines.append([])
            x = MARGIN
        lines[-1].append(tile)
        x += tile.image.width + GAP
    return lines


def fitted(text: str, width: int) -> str:
    """The text, shortened with an ellipsis until it is no wider than `width` pixels."""
    if font(16).getlength(text) <= width:
        return text
    while text and font(16).getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
