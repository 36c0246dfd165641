"""Laying points over others."""

import numpy as np


def similarity(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """[D, D + 1]: the rotation, uniform scale and shift that bring `points` nearest to `target`, both [N, D] (Umeyama).

    It never mirrors. The scale is the D-th root of the determinant of the first D columns.
    """
    middle, target_middle = points.mean(0), target.mean(0)
    centred, target_centred = points - middle, target - target_middle
    u, stretch, vt = np.linalg.svd(target_centred.T @ centred / len(points))
    sign = np.ones(points.shape[1])
    sign[-1] = np.sign(np.linalg.det(u) * np.linalg.det(vt))  # no mirror image
    rotation = u * sign @ vt
    scale = (stretch * sign).sum() / centred.var(0).sum()
    return np.column_stack([scale * rotation, target_middle - scale * rotation @ middle])


def moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """`points` [N, D] under what `similarity` found."""
    return points @ matrix[:, :-1].T + matrix[:, -1]
