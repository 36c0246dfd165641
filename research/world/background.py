"""Where people are: plain walls and a few simple places, painted without people."""

from functools import lru_cache

import cv2
import numpy as np

PLAIN = {
    "gray": (150, 154, 160),
    "blue": (94, 140, 206),
    "green": (116, 172, 112),
    "yellow": (236, 208, 112),
    "pink": (238, 176, 190),
    "purple": (150, 118, 186),
}
PLACES = {
    "beach": "outdoors with a beach in the background",
    "grass": "outdoors with a grassy background",
    "flowers": "outdoors with a background full of flowers",
    "snow": "outdoors in snowy weather",
    "mountain": "outdoors with a snowy mountain in the background",
    "pyramid": "outdoors with a pyramid in the background",
    "stage": "on stage",
    "space": "in space",
}


def _gradient(size: int, stops: tuple[tuple[float, tuple[int, int, int]], ...]) -> np.ndarray:
    """Vertical colour ramp [size, size, 3] float32."""
    y = (np.arange(size) + 0.5) / size
    places, colours = zip(*stops, strict=True)
    column = np.stack([np.interp(y, places, [colour[channel] for colour in colours]) for channel in range(3)], 1)
    return np.repeat(column[:, None].astype(np.float32), size, axis=1)


def _polygon(image: np.ndarray, points, colour) -> None:
    size = image.shape[0]
    cv2.fillPoly(image, [np.round(np.array(points) * size * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)


def _disc(image: np.ndarray, x: float, y: float, radius: float, colour) -> None:
    x, y, radius = (round(float(value) * image.shape[0] * 16) for value in (x, y, radius))
    cv2.circle(image, (x, y), radius, colour, -1, cv2.LINE_AA, 4)


def _dots(image: np.ndarray, rng, count: int, colours, radius: tuple[float, float], top: float, bottom: float) -> None:
    xs, ys, rs = rng.uniform(0, 1, count), rng.uniform(top, bottom, count), rng.uniform(*radius, count)
    for x, y, r, pick in zip(xs, ys, rs, rng.integers(len(colours), size=count), strict=True):
        _disc(image, x, y, r, colours[pick])


@lru_cache(maxsize=16)
def _plain(colour: str, size: int) -> np.ndarray:
    y, x = (np.mgrid[:size, :size].astype(np.float32) + 0.5) / size
    light = 1.08 - 0.30 * np.hypot(x - 0.45, y - 0.35) ** 1.5
    return np.array(PLAIN[colour], np.float32) * light[..., None]


def _place(kind: str, size: int, rng: np.random.Generator) -> np.ndarray:
    shift = rng.uniform(-0.08, 0.08)
    horizon = 0.55 + rng.uniform(-0.06, 0.06)
    sky = ((0.0, (96, 160, 226)), (horizon, (206, 228, 244)))
    if kind == "beach":
        image = _gradient(
            size,
            (
                *sky,
                (horizon + 0.004, (34, 116, 172)),
                (horizon + 0.14, (92, 190, 206)),
                (horizon + 0.17, (246, 240, 222)),
                (horizon + 0.19, (232, 208, 160)),
                (1.0, (222, 190, 136)),
            ),
        )
        _polygon(
            image, ((0.1 + shift, horizon), (0.2 + shift, horizon - 0.04), (0.33 + shift, horizon)), (92, 140, 110)
        )
    elif kind in ("grass", "flowers"):
        image = _gradient(size, (*sky, (horizon + 0.01, (132, 182, 84)), (1.0, (66, 134, 52))))
        _dots(image, rng, 7, ((64, 122, 66), (78, 138, 74)), (0.05, 0.09), horizon - 0.06, horizon - 0.01)
        _polygon(image, ((0, horizon), (1, horizon), (1, horizon + 0.12), (0, horizon + 0.12)), (124, 176, 80))
        if kind == "flowers":
            colours = ((236, 84, 112), (250, 214, 84), (250, 246, 240), (196, 112, 212))
            _dots(image, rng, 120, colours, (0.010, 0.024), horizon + 0.02, 1.0)
    elif kind == "snow":
        image = _gradient(
            size,
            (
                (0.0, (166, 182, 202)),
                (horizon, (214, 222, 232)),
                (horizon + 0.02, (240, 244, 250)),
                (1.0, (222, 230, 242)),
            ),
        )
        for x in np.linspace(0.02, 0.98, 7) + rng.uniform(-0.04, 0.04, 7):
            for step in range(3):
                w, y = 0.07 - 0.015 * step, horizon + 0.03 - 0.07 * step
                _polygon(image, ((x - w, y), (x, y - 0.12), (x + w, y)), (86, 116, 112))
        _dots(image, rng, 110, ((255, 255, 255),), (0.003, 0.009), 0.0, 1.0)
    elif kind == "mountain":
        image = _gradient(size, (*sky, (horizon + 0.1, (150, 176, 140)), (1.0, (92, 128, 84))))
        for x, y, w in ((0.22, 0.22, 0.36), (0.78, 0.16, 0.42), (0.52, 0.30, 0.3)):
            x += shift
            _polygon(image, ((x - w, horizon + 0.12), (x, y), (x + w, horizon + 0.12)), (98, 112, 136))
            slope = 0.36 * w / (horizon + 0.12 - y) * (horizon - y)
            cap = y + 0.36 * (horizon - y)
            melt = ((x + slope / 2, cap - 0.03), (x, cap + 0.03), (x - slope / 2, cap - 0.03))
            _polygon(image, ((x - slope, cap), (x, y), (x + slope, cap), *melt), (246, 250, 255))
    elif kind == "pyramid":
        image = _gradient(
            size,
            (
                (0.0, (88, 152, 222)),
                (horizon, (240, 224, 190)),
                (horizon + 0.02, (226, 192, 130)),
                (1.0, (206, 166, 100)),
            ),
        )
        for x, w, tall in ((0.24 + shift, 0.26, 0.32), (0.80 + shift, 0.32, 0.40)):
            base = horizon + 0.04
            _polygon(image, ((x - w, base), (x, base - tall), (x + 0.25 * w, base)), (222, 184, 118))
            _polygon(image, ((x + 0.25 * w, base), (x, base - tall), (x + w, base)), (168, 128, 76))
    elif kind == "stage":
        image = _gradient(size, ((0.0, (34, 20, 44)), (0.72, (86, 30, 48)), (0.73, (112, 74, 50)), (1.0, (66, 42, 32))))
        folds = 1 + 0.28 * np.sin(np.arange(size) / size * 60 + 20 * shift)
        image[: round(0.72 * size)] *= folds[None, :, None]
        glow = np.zeros_like(image)
        for x, colour in ((0.18, (255, 226, 150)), (0.5, (255, 240, 220)), (0.82, (190, 200, 255))):
            _polygon(
                glow, ((x - 0.02, -0.02), (x + 0.02, -0.02), (x + 0.2 + shift, 1.0), (x - 0.2 + shift, 1.0)), colour
            )
        image += 0.28 * cv2.GaussianBlur(glow, (0, 0), 0.02 * size)
    else:
        image = _gradient(size, ((0.0, (10, 12, 34)), (1.0, (32, 22, 62))))
        _dots(image, rng, 90, ((255, 255, 255), (200, 216, 255), (255, 236, 200)), (0.0012, 0.004), 0.0, 1.0)
        x = 0.8 + shift
        _disc(image, x, 0.22, 0.13, (62, 122, 206))
        land, reach = (round((x - 0.02) * size), round(0.2 * size)), (round(0.07 * size), round(0.03 * size))
        cv2.ellipse(image, land, reach, 20, 0, 360, (96, 168, 104), -1, cv2.LINE_AA)
    return image


def paint_background(kind: str, colour: str, seed: int, size: int) -> np.ndarray:
    """[size, size, 3] uint8 of a plain `colour`, or of the place `kind`; `seed` moves its details about."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, 0xB6))))
    image = _plain(colour, size) if kind == "plain" else _place(kind, size, rng)
    return np.clip(image, 0, 255).astype(np.uint8)
