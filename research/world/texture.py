"""The atlas a person is painted with: face, hair, eyes, mouth and clothes on one square image."""

from functools import cache, lru_cache

import cv2
import numpy as np

from realisid_core.canonical_face import canonical_face

from .canonical_face import INNER_LIPS, LEFT_EYE, OUTER_LIPS, RIGHT_EYE
from .face import CREASES, EYEBALL, IRIS
from .identity import HAIR_COLOURS, IRIS_COLOURS, LIP_COLOURS, Identity

SHIRT_COLOURS = {
    "red": (196, 40, 44),
    "yellow": (238, 200, 52),
    "green": (52, 140, 70),
    "blue": (44, 84, 186),
    "purple": (118, 62, 160),
    "pink": (240, 140, 176),
    "white": (240, 240, 238),
    "black": (42, 42, 48),
}
SHIRTS = ("t-shirt", "sweater", "suit", "hoodie")
SKIN = np.array(((250, 222, 200), (240, 196, 162), (212, 158, 116), (164, 108, 74), (104, 68, 48)), float)
BROWS = (((46, 53, 52, 65, 55), (70, 63, 105, 66, 107)), ((276, 283, 282, 295, 285), (300, 293, 334, 296, 336)))

MOUSTACHE = ((0.36, 0.69), (0.40, 0.64), (0.46, 0.625), (0.5, 0.632), (0.54, 0.625), (0.60, 0.64), (0.64, 0.69),
             (0.60, 0.675), (0.5, 0.655), (0.40, 0.675))  # fmt: skip

_PATCHES = {
    "face": (0.0, 0.0, 0.5, 0.5),
    "hair": (0.0, 0.5, 0.5, 1.0),
    "shirt": (0.5, 0.0, 1.0, 0.375),
    "sleeve": (0.5, 0.375, 0.75, 0.5),
    "skin": (0.75, 0.375, 0.875, 0.5),
    "ear": (0.875, 0.375, 1.0, 0.5),
    "eye": (0.5, 0.5, 0.75, 0.75),
    "mouth": (0.75, 0.5, 1.0, 0.75),
    "neck": (0.5, 0.75, 0.75, 0.875),
    "frame": (0.75, 0.75, 0.875, 0.875),
    "lash": (0.875, 0.75, 1.0, 0.875),
    "trousers": (0.5, 0.875, 0.75, 1.0),
    "shoe": (0.75, 0.875, 1.0, 1.0),
}
_FLAT = ("skin", "frame", "lash", "trousers", "shoe")  # of one colour


def _inset(name: str) -> tuple[float, float, float, float]:
    """The patch less a border: thin triangles look a little past their own edges."""
    u0, v0, u1, v1 = _PATCHES[name]
    border = 0.0 if name == "face" else 0.45 * (v1 - v0) if name in _FLAT else 1 / 128
    return u0 + border, v0 + border, u1 - border, v1 - border


PATCHES = {name: _inset(name) for name in _PATCHES}


Mask = tuple[tuple[slice, slice], np.ndarray]  # where on the texture, coverage there in 0..1


@cache
def _noise(seed: int, rows: int, columns: int, size: tuple[int, int]) -> np.ndarray:
    """Smooth noise in -1..1, `rows` by `columns` cells over `size` (height, width)."""
    cells = np.random.Generator(np.random.PCG64(seed)).uniform(-1, 1, (rows, columns)).astype(np.float32)
    return cv2.resize(cells, size[::-1], interpolation=cv2.INTER_CUBIC)


def _points(indices, side: int) -> np.ndarray:
    """Vertices' places on a face texture of `side` px, in 1/16 px for OpenCV's sub-pixel drawing."""
    return np.round(canonical_face().uv[list(indices)] * side * 16).astype(np.int32)


def _polygon(points: np.ndarray, side: int, soft: float) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, 4)
    return _softened(mask, soft * side)


def _line(points: np.ndarray, side: int, width: float, soft: float = 0.0) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    cv2.polylines(mask, [points], False, 255, max(1, round(width * side)), cv2.LINE_AA, 4)
    return _softened(mask, soft * side)


def _softened(mask: np.ndarray, sigma: float) -> np.ndarray:
    mask = mask.astype(np.float32) / 255
    return cv2.GaussianBlur(mask, (0, 0), sigma) if sigma > 0.3 else mask


def _spot(u: float, v: float, ru: float, rv: float, side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    return np.exp(-0.5 * (((x - u) / ru) ** 2 + ((y - v) / rv) ** 2))


@cache
def _masks(side: int) -> dict[str, Mask]:
    """What is painted at the same place on every face."""
    uv = canonical_face().uv
    both = [(uv[right], uv[left]) for right, left in ((50, 280), (159, 386), (98, 327), (205, 425))]
    cheeks, sockets, wings, folds = both
    lips = _polygon(_points(OUTER_LIPS, side), side, 0.003)
    inner = _points((*INNER_LIPS[:11],), side)
    lower = [(ring[0], *ring[:7:-1]) for ring in (RIGHT_EYE, LEFT_EYE)]
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    out = np.abs(x - 0.5)
    jaw = np.clip((y - 0.60 - 0.35 * (0.36 - np.minimum(out, 0.36)) * (out > 0.12)) / 0.06, 0, 1)
    sideburns = np.clip((out - 0.40) / 0.03, 0, 1) * np.clip((y - 0.44) / 0.05, 0, 1)
    jaw = np.maximum(jaw * np.clip((out - 0.16) / 0.08 + (y - 0.72) / 0.05, 0, 1), sideburns)
    moustache = _polygon(np.round(np.array(MOUSTACHE) * side * 16).astype(np.int32), side, 0.006)
    goatee = np.maximum(moustache, np.clip(1.5 * _spot(0.5, 0.84, 0.07, 0.055, side), 0, 1))
    for side_u in (0.375, 0.625):
        goatee = np.maximum(goatee, np.clip(1.3 * _spot(side_u, 0.72, 0.02, 0.05, side), 0, 1))
    keep = 1 - np.clip(lips * 1.2, 0, 1)
    strokes = np.clip(1 + 0.35 * _noise(3, 64, 90, (side, side)), 0.4, 1.2)
    under = np.zeros((side, side), np.float32)
    for u in (0.457, 0.543):
        under = np.maximum(under, np.clip(1.6 * _spot(u, 0.592, 0.013, 0.0075, side), 0, 1))
    masks = {
        "blush": sum(_spot(*place, 0.06, 0.05, side) for place in cheeks) + 0.8 * _spot(*uv[4], 0.035, 0.03, side),
        "socket": sum(_spot(place[0], place[1] + 0.005, 0.075, 0.035, side) for place in sockets)
        + 0.6 * sum(_spot(*place, 0.02, 0.02, side) for place in wings)
        + 0.35 * sum(_spot(*place, 0.03, 0.04, side) for place in folds)
        + 0.7 * _spot(0.5, 0.765, 0.06, 0.012, side),
        "brow shade": _spot(0.5, 0.09, 0.4, 0.05, side),
        "lips": lips,
        "lower lip": lips * _spot(0.5, 0.712, 0.04, 0.008, side),
        "seam": _line(inner, side, 0.006, 0.002),
        "nostrils": under,
        "crease": np.maximum(*(_line(_points(rows, side), side, 0.005, 0.002) for rows in CREASES.values())),
        "lower lashes": np.maximum(*(_line(_points(row, side), side, 0.004, 0.002) for row in lower)),
        "stubble": np.clip(np.maximum(jaw, moustache), 0, 1) * keep * strokes,
        "moustache": np.clip(moustache * 1.3, 0, 1) * keep * strokes,
        "goatee": goatee * keep * strokes,
        "full": np.clip(np.maximum(jaw * 1.2, moustache * 1.3), 0, 1) * keep * strokes,
    }
    return {name: _cropped(mask) for name, mask in masks.items()}


def _cropped(mask: np.ndarray) -> Mask:
    """Only the part that shows."""
    rows, columns = (np.flatnonzero((mask > 0.004).any(axis)) for axis in (1, 0))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return window, np.ascontiguousarray(mask[window])


def skin_colour(who: Identity) -> np.ndarray:
    place = who.skin * (len(SKIN) - 1)
    return np.array([np.interp(place, np.arange(len(SKIN)), SKIN[:, channel]) for channel in range(3)], np.float32)


def _blend(image: np.ndarray, colour, mask: np.ndarray | Mask, strength: float = 1.0) -> None:
    """Paint `colour` over the image where the mask (its coverage, or a cropped one) says."""
    window, mask = mask if isinstance(mask, tuple) else (np.s_[:], mask)
    image[window] += np.float32(strength) * mask[..., None] * (np.asarray(colour, np.float32) - image[window])


def _brows(who: Identity, side: int) -> np.ndarray:
    uv = canonical_face().uv
    mask = np.zeros((side, side), np.uint8)
    half = 0.011 + 0.0075 * who.brow_thickness
    for low, high in BROWS:
        middle = (uv[list(low)] + uv[list(high)]) / 2
        middle[:, 1] -= who.brow_arch * np.array((-0.006, 0.004, 0.010, 0.004, -0.004))
        middle[:, 1] -= who.brow_slant * np.array((-0.012, -0.006, 0.0, 0.006, 0.012))
        outward = np.sign(middle[:, 0].mean() - 0.5)
        middle[:, 0] += outward * 0.012 * (who.brow_spacing + who.brow_length * np.array((1.3, 0.7, 0.2, 0, 0)))
        widths = half * np.array((0.35, 0.8, 1.0, 1.1, 0.95))[:, None] * (0, 1)
        outline = np.concatenate((middle - widths, (middle + widths)[::-1]))
        cv2.fillPoly(mask, [np.round(outline * side * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return _softened(mask, 0.004 * side) * np.clip(1 + 0.4 * _noise(5, 40, 120, (side, side)), 0.5, 1)


def _face(who: Identity, side: int) -> np.ndarray:
    masks, skin = _masks(side), skin_colour(who)
    hair = np.array(HAIR_COLOURS[who.hair_colour], np.float32)
    image = np.empty((side, side, 3), np.float32)
    image[:] = skin
    _blend(image, skin * (1.0, 0.70, 0.66), masks["blush"], 0.42)
    _blend(image, skin * (0.72, 0.62, 0.60), masks["socket"], 0.33)
    if who.hair_style not in ("bald", "buzz"):
        _blend(image, skin * 0.75, masks["brow shade"], 0.35)
    if who.freckles:
        rng = np.random.Generator(np.random.PCG64(11))
        dots = np.zeros((side, side), np.uint8)
        across, down, radii = rng.normal(0, 0.12, 70), rng.normal(0.50, 0.04, 70), rng.uniform(0.003, 0.006, 70)
        for u, v, r in zip(across, down, radii, strict=True):
            centre = (round((0.5 + u) * side * 16), round(v * side * 16))
            cv2.circle(dots, centre, max(8, round(r * side * 16)), 255, -1, cv2.LINE_AA, 4)
        _blend(image, skin * (0.66, 0.48, 0.40), _cropped(_softened(dots, 0)), 0.75 * who.freckles)
    lip = LIP_COLOURS[who.lip_colour]
    lip = skin * (0.84, 0.56, 0.56) + (14, 6, 8) if lip is None else np.array(lip, np.float32)
    if who.beard != "none":
        light = who.beard == "stubble"
        tone = skin * 0.45 + hair * 0.12 if light else hair * 0.8 + skin * 0.1
        _blend(image, tone, masks[who.beard], 0.5 if light else 0.95)
    _blend(image, lip, masks["lips"], 0.92)
    _blend(image, np.minimum(lip * 1.25 + 24, 255), masks["lower lip"], 0.55)
    _blend(image, lip * 0.42, masks["seam"], 0.85)
    _blend(image, skin * 0.34, masks["nostrils"], 0.85)
    _blend(image, skin * (0.58, 0.46, 0.42), masks["crease"], 0.7)
    _blend(image, skin * (0.5, 0.4, 0.38), masks["lower lashes"], 0.7)
    _blend(image, hair * 0.62 + skin * 0.04, _cropped(_brows(who, side)), 0.92)
    for u, v in who.moles:
        _blend(image, skin * (0.36, 0.26, 0.24), _mole(u, v, side))
    return image


@lru_cache(maxsize=16)
def _eye(iris_colour: str, side: int) -> np.ndarray:
    """Front of an eyeball, `EYEBALL` cm from the middle to each edge."""
    iris, unit = np.array(IRIS_COLOURS[iris_colour], np.float32), side / 2 / EYEBALL
    image = np.tile(np.array((244, 240, 236), np.float32), (side, side, 1))
    y, x = (np.mgrid[:side, :side].astype(np.float32) + 0.5 - side / 2) / unit
    r = np.hypot(x, y)

    def disc(radius: float) -> np.ndarray:
        return np.clip((radius - r) * unit + 0.5, 0, 1)

    _blend(image, (206, 150, 140), np.clip((np.abs(x) - 0.9) / 0.8, 0, 1), 0.5)
    _blend(image, iris * 0.35, disc(IRIS))
    _blend(image, iris, disc(IRIS * 0.87))
    _blend(image, np.minimum(iris * 1.5 + 20, 255), disc(IRIS * 0.8) * np.clip(y / IRIS, 0, 1), 0.8)
    _blend(image, (16, 12, 14), disc(IRIS * 0.42))
    image *= np.clip(0.62 + 0.75 * (y + 0.75), 0.55, 1)[..., None]
    _blend(image, (255, 255, 255), np.clip((0.17 - np.hypot(x + 0.26, y + 0.26)) * unit + 0.5, 0, 1))
    return image


@cache
def _mouth(side: int) -> np.ndarray:
    """Behind the lips: 6 cm wide, from 0.45 cm above the upper lip's edge to 4 cm below it."""
    image = np.tile(np.array((92, 26, 32), np.float32), (side, side, 1))
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    _blend(image, (40, 10, 16), np.clip((y - 0.2) * 3, 0, 1))
    _blend(image, (196, 92, 96), np.clip(1.6 - 2 * np.hypot((x - 0.5) / 0.2, (y - 0.66) / 0.2), 0, 1))
    edge = 0.29 - 0.3 * (x - 0.5) ** 2
    row = np.clip((0.34 - np.abs(x - 0.5)) * side / 3, 0, 1)
    _blend(image, (246, 242, 234), np.clip((edge - y) * side + 0.5, 0, 1) * row)
    return image


@cache
def _strands(side: int, curly: bool) -> np.ndarray:
    """Brightness of hair: strands from the crown (top) to the hem, and one band of light."""
    size = (side, side)
    fine = _noise(21, 60, 60, size) if curly else 0.7 * _noise(21, 5, 90, size) + 0.5 * _noise(22, 3, 34, size)
    v = np.linspace(0, 1, side, dtype=np.float32)[:, None]
    band = np.exp(-((v - 0.36 - 0.02 * _noise(23, 1, 24, size)) ** 2) / 0.008)
    shine = (0.10 if curly else 0.28) * band * (1 + 0.5 * fine)
    return 0.92 + 0.17 * fine + shine - 0.18 * np.clip((v - 0.8) / 0.2, 0, 1)


@cache
def _hollow(u: float, side: int) -> np.ndarray:
    return np.clip(1.3 * _spot(u, 0.47, 0.06, 0.13, side), 0, 1)


def _ear(skin: np.ndarray, side: int) -> np.ndarray:
    """Wrapped round the ear; the hollow lies on its outward side, left and right alike."""
    image = np.tile(skin * np.float32((0.97, 0.88, 0.86)), (side, side, 1))
    for u in (0.25, 0.75):
        _blend(image, skin * (0.62, 0.45, 0.42), _hollow(u, side), 0.75)
    return image


def _hair(who: Identity, side: int) -> np.ndarray:
    colour = np.array(HAIR_COLOURS[who.hair_colour], np.float32) + 10
    if who.hair_style == "buzz":
        colour = 0.78 * colour + 0.22 * skin_colour(who)
    return colour * _strands(side, who.hair_style in ("curly", "buzz"))[..., None]


@cache
def _mole(u: float, v: float, side: int) -> Mask:
    return _cropped(np.clip(2.5 * _spot(u, v, 0.006, 0.0055, side), 0, 1))


def _bytes(image) -> np.ndarray:
    """Colours as the atlas holds them."""
    if isinstance(image, np.ndarray) and image.dtype == np.uint8:
        return image
    return np.clip(np.asarray(image, np.float32), 0, 255).astype(np.uint8)


@lru_cache(maxsize=128)
def _shirt(colour_name: str, style: str, height: int, width: int) -> np.ndarray:
    """All round the torso, the chest in the middle; from the collar down to the hips."""
    colour = np.array(SHIRT_COLOURS[colour_name], np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y, x = y / height, x / width
    folds = 1 + 0.07 * _noise(31, 6, 14, (height, width))
    image = colour * folds[..., None]
    dark, light = colour * 0.62 + (0, 0, 4), np.minimum(colour * 1.12 + 22, 255)
    lines = min(height, width)
    across = np.abs(x - 0.5)

    def band(distance: np.ndarray, half: float) -> np.ndarray:
        return np.clip((half - np.abs(distance)) * lines + 0.5, 0, 1)

    if style == "t-shirt":
        _blend(image, dark, band(y - 0.03, 0.014), 0.7)
    if style == "sweater":
        _blend(image, dark, (np.sin(x * 2 * np.pi * 40) > 0) * ((y < 0.055) | (y > 0.93)), 0.5)
        for row in np.arange(0.16, 0.92, 0.1):
            _blend(image, light, band(y - row - 0.016 * np.abs((x * 28) % 2 - 1), 0.008), 0.6)
    if style == "hoodie":
        _blend(image, dark, band(across - 0.001, 0.006) * (y > 0.06), 0.85)
        _blend(image, (238, 238, 232), band(across - 0.045, 0.008) * (y > 0.05) * (y < 0.34), 0.95)
        _blend(image, dark, band(np.maximum(across / 0.15, np.abs(y - 0.76) / 0.13) - 1, 0.08), 0.7)
    if style == "suit":
        pale = colour.min() > 60
        inside = 0.115 - across - 0.26 * y
        opening = np.clip(inside * width + 0.5, 0, 1)
        lapel = np.clip(1.4 - 2.0 * np.abs(y - 0.12) / 0.3, 0, 1)
        for edge, tone in ((0.055, dark), (0.048, colour * 0.85 + 8)):
            _blend(image, tone, np.clip((inside + edge * lapel) * width + 0.5, 0, 1))
        _blend(image, (246, 246, 246) if colour.min() < 200 else (120, 150, 200), opening)
        tie = np.clip((0.02 + 0.012 * y - across) * width + 0.5, 0, 1)
        _blend(image, colour * 0.35 if pale else (150, 30, 36), tie * (opening > 0.5))
        _blend(image, dark, band(across, 0.004) * (y > 0.44), 0.9)
        for row in (0.52, 0.64, 0.76):
            _blend(image, dark * 0.5, np.clip((0.010 - np.hypot(across - 0.012, (y - row) * 0.6)) * width + 0.5, 0, 1))
    return _bytes(image)


@lru_cache(maxsize=32)
def paint(who: Identity, shirt_colour: str, shirt_style: str, side: int) -> np.ndarray:
    """Atlas [side, side, 3] uint8; `PATCHES` says where everything is."""
    atlas = np.zeros((side, side, 3), np.uint8)
    colour, skin = np.array(SHIRT_COLOURS[shirt_colour], np.float32), skin_colour(who)
    half, quarter = side // 2, side // 4
    shade = np.linspace(0.55, 1, side // 8, dtype=np.float32)[:, None, None]

    def put(name: str, image: np.ndarray) -> None:
        u0, v0, u1, v1 = (round(value * side) for value in _PATCHES[name])
        atlas[v0:v1, u0:u1] = _bytes(image)

    put("face", _face(who, half))
    put("hair", _hair(who, half))
    put("shirt", _shirt(shirt_colour, shirt_style, side * 3 // 8, half))
    put("sleeve", colour * (1 + 0.06 * _noise(32, 5, 8, (side // 8, quarter)))[..., None])
    put("skin", skin)
    put("ear", _ear(skin, side // 8))
    put("eye", _eye(who.iris_colour, quarter))
    put("mouth", _mouth(quarter))
    put("neck", skin * np.minimum(shade, 0.94))
    put("frame", (30, 28, 32) if who.glasses == "square" else (120, 84, 48))
    put("lash", (30, 22, 22))
    put("trousers", (52, 60, 84))
    put("shoe", (44, 36, 34))
    return atlas
