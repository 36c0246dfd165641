"""One face box: the landmarks' square for crop, mask, boxes and drawing; estimated where there are no landmarks."""

import sys

import numpy as np
import photos
import pytest

from realisid_core.geometry import square
from realisid_core.perception import crop_frame, detect_faces, face_landmarks
from realisid_core.perception.faces import to_image
from realisid_core.perception.framing import face_square
from realisid_core.perception.layout import boxes_from_faces
from realisid_core.training.pictures import Candidate, Rules, make_portrait
from research.world import render, sample_scene


def pictures() -> dict:
    """Both shipped photos and ten people of the face world."""
    scenes = {f"world {seed}": sample_scene(np.random.default_rng(seed), 1, (0.2, 0.5)) for seed in range(10)}
    drawn = {name: to_image(render(scene, 512).image) for name, scene in scenes.items()}
    return drawn | {name: photos.photo(name) for name in ("astronaut", "grace_hopper")}


def apart(box, other) -> tuple[float, float]:
    """Ratio of the sides and distance of the centres in sides of `other`."""
    (x0, y0, x1, y1), (u0, v0, u1, v1) = box, other
    centre = np.hypot((x0 + x1 - u0 - u1) / 2, (y0 + y1 - v0 - v1) / 2)
    return (x1 - x0) / (u1 - u0), centre / (u1 - u0)


@pytest.mark.parametrize("name", ["astronaut", "grace_hopper"])
@pytest.mark.parametrize("margin", [0.0, 0.4])
def test_every_box_of_a_photo_is_the_landmarks_square(name, margin):
    faces = detect_faces(photos.photo(name), margin=margin)
    height, width = faces.image.shape[1:3]
    frame = crop_frame(face_landmarks(faces)["frames"][0][0])
    (face,) = faces.faces[0]
    assert face.square == pytest.approx(frame)
    assert face.box == pytest.approx(square(*frame, margin))
    (bounding,) = faces.bounding_boxes()[0]
    (from_faces,) = boxes_from_faces(faces, width, height).boxes
    (from_bounding,) = boxes_from_faces(faces.bounding_boxes(), width, height).boxes
    assert [bounding[key] for key in ("x", "y", "width", "height")] == pytest.approx(
        [frame[0], frame[1], frame[2] - frame[0], frame[3] - frame[1]]
    )
    assert from_faces.scaled(width, height) == pytest.approx(frame)
    assert from_bounding.scaled(width, height) == pytest.approx(frame)
    assert faces.box == "landmarks"


def test_training_pictures_have_the_same_box():
    data = (photos.EXAMPLES / "astronaut.jpg").read_bytes()
    portrait = make_portrait(Candidate("astronaut", data, "an astronaut"), Rules(512, 256))
    points = portrait.landmarks * 512
    frame = square(*points.min(0), *points.max(0))
    assert detect_faces(photos.photo()).faces[0][0].square == pytest.approx(frame, abs=1.5)


def test_without_landmarks_the_square_is_estimated(monkeypatch):
    found = {name: detect_faces(image).faces[0][0] for name, image in pictures().items()}
    assert all(face.landmarks is not None for face in found.values())
    estimated = {name: face_square(face.found, face.points, None) for name, face in found.items()}
    differences = np.array([apart(estimated[name], found[name].square) for name in found])
    raw = np.array([apart(square(*found[name].found), found[name].square) for name in found])
    assert np.abs(differences[:, 0] - 1).mean() < 0.05 < np.abs(raw[:, 0] - 1).mean()
    assert differences[:, 1].mean() < 0.045 < raw[:, 1].mean()
    monkeypatch.setitem(sys.modules, "mediapipe.tasks.python", None)  # as where MediaPipe is not installed
    (face,) = detect_faces(photos.photo()).faces[0]
    assert face.square == pytest.approx(estimated["astronaut"])


@pytest.mark.parametrize("degrees", [-90, 90, 180])
def test_lower_is_where_the_chin_is(degrees):
    """A turned face has the turned square."""
    points = np.array([[40.0, 50.0], [60.0, 50.0], [50.0, 60.0], [42.0, 75.0], [58.0, 75.0]])
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    def middle(box):
        return np.array([box[0] + box[2], box[1] + box[3]]) / 2 - 50

    upright, turned = (
        middle(face_square((20, 20, 80, 80), where, None)) for where in (points, (points - 50) @ turn.T + 50)
    )
    assert upright[1] > 0 and turned == pytest.approx(turn @ upright, abs=1e-6)
