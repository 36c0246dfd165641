"""Cheap renderings of a picture in a style that a prompt can ask for."""

import cv2
import numpy as np


def _edges(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """Dark outlines as [H, W, 1] multipliers."""
    gray = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), image.shape[0] / 320).astype(np.float32)
    strength = cv2.magnitude(cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1))
    return 1 - np.clip((strength - low) / (high - low), 0, 1)[..., None]


def _watercolor(image: np.ndarray, seed: int) -> np.ndarray:
    """Colours run within their borders, pigment gathers at the edges, the paper shows through."""
    size = image.shape[0]
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, 0x3C))))
    washed = cv2.bilateralFilter(image, 7, 40, size / 64).astype(np.float32)
    washed = 255 - (255 - washed) * 0.9
    blots = cv2.resize(rng.uniform(-1, 1, (12, 12)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    grain = cv2.resize(rng.uniform(-1, 1, (128, 128)).astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    washed += (255 - washed) * (0.08 * blots + 0.05 * grain)[..., None]
    return washed * (0.72 + 0.28 * _edges(image, 60, 260))


def _anime(image: np.ndarray) -> np.ndarray:
    """Flat tones of stronger colour, drawn outlines."""
    flat = cv2.bilateralFilter(image, 5, 30, 3)
    hsv = cv2.cvtColor(flat, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 1] = np.minimum(hsv[..., 1] * 1.25, 255)
    value = hsv[..., 2] / 32
    hsv[..., 2] = np.minimum((np.floor(value) + np.clip((value % 1 - 0.5) * 4 + 0.5, 0, 1)) * 32 * 1.06, 255)
    tones = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB).astype(np.float32)
    return tones * (0.45 + 0.55 * _edges(image, 130, 330))


def apply_style(image: np.ndarray, style: str, seed: int) -> np.ndarray:
    """A picture uint8 [H, W, 3] in "photo", "watercolor" or "anime"; `seed` moves the blots of the watercolour."""
    if style == "photo":
        return image
    drawn = _watercolor(image, seed) if style == "watercolor" else _anime(image)
    return np.clip(drawn, 0, 255).astype(np.uint8)
