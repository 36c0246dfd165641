"""Whether faces are where they were asked for."""

from collections.abc import Sequence

import numpy as np

Box = Sequence[float]  # x0, y0, x1, y1
FOUND = 0.3  # least overlap of a detection with the face box it is counted for


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def own_detections(boxes: Sequence[Box], found: Sequence[Box]) -> list[int | None]:
    """For each face box the number of the detection that is its own, or None.

    A detection belongs to one box at most; together they overlap as much as they can, each by more than `FOUND`.
    """
    from scipy.optimize import linear_sum_assignment

    table = np.array([[overlap(box, other) for other in found] for box in boxes]).reshape(len(boxes), len(found))
    own: list[int | None] = [None] * len(boxes)
    for i, j in zip(*linear_sum_assignment(-table), strict=True):
        if table[i, j] > FOUND:
            own[i] = int(j)
    return own


def overlaps(boxes: Sequence[Box], found: Sequence[Box]) -> list[float]:
    """For each face box its overlap with its own detection; 0 where there is none."""
    own = own_detections(boxes, found)
    return [0.0 if j is None else overlap(box, found[j]) for box, j in zip(boxes, own, strict=True)]
