"""What surrounds the face and turns with it: the back of the head, ears, glasses, neck."""

from functools import cache

import numpy as np

from realisid_core.canonical_face import canonical_face

from .canonical_face import LEFT_EYE, OVAL, RIGHT_EYE
from .identity import Identity
from .mesh import Mesh, ellipsoid, grid, grid_triangles, tube

CENTRE = np.array((0.0, 3.0, -2.8))
Patches = dict[str, tuple[float, float, float, float]]


def skull_radii(who: Identity) -> np.ndarray:
    """Of the ellipsoid round `CENTRE`, across, up and in depth, cm."""
    return np.array((8.0 * (1 + 0.075 * who.head_width), 9.4 * (1 + 0.06 * who.head_length), 8.5))


def skin(face: np.ndarray, who: Identity, patches: Patches) -> Mesh:
    """The face [468, 3] and, joined to its oval, the rest of the head: over the crown and under the jaw to the back."""
    canonical = canonical_face()
    radii = skull_radii(who)
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
    rx = skull_radii(who)[0]
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
        behind = np.array((side * (skull_radii(who)[0] + 0.4), 2.8, -4.5))
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
