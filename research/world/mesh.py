"""Triangle meshes: the pieces that people are built of."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

Patch = tuple[float, float, float, float]  # u0, v0, u1, v1 in the atlas


@dataclass(frozen=True)
class Mesh:
    """`vertices` [V, 3] cm, `uv` [V, 2] in 0..1 of the atlas, `triangles` [T, 3] counter-clockwise from outside.

    `face`: belongs to what a face parser keeps. `bias`: cm added to the depth when sorting. `gloss`: strength of the
    highlight. `two_sided`: seen from behind as well.
    """

    vertices: np.ndarray
    uv: np.ndarray
    triangles: np.ndarray
    face: bool = False
    bias: float = 0.0
    gloss: float = 0.0
    two_sided: bool = False

    def moved(self, matrix: np.ndarray, pivot: np.ndarray) -> "Mesh":
        return replace(self, vertices=(self.vertices - pivot) @ matrix.T + pivot)


@cache
def grid_triangles(rows: int, columns: int, closed: bool = False) -> np.ndarray:
    """Triangles of a grid of vertices whose rows run downwards and columns to the right, seen from outside."""
    row, column = np.mgrid[: rows - 1, : columns if closed else columns - 1]
    here = row * columns + column
    right = row * columns + (column + 1) % columns
    quads = np.stack((here, here + columns, right + columns, right), -1).reshape(-1, 4)
    return np.concatenate((quads[:, (0, 1, 2)], quads[:, (0, 2, 3)])).astype(np.int32)


def grid(points: np.ndarray, patch: Patch, closed: bool = False, **options) -> Mesh:
    """Mesh of `points` [rows, columns, 3], its texture `patch` (u0, v0, u1, v1) stretched over it."""
    rows, columns = points.shape[:2]
    u0, v0, u1, v1 = patch
    v, u = np.meshgrid(np.linspace(v0, v1, rows), np.linspace(u0, u1, columns), indexing="ij")
    uv = np.stack((u, v), -1).reshape(-1, 2)
    return Mesh(points.reshape(-1, 3), uv, grid_triangles(rows, columns, closed), **options)


def tube(centres: np.ndarray, radii: np.ndarray, patch: Patch, sides: int = 12, **options) -> Mesh:
    """A tube along `centres` [n, 3], `radii` [n, 2] across x and z; the seam is behind."""
    angle = np.linspace(-np.pi, np.pi, sides + 1)
    round_ = np.stack((np.sin(angle), np.zeros_like(angle), np.cos(angle)), -1)
    points = centres[:, None] + round_[None] * np.insert(radii, 1, 0, axis=1)[:, None]
    return grid(points, patch, **options)


def ellipsoid(centre, radii, patch: Patch, rows: int = 9, columns: int = 14, **options) -> Mesh:
    polar = np.linspace(0.02, np.pi - 0.02, rows)[:, None]
    angle = np.linspace(-np.pi, np.pi, columns)[None]
    x, y, z = np.sin(polar) * np.sin(angle), np.cos(polar) + 0 * angle, np.sin(polar) * np.cos(angle)
    return grid(np.asarray(centre) + np.stack((x, y, z), -1) * np.asarray(radii), patch, **options)
