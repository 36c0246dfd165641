"""Torso, arms and legs, upright below the head."""

import numpy as np

from .head import Patches
from .mesh import Mesh, ellipsoid, grid, tube

# Heights and half sizes across and in depth, cm in the head's scale: somewhat short, to fit a picture.
TORSO = (
    (-12.6, 5.6, 4.6),
    (-13.6, 8.6, 5.4),
    (-14.8, 13.0, 6.2),
    (-16.6, 16.2, 6.8),
    (-19.5, 17.2, 7.2),
    (-24.0, 16.0, 8.0),
    (-31.0, 13.9, 7.6),
    (-38.0, 12.7, 7.4),
    (-46.0, 13.6, 7.8),
    (-50.0, 13.8, 7.8),
)
DEPTH = -6.0


def torso(patches: Patches) -> Mesh:
    heights, wide, deep = np.array(TORSO).T
    angle = np.linspace(-np.pi, np.pi, 25)
    x = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.8
    z = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.9
    points = np.stack(np.broadcast_arrays(wide[:, None] * x, heights[:, None], DEPTH + deep[:, None] * z), -1)
    points[0, :, 1] -= 1.6 * np.maximum(np.cos(angle), 0) ** 2  # the collar is lower in front
    points[1, :, 1] -= 0.7 * np.maximum(np.cos(angle), 0) ** 2
    mesh = grid(points, patches["shirt"], bias=-1.5)
    _, v0, _, v1 = patches["shirt"]
    v = (points[..., 1] - heights[0]) / (heights[-1] - heights[0])
    uv = np.stack((mesh.uv[:, 0], v0 + v.ravel() * (v1 - v0)), -1)
    return Mesh(mesh.vertices, uv, mesh.triangles, bias=-1.5)


def limbs(patches: Patches, short_sleeves: bool) -> list[Mesh]:
    meshes = []
    for side in (-1, 1):
        arm = np.array(((13.8, -16.0), (16.4, -18.0), (17.9, -23.0), (18.6, -28.5), (19.3, -35.0), (19.6, -46.0)))
        centres = np.stack((side * arm[:, 0], arm[:, 1], DEPTH + np.array((0, 0, 0, 0, 0.6, 3.0))), -1)
        radii = np.array(((3.4, 3.6), (4.3, 4.6), (4.4, 4.6), (4.1, 4.2), (3.6, 3.7), (2.9, 3.0)))
        if short_sleeves:
            meshes.append(tube(centres[3:], radii[3:] * 0.8, patches["skin"], 10, bias=-5.5))
            meshes.append(tube(centres[:4], radii[:4] * 1.05, patches["sleeve"], 10, bias=-5.0))
        else:
            meshes.append(tube(centres, radii, patches["sleeve"], 10, bias=-5.0))
        meshes.append(
            ellipsoid(centres[-1] + np.array((0, -3.2, 0.6)), (2.3, 3.6, 2.3), patches["skin"], 7, 9, bias=-6.5)
        )
        leg = np.array(((6.9, -47.0), (7.2, -62.0), (7.4, -80.0), (7.6, -100.0)))
        centres = np.stack((side * leg[:, 0], leg[:, 1], np.full(4, DEPTH)), -1)
        radii = np.array(((7.0, 7.6), (6.3, 6.8), (5.2, 5.6), (4.3, 4.6)))
        meshes.append(tube(centres, radii, patches["trousers"], 12, bias=-8.0))
        meshes.append(
            ellipsoid(
                centres[-1] + np.array((side * 0.6, -2.0, 3.0)), (4.0, 2.8, 7.2), patches["shoe"], 7, 10, bias=-7.0
            )
        )
    return meshes
