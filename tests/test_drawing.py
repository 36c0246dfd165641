"""The pose-expression image: the same picture at every size, its parts told apart, in the frame of the crop."""

import cv2
import numpy as np
import photos
import pytest
import torch

from realisid_core.conditions import contours
from realisid_core.conditions.contours import pose_expression_image, pose_expression_image_xy
from realisid_core.perception import crop_frame, landmark_paths
from realisid_core.perception.landmarks import connection_sets

COLOURS = {colour for _, _, colour in contours.CONTOURS} | {colour for _, colour in contours.IRISES}


def points(name: str = "astronaut") -> np.ndarray:
    """The landmarks in fractions of the crop frame."""
    face = photos.landmarks(photos.photo(name))
    x0, y0, x1, _ = crop_frame(face)
    return (face["landmarks_xy"] - (x0, y0)) / (x1 - x0)


def shrunk(image: torch.Tensor, size: int) -> np.ndarray:
    return cv2.resize(image.numpy(), (size, size), interpolation=cv2.INTER_AREA)


def length(path: np.ndarray) -> float:
    return np.linalg.norm(np.diff(path, axis=0, append=path[:1]), axis=1).sum()


def of_colour(image: torch.Tensor, colour: tuple) -> torch.Tensor:
    """Which pixels have this very colour."""
    return ((image * 255).round() == torch.tensor(colour)).all(-1)


@pytest.mark.parametrize("outline", [False, True])
@pytest.mark.parametrize("size", [64, 256, 512])
def test_small_drawings_are_the_large_one_but_for_resolution(size, outline):
    large = pose_expression_image_xy(points(), 1024, outline)
    drawn = pose_expression_image_xy(points(), size, outline).numpy()
    assert drawn.shape == (size, size, 3)
    assert np.abs(drawn - shrunk(large, size)).max() < 0.01


@pytest.mark.parametrize("size", [200, 328, 500, 1000, 1536, 2048])
def test_odd_and_larger_sizes_differ_by_a_trifle_in_line_width(size):
    large, drawn = (pose_expression_image_xy(points(), edge, outline=True) for edge in (1024, size))
    difference = np.abs(shrunk(drawn, 200) - shrunk(large, 200))
    assert difference.mean() < 0.004
    assert drawn.mean().item() == pytest.approx(large.mean().item(), rel=0.08)


def test_lines_lie_on_the_landmarks():
    image = pose_expression_image_xy(points(), 1024)
    for path, _, colour in contours.CONTOURS:
        hits = of_colour(image, colour)
        near = [hits[y - 3 : y + 4, x - 3 : x + 4].any() for x, y in (points()[list(path)] * 1024).astype(int)]
        assert np.mean(near) > 0.6  # where two parts meet, one covers the other
        assert hits.sum() < 1.3 * 1024 / 110 * length(points()[list(path)] * 1024)


def test_parts_and_sides_have_colours_of_their_own():
    assert len(COLOURS) == len(contours.CONTOURS) + 2
    image = pose_expression_image_xy(points(), 1024, outline=True)
    for colour in COLOURS | {contours.OUTLINE_COLOUR}:
        assert of_colour(image, colour).any(), colour
    assert not of_colour(pose_expression_image_xy(points(), 1024), contours.OUTLINE_COLOUR).any()


def test_the_persons_right_eye_is_drawn_left_of_the_left_one():
    image = pose_expression_image_xy(points(), 512)
    colour = {path: colour for path, _, colour in contours.CONTOURS}
    right, left = (
        of_colour(image, colour[eye]).nonzero()[:, 1].float().mean()
        for eye in (landmark_paths.RIGHT_EYE, landmark_paths.LEFT_EYE)
    )
    assert right < left


def test_a_lid_that_closes_hides_the_iris():
    open_eyes = points()
    closed = open_eyes.copy()
    for eye in (landmark_paths.RIGHT_EYE, landmark_paths.LEFT_EYE):
        closed[list(eye), 1] = closed[list(eye), 1].mean()
    for iris, colour in contours.IRISES:
        before, after = (of_colour(pose_expression_image_xy(p, 1024), colour).sum() for p in (open_eyes, closed))
        assert before > 100 > after, iris


def test_the_mouth_and_the_gaze_show():
    still, moved = points(), points()
    moved[[468, *range(469, 473)], 0] += 0.02
    assert (pose_expression_image_xy(still, 256) - pose_expression_image_xy(moved, 256)).abs().max() > 0.5


def test_the_frame_is_the_crop_frame_wherever_the_face_is():
    face = photos.landmarks(photos.photo())
    shifted = dict(face, landmarks_xy=face["landmarks_xy"] * 3 + 700, bbox_xyxy=face["bbox_xyxy"] * 3 + 700)
    assert torch.allclose(pose_expression_image(face, 256), pose_expression_image(shifted, 256), atol=0.02)
    assert torch.allclose(pose_expression_image(face, 256), pose_expression_image_xy(points(), 256), atol=0.02)


def test_a_rigid_move_of_the_points_moves_the_picture():
    shift = pose_expression_image_xy(points() * 0.5 + 0.25, 512)
    assert torch.equal(
        shift[128:384, 64:320], pose_expression_image_xy(points() * 0.5 + (0.375, 0.25), 512)[128:384, 128:384]
    )


@pytest.mark.parametrize("change", [lambda p: p + 0.7, lambda p: p * 1e6, lambda p: p - 50, lambda p: p * 0])
def test_points_outside_the_frame_are_drawn_as_far_as_they_show(change):
    image = pose_expression_image_xy(change(points()), 256, outline=True)
    assert image.shape == (256, 256, 3) and image.min() >= 0 and image.max() <= 1


def test_half_a_face_past_the_edge_keeps_its_other_half():
    whole = pose_expression_image_xy(points(), 512)
    half = pose_expression_image_xy(points() + np.array([0.5, 0]), 512)
    assert (half[:, 264:] - whole[:, 8:256]).abs().max() < 0.02


@pytest.mark.parametrize("bad", [np.zeros((468, 2)), np.zeros((478, 3)), np.full((478, 2), np.nan)])
def test_other_points_are_refused(bad):
    with pytest.raises(ValueError, match="478 finite points"):
        pose_expression_image_xy(bad, 256)


def test_the_paths_are_mediapipes_own():
    sets = {name: {frozenset(edge) for edge in edges} for name, edges in connection_sets().items()}

    def edges(*paths):
        return {frozenset(pair) for path in paths for pair in zip(path, (*path[1:], path[0]), strict=True)}

    for name, paths in {
        "face_oval": [landmark_paths.FACE_OVAL],
        "left_eye": [landmark_paths.LEFT_EYE],
        "right_eye": [landmark_paths.RIGHT_EYE],
        "lips": [landmark_paths.OUTER_LIPS, landmark_paths.INNER_LIPS],
        "irises": [landmark_paths.LEFT_IRIS[1], landmark_paths.RIGHT_IRIS[1]],
    }.items():
        assert edges(*paths) == sets[name], name
    assert sets["left_eyebrow"] <= edges(landmark_paths.LEFT_EYEBROW)  # we also close its two ends
    assert sets["right_eyebrow"] <= edges(landmark_paths.RIGHT_EYEBROW)
    bridge = {frozenset(pair) for pair in zip(landmark_paths.NOSE_BRIDGE, landmark_paths.NOSE_BRIDGE[1:], strict=False)}
    assert bridge | edges(landmark_paths.NOSE_WINGS) == sets["nose"]


def test_the_lines_that_the_editor_draws_are_those_of_the_picture():
    face = photos.landmarks(photos.photo("astronaut"))
    lines = [np.reshape(line, (-1, 2)) for line in contours.contour_lines(face)]
    drawn = np.zeros((1000, 1000), np.uint8)
    cv2.polylines(drawn, lines, False, (255,), 3)
    picture = pose_expression_image(face, 1000)
    for _, colour in contours.IRISES:
        picture[of_colour(picture, colour)] = 0
    there = cv2.dilate(np.uint8(picture.amax(-1) > 0.5) * 255, np.ones((9, 9), np.uint8)) > 0
    assert len(lines) == len(contours.CONTOURS)
    assert there[drawn > 0].mean() > 0.99


@pytest.mark.parametrize("points", [np.zeros((478, 2)), np.zeros((68, 2)), np.full((478, 2), np.nan)])
def test_a_face_without_the_points_has_no_lines(points):
    assert contours.contour_lines({"landmarks_xy": points}) == []
