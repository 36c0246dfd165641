"""Hair: a helmet from the crown down to the style's hem."""

import numpy as np

from .head import CENTRE, Patches, skull_radii
from .identity import Identity
from .mesh import Mesh, ellipsoid, grid

# Where the hair ends: |azimuth| in degrees from the front, height in cm; and how thick it is at the crown.
HEMS = {
    "buzz": (((0, 9.2), (35, 8.9), (52, 6.5), (72, 4.2), (80, 0.8), (90, 0.9), (100, 4.2), (120, 1.0), (140, -3.5),
         (180, -4.5)), 0.45),
    "short": (((0, 8.8), (30, 8.3), (50, 6.2), (70, 4.0), (78, -0.3), (90, -0.2), (98, 3.8), (120, 0.5), (140, -4.5),
         (180, -5.5)), 1.6),
    "spiky": (((0, 9.0), (35, 8.6), (52, 6.3), (70, 4.0), (80, 1.0), (90, 1.0), (98, 4.0), (120, 1.0), (140, -3.0),
         (180, -4.0)), 1.7),
    "bob": (((0, 5.6), (40, 5.4), (52, 3.5), (60, -5.0), (75, -7.0), (120, -8.0), (180, -8.5)), 1.8),
    "long": (((0, 9.4), (14, 9.0), (40, 7.2), (54, 3.5), (64, -9.0), (76, -19.0), (120, -23.0), (180, -24.0)), 1.5),
    "bun": (((0, 8.9), (35, 8.4), (55, 6.0), (75, 3.6), (84, 1.5), (98, 4.0), (125, 0.0), (150, -3.5),
         (180, -4.0)), 0.8),
    "curly": (((0, 7.6), (40, 7.0), (55, 5.0), (66, 1.0), (80, -2.5), (120, -4.5), (180, -5.5)), 3.4),
}  # fmt: skip
PARTED = ("short", "long")
CLOSE = ("short", "buzz", "bun", "spiky", "curly")  # drawn in at the neck
ROWS = 18


def hair(who: Identity, patches: Patches) -> list[Mesh]:
    """None for the bald; a bun is a ball on top of the helmet."""
    if who.hair_style == "bald":
        return []
    meshes = [grid(_helmet(who), patches["hair"], face=True, bias=1.3, gloss=0.25, two_sided=True)]
    if who.hair_style == "bun":
        top = CENTRE + np.array((0, skull_radii(who)[1] + 2.0, -2.5))
        meshes.append(ellipsoid(top, (4.2, 3.6, 4.2), patches["hair"], 10, 16, face=True, gloss=0.25))
    return meshes


def _helmet(who: Identity) -> np.ndarray:
    """Points [rows, columns, 3]: over the ellipsoid of the skull, below its middle straight down."""
    style, radii = who.hair_style, skull_radii(who)
    azimuth = np.linspace(-180, 180, 65 if style == "curly" else 45)
    phi = np.radians(azimuth)[None]
    t = np.linspace(0.0, 1.0, ROWS)[:, None]
    s = t * _length(who, azimuth)
    polar, drop = np.minimum(s, np.pi / 2), np.maximum(s - np.pi / 2, 0)
    r = radii + np.broadcast_to(_thickness(style, t, s, phi, drop), s.shape)[..., None]
    taper = 1 - (0.22 if style in CLOSE else 0.0) * drop
    temples = 1 - 0.07 * t**3 * np.clip(1 - np.abs(np.abs(azimuth) - 52) / 26, 0, 1) * (style != "curly")
    x = np.sin(polar) * np.sin(phi) * taper * temples * r[..., 0]
    y = (np.cos(polar) - drop) * np.where(drop > 0, radii[1], r[..., 1])
    z = np.sin(polar) * np.cos(phi) * taper * temples * r[..., 2]
    return CENTRE + np.stack((x, y, z), -1)


def _length(who: Identity, azimuth: np.ndarray) -> np.ndarray:
    """From the crown to the hem: the angle on the skull, then half heights of the skull straight down."""
    parted = azimuth + 16 * (who.hair_style in PARTED)
    place = np.abs(np.where(np.abs(azimuth) < 45, parted, azimuth))
    hem = np.interp(place, *np.array(HEMS[who.hair_style][0]).T) * (1 + 0.06 * who.head_length)
    height = (hem - CENTRE[1]) / skull_radii(who)[1]
    return np.arccos(np.clip(height, -1, 1)).clip(None, np.pi / 2) + np.maximum(-height, 0)


def _thickness(style: str, t: np.ndarray, s: np.ndarray, phi: np.ndarray, drop: np.ndarray) -> np.ndarray:
    """In cm; `t` 0..1 from the crown to the hem, `s` the angle from the crown."""
    thickness = HEMS[style][1]
    if style in ("bob", "long"):
        flare = 0.6 if style == "bob" else 0.25
        return thickness * (0.75 + 0.25 * np.sin(t * np.pi)) + 0.1 + drop * flare
    if style == "curly":
        curls = 0.18 * np.sin(phi * 9) * np.sin(s * 11) + 0.1 * np.sin(phi * 17 + 2) * np.cos(s * 19)
        return thickness * (0.9 + curls) * np.sin(np.clip(t * 0.75 + 0.3, 0, 1) * np.pi) ** 0.5
    round_ = 0.35 + 0.65 * np.sin(np.clip(t * 1.05 + 0.35, 0, 1) * np.pi) ** 0.7
    thick = thickness * round_ + 0.2 - 0.3 * thickness * t**4
    if style == "spiky":
        spikes = np.maximum(np.cos(phi * 11) * np.cos(s * 9), 0) * np.sin(np.clip(t, 0, 1) * np.pi)
        return thick + 3.0 * spikes * (s < 1.3)
    if style == "short":
        return thick + 1.3 * np.exp(-((s - 0.55) ** 2) / 0.12) * np.exp(-((phi + 0.3) ** 2) / 0.9)
    return thick
