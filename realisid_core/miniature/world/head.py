"""What surrounds the face and turns with it: cranium, ears, hair, glasses."""

from functools import cache

import numpy as np

from .canonical_face import LEFT_EYE, OVAL, RIGHT_EYE, canonical_face
from .identity import Identity
from .mesh import Mesh, ellipsoid, grid, grid_triangles, tube

CENTRE = np.array((0.0, 3.0, -2.8))
Patches = dict[str, tuple[float, float, float, float]]


def _radii(who: Identity) -> np.ndarray:
    return np.array((8.0 * (1 + 0.075 * who.head_width), 9.4 * (1 + 0.06 * who.head_length), 8.5))


def skin(face: np.ndarray, who: Identity, patches: Patches) -> Mesh:
    """The face [468, 3] and, joined to its oval, the rest of the head: over the crown and under the jaw to the back."""
    canonical = canonical_face()
    radii = _radii(who)
    unit = (face[list(OVAL)] - CENTRE) / radii
    rim = np.linalg.norm(unit, axis=1)
    start = np.arccos(np.clip(unit[:, 2] / rim, -1, 1))
    around = unit[:, :2] / np.maximum(np.linalg.norm(unit[:, :2], axis=1, keepdims=True), 1e-6)
    rows, places = [face], [canonical.uv]
    for step in (0.12, 0.28, 0.5, 0.75, 0.995):
        angle = start + (np.pi - start) * step
        radius = rim + (1 - rim) * min(1.0, 2.2 * step) - 0.02
        direction = np.concatenate((around * np.sin(angle)[:, None], np.cos(angle)[:, None]), 1)
        rows.append(CENTRE + direction * radii * radius[:, None])
        places.append(0.5 + (canonical.uv[list(OVAL)] - 0.5) * (1 + 0.02 * step))
    u0, v0, u1, v1 = patches["face"]
    uv = np.array((u0, v0)) + np.clip(np.concatenate(places), 0.006, 0.994) * (u1 - u0, v1 - v0)
    triangles = np.concatenate((canonical.triangles, _back_of_head(len(places) - 1)))
    return Mesh(np.concatenate(rows), uv, triangles, face=True, gloss=0.16)


@cache
def _back_of_head(rows: int) -> np.ndarray:
    """Triangles between the face's oval and `rows` rings numbered after the face's 468 vertices."""
    n = len(OVAL)
    rings = np.concatenate((np.array(OVAL), 468 + np.arange(rows * n))).reshape(-1, n)[:, ::-1].ravel()
    return rings[grid_triangles(rows + 1, n, closed=True)]


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


# Where the hair ends: |azimuth| in degrees from the front, height in cm; and how thick it is at the crown.
HEMS = {
    "buzz": (
        (
            (0, 9.2),
            (35, 8.9),
            (52, 6.5),
            (72, 4.2),
            (80, 0.8),
            (90, 0.9),
            (100, 4.2),
            (120, 1.0),
            (140, -3.5),
            (180, -4.5),
        ),
        0.45,
    ),
    "short": (
        (
            (0, 8.8),
            (30, 8.3),
            (50, 6.2),
            (70, 4.0),
            (78, -0.3),
            (90, -0.2),
            (98, 3.8),
            (120, 0.5),
            (140, -4.5),
            (180, -5.5),
        ),
        1.6,
    ),
    "spiky": (
        (
            (0, 9.0),
            (35, 8.6),
            (52, 6.3),
            (70, 4.0),
            (80, 1.0),
            (90, 1.0),
            (98, 4.0),
            (120, 1.0),
            (140, -3.0),
            (180, -4.0),
        ),
        1.7,
    ),
    "bob": (((0, 5.6), (40, 5.4), (52, 3.5), (60, -5.0), (75, -7.0), (120, -8.0), (180, -8.5)), 1.8),
    "long": (((0, 9.4), (14, 9.0), (40, 7.2), (54, 3.5), (64, -9.0), (76, -19.0), (120, -23.0), (180, -24.0)), 1.5),
    "bun": (
        ((0, 8.9), (35, 8.4), (55, 6.0), (75, 3.6), (84, 1.5), (98, 4.0), (125, 0.0), (150, -3.5), (180, -4.0)),
        0.8,
    ),
    "curly": (((0, 7.6), (40, 7.0), (55, 5.0), (66, 1.0), (80, -2.5), (120, -4.5), (180, -5.5)), 3.4),
}


def hair(who: Identity, patches: Patches) -> list[Mesh]:
    """A helmet from the crown down to the style's hem: over the ellipsoid of the skull, then straight down."""
    if who.hair_style == "bald":
        return []
    stops, thickness = HEMS[who.hair_style]
    rows, columns = 18, 64 if who.hair_style == "curly" else 44
    radii = _radii(who)
    azimuth = np.linspace(-180, 180, columns + 1)
    parting = azimuth + (16 if who.hair_style in ("short", "long") else 0)
    hem = np.interp(np.abs(np.where(np.abs(azimuth) < 45, parting, azimuth)), *np.array(stops).T) * (
        1 + 0.06 * who.head_length
    )
    height = (hem - CENTRE[1]) / radii[1]
    above = np.arccos(np.clip(height, -1, 1)).clip(None, np.pi / 2)
    length = above + np.maximum(-height, 0)
    t = np.linspace(0.0, 1.0, rows)[:, None]
    s = t * length
    polar = np.minimum(s, np.pi / 2)
    drop = np.maximum(s - np.pi / 2, 0)
    phi = np.radians(azimuth)[None]
    thick = (
        thickness * (0.35 + 0.65 * np.sin(np.clip(t * 1.05 + 0.35, 0, 1) * np.pi) ** 0.7) + 0.2 - 0.3 * thickness * t**4
    )
    if who.hair_style in ("bob", "long"):
        thick = thickness * (0.75 + 0.25 * np.sin(t * np.pi)) + 0.1 + drop * (0.6 if who.hair_style == "bob" else 0.25)
    if who.hair_style == "curly":
        thick = thickness * (
            0.9 + 0.18 * np.sin(phi * 9) * np.sin(s * 11) + 0.1 * np.sin(phi * 17 + 2) * np.cos(s * 19)
        )
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
    temples = 1 - 0.07 * t**3 * np.clip(1 - np.abs(np.abs(azimuth) - 52) / 26, 0, 1) * (who.hair_style != "curly")
    x, z = x * temples, z * temples
    points = CENTRE + np.stack((x, y, z), -1) * np.stack(
        (r[..., 0], np.where(drop > 0, radii[1], r[..., 1]), r[..., 2]), -1
    )
    meshes = [grid(points, patches["hair"], face=True, bias=1.3, gloss=0.25, two_sided=True)]
    if who.hair_style == "bun":
        top = CENTRE + np.array((0, radii[1] + 2.0, -2.5))
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
        hinge = np.array((middle[0] + side * (wide + thick * 0.5), middle[1] + 0.5, 0))
        hinge[2] = bridge_z - 0.05 * (abs(middle[0]) + wide) ** 1.6
        behind = np.array((side * (_radii(who)[0] + 0.4), 2.8, -4.5))
        bow = (hinge + behind) / 2 + np.array((side * 0.5, 0.15, 0))
        bars = np.stack([np.stack((hinge, bow, behind)) + np.array((0, half, 0)) for half in (0.25, -0.25)])
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
    return tube(centres, radii, patches["neck"], 14, bias=-4.0, gloss=0.05)
