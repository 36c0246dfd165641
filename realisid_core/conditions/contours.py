"""The pose-expression image c_pe: facial landmarks drawn in the frame of the face crop (paper, section 3.1 (2))."""

import math

import numpy as np
import torch
from torch import Tensor

from ..perception.landmark_paths import (
    FACE_OVAL,
    INNER_LIPS,
    LEFT_EYE,
    LEFT_EYEBROW,
    LEFT_IRIS,
    NOSE_BRIDGE,
    NOSE_WINGS,
    OUTER_LIPS,
    RIGHT_EYE,
    RIGHT_EYEBROW,
    RIGHT_IRIS,
)
from ..perception.landmarks import crop_frame

OUTLINE_COLOUR = (140, 140, 140)
CONTOURS = (  # path, closed, RGB: no two alike, so that the parts and the two sides are told apart
    (NOSE_BRIDGE, False, (190, 110, 255)),
    (NOSE_WINGS, True, (130, 70, 255)),
    (RIGHT_EYEBROW, True, (255, 128, 0)),
    (LEFT_EYEBROW, True, (255, 230, 0)),
    (RIGHT_EYE, True, (0, 255, 96)),
    (LEFT_EYE, True, (0, 190, 255)),
    (OUTER_LIPS, True, (255, 30, 70)),
    (INNER_LIPS, True, (255, 150, 190)),
)
IRISES = ((RIGHT_IRIS, (180, 255, 210)), (LEFT_IRIS, (180, 225, 255)))

LINES_PER_EDGE = 110  # a line is 1/110 of the edge wide: some half a latent cell at a latent of 64
BLEED = 1.4  # an anti-aliased line of OpenCV is so many pixels wider than its (even) thickness
CANVAS = 1024  # small images are drawn this large and averaged down, so that they are the large one but for resolution
SHIFT = 4  # OpenCV takes points in 1/16 pixel
FAR = 4.0  # points are kept within this many frames, where OpenCV's integers are safe


def pose_expression_image(face: dict, size: int, outline: bool = False) -> Tensor:
    """c_pe of one face of FACE_LANDMARKS (ours or the host's) in its `crop_frame`: [size, size, 3] in 0..1.

    Black, with anti-aliased contours of brows, eyes, nose and lips and the visible part of the irises; `outline` adds
    the face's outline, which also carries the shape of the donor's face.
    """
    x0, y0, x1, _ = crop_frame(face)
    points = (np.asarray(face["landmarks_xy"], np.float64) - (x0, y0)) / (x1 - x0)
    return pose_expression_image_xy(points, size, outline)


def pose_expression_image_xy(points: np.ndarray, size: int, outline: bool = False) -> Tensor:
    """c_pe of landmarks [478, 2] in fractions of the crop frame (they may lie outside it): [size, size, 3] in 0..1.

    Raises:
        ValueError: not 478 finite points.
    """
    import cv2

    points = np.asarray(points, np.float64)
    if points.shape != (478, 2) or not np.isfinite(points).all():
        raise ValueError(
            f"The landmarks have shape {list(points.shape)}; expected 478 finite points, MediaPipe's with irises."
        )
    scale = math.ceil(CANVAS / size) if size < CANVAS else 1
    canvas = np.zeros((size * scale, size * scale, 3), np.uint8)
    draw_contours(canvas, points * (size * scale), outline)
    if scale > 1:
        canvas = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(canvas).float() / 255


def contour_lines(face: dict) -> list[list[int]]:
    """The contours of c_pe as lines: x and y by turns, in thousandths of the crop frame.

    Closed ones end where they began. Of a face of FACE_LANDMARKS; none of one without the 478 points that
    `pose_expression_image` asks for.
    """
    points = np.asarray(face["landmarks_xy"], np.float64)
    if points.shape != (478, 2) or not np.isfinite(points).all() or not np.ptp(points):
        return []
    x0, y0, x1, _ = crop_frame(face)
    scaled = np.round((points - (x0, y0)) * (1000 / (x1 - x0))).astype(int)
    return [scaled[[*path, *path[: int(closed)]]].ravel().tolist() for path, closed, _ in CONTOURS]


def draw_contours(canvas: np.ndarray, points: np.ndarray, outline: bool, width: float | None = None) -> None:
    """Draw into `canvas` (uint8 [H, W, 3]); `points` [478, 2] in its pixels, lines `width` pixels wide."""
    import cv2

    side = max(canvas.shape[:2])
    thickness = max(1, 2 * round(((width or side / LINES_PER_EDGE) - BLEED) / 2))
    points = np.clip(points, -FAR * side, FAR * side)
    fixed = np.round((points - 0.5) * (1 << SHIFT)).astype(np.int32)  # OpenCV counts from the centre of a pixel
    if outline:
        cv2.polylines(canvas, [fixed[list(FACE_OVAL)]], True, OUTLINE_COLOUR, thickness, cv2.LINE_AA, SHIFT)
    for (centre, ring, eye), colour in IRISES:
        radius = float(np.linalg.norm(points[list(ring)] - points[centre], axis=1).mean())
        _draw_iris(canvas, points[centre], radius, points[list(eye)], colour)
    for path, closed, colour in CONTOURS:
        cv2.polylines(canvas, [fixed[list(path)]], closed, colour, thickness, cv2.LINE_AA, SHIFT)


def _draw_iris(canvas: np.ndarray, centre: np.ndarray, radius: float, eye: np.ndarray, colour: tuple) -> None:
    """The disc of the iris as far as the lids leave it open."""
    import cv2

    height, width = canvas.shape[:2]
    left, top = np.maximum(np.floor(centre - radius), 0).astype(int)
    right, bottom = np.minimum(np.ceil(centre + radius) + 1, (width, height)).astype(int)
    if left >= right or top >= bottom:
        return
    origin = np.array([left + 0.5, top + 0.5])
    disc, opening = np.zeros((2, bottom - top, right - left), np.uint8)
    middle = np.round((centre - origin) * (1 << SHIFT)).astype(int).tolist()
    cv2.circle(disc, middle, round(radius * (1 << SHIFT)), (255,), -1, cv2.LINE_AA, SHIFT)
    cv2.fillPoly(opening, [np.round((eye - origin) * (1 << SHIFT)).astype(np.int32)], (255,), cv2.LINE_AA, SHIFT)
    alpha = np.minimum(disc, opening)[..., None] / 255
    patch = canvas[top:bottom, left:right]
    patch[:] = patch * (1 - alpha) + np.array(colour) * alpha + 0.5
