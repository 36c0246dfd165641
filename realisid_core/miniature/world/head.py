"""What surrounds the face and turns with it: cranium, ears, hair, glasses."""

import numpy as np

from .canonical_face import LEFT_EYE, OVAL, RIGHT_EYE
from .identity import Identity
from .mesh import Mesh, ellipsoid, grid, tube

CENTRE = np.array((0.0, 3.0, -2.8))
Patches = dict[str, tuple[float, float, float, float]]


def _radii(who: Identity) -> np.ndarray:
    return np.array((8.0 * (1 + 0.075 * who.head_width), 9.4 * (1 + 0.06 * who.head_length), 8.5))


def cranium(skin: np.ndarray, who: Identity, patches: Patches) -> Mesh:
    """The rest of the head: from the face's oval over the crown and under the jaw to the back."""
    centre, radii = CENTRE, _radii(who)
    oval = skin[list(OVAL)] - centre
    unit = oval / radii
    rim = np.linalg.norm(unit, axis=1)
    start = np.arccos(np.clip(unit[:, 2] / rim, -1, 1))
    around = unit[:, :2] / np.maximum(np.linalg.norm(unit[:, :2], axis=1, keepdims=True), 1e-6)
    rows = []
    for step in (0.0, 0.12, 0.28, 0.5, 0.75, 0.995):
        angle = start + (np.pi - start) * step
        radius = rim + (1 - rim) * min(1.0, 2.2 * step) - 0.02 * (step > 0)
        direction = np.concatenate((around * np.sin(angle)[:, None], np.cos(angle)[:, None]), 1)
        rows.append(centre + direction * radii * radius[:, None])
    points = np.stack(rows)[:, ::-1]
    return grid(np.concatenate((points, points[:, :1]), 1), patches["skin"], face=True, bias=-0.2, gloss=0.12)


def ears(who: Identity, patches: Patches) -> list[Mesh]:
    rx = _radii(who)[0]
    size = 1 + 0.25 * who.ear_size
    meshes = []
    for side in (-1, 1):
        rim = ellipsoid((0, 0, 0), (0.65, 3.1 * size, 1.9 * size), patches["ear"], 9, 12, face=True, gloss=0.1)
        tilt = np.radians(28) * side
        out = np.array(((np.cos(tilt), 0, -np.sin(tilt)), (0, 1, 0), (np.sin(tilt), 0, np.cos(tilt))))
        lean = np.array(((1, 0, 0), (0, np.cos(0.15), -np.sin(0.15)), (0, np.sin(0.15), np.cos(0.15))))
        vertices = rim.vertices @ (out @ lean).T + (side * (rx + 0.1), 1.2, -4.0)
        meshes.append(Mesh(vertices, rim.uv, rim.triangles, face=True, gloss=0.1))
    return meshes


def _profile(angle: np.ndarray, stops: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Smooth interpolation over |angle| in degrees."""
    x, y = np.array(stops).T
    return np.interp(angle, x, y)


# Where the hair ends: height in cm over |azimuth| in degrees from the front, and how thick it is at the crown.
HEMS = {
    "buzz": (((0, 9.2), (35, 8.9), (52, 6.5), (72, 4.2), (80, 0.8), (90, 0.9), (100, 4.2), (120, 1.0), (140, -3.5), (180, -4.5)), 0.45),
    "short": (((0, 8.8), (30, 8.3), (50, 6.2), (70, 4.0), (78, -0.3), (90, -0.2), (98, 3.8), (120, 0.5), (140, -4.5), (180, -5.5)), 1.6),
    "spiky": (((0, 9.0), (35, 8.6), (52, 6.3), (70, 4.0), (80, 1.0), (90, 1.0), (98, 4.0), (120, 1.0), (140, -3.0), (180, -4.0)), 1.7),
    "bob": (((0, 5.6), (40, 5.4), (52, 3.5), (60, -5.0), (75, -7.0), (120, -8.0), (180, -8.5)), 1.8),
    "long": (((0, 9.4), (14, 9.0), (40, 7.2), (54, 3.5), (64, -9.0), (76, -19.0), (120, -23.0), (180, -24.0)), 1.5),
    "bun": (((0, 8.9), (35, 8.4), (55, 6.0), (75, 3.6), (84, 1.5), (98, 4.0), (125, 0.0), (150, -3.5), (180, -4.0)), 0.8),
    "curly": (((0, 7.6), (40, 7.0), (55, 5.0), (66, 1.0), (80, -2.5), (120, -4.5), (180, -5.5)), 3.4),
}  # fmt: skip


def hair(who: Identity, patches: Patches) -> list[Mesh]:
    """A helmet from the crown down to the style's hem: over the ellipsoid of the skull, then straight down."""
    if who.hair_style == "bald":
        return []
    stops, thickness = HEMS[who.hair_style]
    rows, columns = 18, 44
    radii = _radii(who)
    azimuth = np.linspace(-180, 180, columns + 1)
    parting = azimuth + (16 if who.hair_style in ("short", "long") else 0)
    hem = _profile(np.abs(np.where(np.abs(azimuth) < 45, parting, azimuth)), stops) * (1 + 0.06 * who.head_length)
    height = (hem - CENTRE[1]) / radii[1]
    above = np.arccos(np.clip(height, -1, 1)).clip(None, np.pi / 2)
    length = above + np.maximum(-height, 0)
    t = np.linspace(0.0, 1.0, rows)[:, None]
    s = t * length
    polar = np.minimum(s, np.pi / 2)
    drop = np.maximum(s - np.pi / 2, 0)
    phi = np.radians(azimuth)[None]
    thick = thickness * (0.35 + 0.65 * np.sin(np.clip(t * 1.05 + 0.35, 0, 1) * np.pi) ** 0.7) + 0.25
    if who.hair_style in ("bob", "long"):
        thick = thickness * (0.75 + 0.25 * np.sin(t * np.pi)) + 0.1 + drop * (0.6 if who.hair_style == "bob" else 0.25)
    if who.hair_style == "curly":
        thick = thickness * (0.9 + 0.18 * np.sin(phi * 9) * np.sin(s * 11) + 0.1 * np.sin(phi * 17 + 2) * np.cos(s * 19))
        thick = thick * np.sin(np.clip(t * 0.75 + 0.3, 0, 1) * np.pi) ** 0.5
    if who.hair_style == "spiky":
        spike = np.maximum(np.cos(phi * 11) * np.cos(s * 9), 0) * np.sin(np.clip(t, 0, 1) * np.pi)
        thick = thick + 3.0 * spike * (s < 1.3)
    if who.hair_style == "short":
        thick = thick + 1.3 * np.exp(-((s - 0.55) ** 2) / 0.12) * np.exp(-((phi + 0.3) ** 2) / 0.9)
    r = radii + np.broadcast_to(thick, s.shape)[..., None]
    taper = 1 - (0.22 if who.hair_style in ("short", "buzz", "bun", "spiky", "curly") else 0.0) * drop
    x = np.sin(polar) * np.sin(phi) * taper
    z = np.sin(polar) * np.cos(phi) * taper
    y = np.cos(polar) - drop
    points = CENTRE + np.stack((x, y, z), -1) * np.stack((r[..., 0], np.where(drop > 0, radii[1], r[..., 1]), r[..., 2]), -1)
    meshes = [grid(points, patches["hair"], face=True, bias=0.25, gloss=0.25, two_sided=who.hair_style in ("bob", "long"))]
    if who.hair_style == "bun":
        top = CENTRE + (0, radii[1] + 2.0, -2.5)
        meshes.append(ellipsoid(top, (4.2, 3.6, 4.2), patches["hair"], 10, 16, face=True, gloss=0.25))
    return meshes


def glasses(face: np.ndarray, who: Identity, patches: Patches) -> list[Mesh]:
    if who.glasses == "none":
        return []
    meshes = []
    corners = np.linspace(-np.pi, np.pi, 33)
    power = 1.0 if who.glasses == "round" else 0.45
    wide, tall, thick = (2.35, 2.2, 0.34) if who.glasses == "round" else (2.6, 1.75, 0.5)
    outline = np.stack([np.sign(f(corners)) * np.abs(f(corners)) ** power for f in (np.sin, np.cos)], -1)
    bridge_z = face[168, 2] + 0.75
    for ring in (RIGHT_EYE, LEFT_EYE):
        middle = face[list(ring)].mean(0)
        side = np.sign(middle[0])
        rows = []
        for size in (thick, 0.0):
            x, y = (outline * (wide + size, tall + size)).T
            z = bridge_z - 0.05 * np.abs(middle[0] + x) ** 1.6
            rows.append(np.stack((middle[0] + x, middle[1] - 0.1 + y, z), -1))
        meshes.append(grid(np.stack(rows), patches["frame"], face=True, bias=1.5, two_sided=True, gloss=0.2))
        hinge = np.array((middle[0] + side * (wide + thick * 0.5), middle[1] + 0.5, bridge_z - 0.05 * (abs(middle[0]) + wide) ** 1.6))
        behind = np.array((side * (_radii(who)[0] + 0.4), 2.8, -4.5))
        arm = np.stack((hinge, (hinge + behind) / 2 + (side * 0.5, 0.15, 0), behind))
        bars = np.stack((arm + (0, 0.25, 0), arm - (0, 0.25, 0)))
        meshes.append(grid(bars, patches["frame"], face=True, bias=0.9, two_sided=True))
    left, right = (face[list(ring)].mean(0) for ring in (RIGHT_EYE, LEFT_EYE))
    x = np.linspace(left[0] + wide, right[0] - wide, 5)
    y = (left[1] + right[1]) / 2 + 0.5 + 0.25 * np.sin(np.linspace(0, np.pi, 5))
    top = np.stack((x, y, np.full(5, bridge_z + 0.1)), -1)
    bridge = grid(np.stack((top, top - (0, thick, 0))), patches["frame"], face=True, bias=1.5, two_sided=True)
    return [*meshes, bridge]


def neck(patches: Patches) -> Mesh:
    centres = np.array(((0, -1.0, -4.2), (0, -6.0, -4.4), (0, -11.0, -5.0), (0, -15.5, -5.4)))
    radii = np.array(((4.9, 4.9), (4.9, 4.9), (5.1, 4.9), (6.6, 5.2)))
    return tube(centres, radii, patches["neck"], 14, bias=-0.8, gloss=0.05)
