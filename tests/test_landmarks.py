"""Landmarks lie on the face, in the host's form, however the face is turned; the head's pose has the signs it says."""

import copy
import subprocess
import sys

import numpy as np
import photos
import pytest
import torch
from realisid_pack.nodes.landmarks import FaceLandmarks
from realisid_pack.nodes.previews import landmarks_picture

from realisid_core.perception import (
    crop_frame,
    describe_face,
    detect_faces,
    face_landmarks,
    faces_from_boxes,
    head_pose,
    landmarked_faces,
)
from realisid_core.perception.landmarks import find_landmarks
from realisid_core.persons import first_face

FIVE = (468, 473, 1, 61, 291)  # irises, nose tip and corners of the mouth among the 478
NAMES = {"face_oval", "lips", "left_eye", "right_eye", "left_eyebrow", "right_eyebrow", "irises", "nose"}


@pytest.mark.parametrize("name", ["astronaut", "grace_hopper"])
def test_landmarks_agree_with_the_detectors_five_points(name):
    faces = detect_faces(photos.photo(name))
    (face,) = faces.faces[0]
    points = face_landmarks(faces)["frames"][0][0]["landmarks_xy"]
    assert np.abs(points[list(FIVE)] - face.points).max() < 0.08 * (face.box[2] - face.box[0])


def test_the_form_is_the_hosts():
    landmarks = face_landmarks(detect_faces(photos.side_by_side()))
    assert landmarks["image_size"] == (512, 1024)
    assert set(landmarks["connection_sets"]) == NAMES | {"tesselation", "contours", "all"}
    assert all(isinstance(edges, frozenset) and edges for edges in landmarks["connection_sets"].values())
    assert max(max(edge) for edge in landmarks["connection_sets"]["all"]) == 477
    assert [len(frame) for frame in landmarks["frames"]] == [2]
    for face in landmarks["frames"][0]:
        assert face["landmarks_xy"].shape == (478, 2) and face["landmarks_3d"].shape == (478, 3)
        extent = [*face["landmarks_xy"].min(0), *face["landmarks_xy"].max(0)]
        assert face["bbox_xyxy"].tolist() == pytest.approx(extent)
        assert face["transformation_matrix"].shape == (4, 4)
        assert len(face["blendshapes"]) == 52 and all(0 <= score <= 1 for score in face["blendshapes"].values())
        assert {"presence", "score"} <= set(face)


def test_the_smile_is_seen_where_there_is_one():
    smiling, stern = (photos.landmarks(photos.photo(name))["blendshapes"] for name in ("astronaut", "grace_hopper"))
    assert smiling["mouthSmileLeft"] > 0.6 > 0.3 > stern["mouthSmileLeft"]
    assert "mouthSmileLeft" in describe_face(photos.landmarks(photos.photo()))["blendshapes"]


@pytest.mark.parametrize("degrees", [-90, -45, -30, 30, 45, 90])
def test_landmarks_and_roll_turn_with_the_picture(degrees):
    straight = photos.landmarks(photos.photo())
    image, matrix = photos.turned(degrees)
    face = photos.landmarks(image)
    expected = straight["landmarks_xy"] @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(face["landmarks_xy"] - expected).mean() < 3
    assert head_pose(face)[2] - head_pose(straight)[2] == pytest.approx(degrees, abs=5)


def test_a_turned_face_is_found_from_its_bare_box_too():
    image, matrix = photos.turned(90)
    straight = photos.landmarks(photos.photo())
    corners = np.float32([straight["bbox_xyxy"][:2], straight["bbox_xyxy"][2:]]) @ matrix[:, :2].T + matrix[:, 2]
    (x0, y0), (x1, y1) = corners.min(0), corners.max(0)
    box = {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0}
    face = face_landmarks(faces_from_boxes(image, box))["frames"][0][0]
    assert head_pose(face)[2] == pytest.approx(90 + head_pose(straight)[2], abs=6)


def test_mirroring_changes_the_signs_of_yaw_and_roll_but_not_of_pitch():
    image, _ = photos.turned(20)
    yaw, pitch, roll = head_pose(photos.landmarks(image))
    mirrored = head_pose(photos.landmarks(image.flip(2)))
    assert mirrored == pytest.approx((-yaw, pitch, -roll), abs=2.5)
    assert roll > 15


def pose_of(yaw: float, pitch: float, roll: float) -> tuple:
    """`head_pose` of a head first rolled clockwise, then raised, then turned, all about the camera's axes."""

    def about(axis: int, degrees: float) -> np.ndarray:
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        i, j = ((1, 2), (2, 0), (0, 1))[axis]
        matrix = np.eye(3)
        matrix[i, i] = matrix[j, j] = cos
        matrix[i, j], matrix[j, i] = -sin, sin
        return matrix

    transform = np.eye(4)
    transform[:3, :3] = 1.7 * about(1, yaw) @ about(0, -pitch) @ about(2, -roll)  # the host's has a scale in it
    return head_pose({"transformation_matrix": transform})


@pytest.mark.parametrize("pose", [(0, 0, 0), (35, 0, 0), (0, 20, 0), (0, 0, 40), (-50, -25, 130), (70, 40, -60)])
def test_head_pose_reads_the_angles_back(pose):
    assert pose_of(*pose) == pytest.approx(pose, abs=1e-6)


@pytest.mark.parametrize("name", ["astronaut", "grace_hopper"])
def test_yaw_is_positive_towards_the_right_edge(name):
    """The nose is off the middle of the eyes on the side the face is turned to; squeezing one half turns nothing."""
    face = photos.landmarks(photos.photo(name))
    right, left, nose = (face["landmarks_xy"][i] for i in (33, 263, 1))
    turned = copy.deepcopy(face)
    depth = face["landmarks_3d"][:, 2] / np.ptp(face["landmarks_3d"][:, 0]) * np.ptp(face["landmarks_xy"][:, 0])
    angle = np.radians(25)
    middle = face["landmarks_xy"][:, 0].mean()
    turned["landmarks_xy"][:, 0] = (
        middle + np.cos(angle) * (face["landmarks_xy"][:, 0] - middle) - np.sin(angle) * depth
    )
    moved = turned["landmarks_xy"][1, 0] - turned["landmarks_xy"][[33, 263], 0].mean()
    assert moved > nose[0] - (right[0] + left[0]) / 2  # a head turned by +25° shows its nose further right
    matrix = np.eye(4)
    matrix[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    turned["transformation_matrix"] = matrix @ face["transformation_matrix"]
    assert head_pose(turned)[0] == pytest.approx(head_pose(face)[0] + 25, abs=2)


def test_the_crop_frame_is_the_square_of_the_extent():
    face = {"landmarks_xy": np.array([[10.0, 40.0], [50.0, 120.0], [30.0, 20.0]])}
    assert crop_frame(face) == (-20, 20, 80, 120)


@pytest.mark.parametrize("edge, fraction", [(128, 7), (256, 7), (256, 10), (2048, 10)])
def test_small_faces_have_the_landmarks_of_the_large_one(edge, fraction):
    def shape(face):
        x0, y0, x1, _ = crop_frame(face)
        return (face["landmarks_xy"] - (x0, y0)) / (x1 - x0)

    small = shape(photos.landmarks(photos.small_face(edge, fraction)))
    assert np.abs(small - shape(photos.landmarks(photos.photo()))).mean() < 0.04


def test_a_neighbour_is_not_taken_for_the_face_that_was_meant():
    astronaut = photos.photo()[:, 40:200, 150:300]
    pair = torch.cat([astronaut, astronaut.flip(2)], 2)
    landmarks = face_landmarks(detect_faces(pair, order="left to right"))
    left, right = (face["landmarks_xy"][:, 0].mean() for face in landmarks["frames"][0])
    assert left < 150 < right


def test_no_landmarks_is_said_with_the_box_or_skipped():
    faces = faces_from_boxes(photos.photo(), {"x": 20, "y": 300, "width": 100, "height": 100})
    with pytest.raises(ValueError, match=r"face 1 of picture 1 \(box 20, 300, 120, 400\)"):
        face_landmarks(faces)
    assert face_landmarks(faces, skip=True)["frames"] == [[]]
    with pytest.raises(ValueError, match="no face"):
        landmarked_faces(face_landmarks(faces, skip=True))


def test_the_picture_shows_one_tile_a_face_with_or_without_the_photo():
    image = photos.side_by_side()
    landmarks = face_landmarks(detect_faces(image))
    over, alone = landmarks_picture(landmarks, image), landmarks_picture(landmarks)
    assert over.shape == alone.shape == (2, 512, 512, 3)
    assert alone.mean() < over.mean()


def face_of_another_pack() -> dict:
    """Points and the head's pose, and nothing else."""
    found = photos.landmarks(photos.photo())
    return {key: found[key] for key in ("landmarks_xy", "transformation_matrix")}


def test_landmarks_of_another_pack_need_no_more_than_their_points():
    face = face_of_another_pack()
    value = {"frames": [[face]]}
    assert describe_face(face)["blendshapes"] == {} and crop_frame(face)
    assert landmarked_faces(value) == [face]
    assert landmarks_picture(value).shape == (1, 512, 512, 3)
    outputs = FaceLandmarks.execute(value, 128, False)
    assert outputs[1].shape == (1, 128, 128, 3)


@pytest.mark.parametrize(
    "value, said",
    [
        (None, "landmarks is NoneType"),
        ([], "landmarks is list"),
        ({}, "landmarks has NoneType for frames"),
        ({"frames": 5}, "landmarks has int for frames"),
        ({"frames": [5]}, "Picture 1 of landmarks is int"),
        ({"frames": [[], [None]]}, "Face 1 of picture 2 of landmarks has no landmarks_xy"),
        ({"frames": [[{"landmarks_xy": "points"}]]}, r"has landmarks_xy of shape \[0\]"),
        ({"frames": [[{"landmarks_xy": np.ones((68, 2))}]]}, r"of shape \[68, 2\]; expected 478"),
        ({"frames": [[{"landmarks_xy": np.full((478, 2), np.nan)}]]}, "expected 478 finite points"),
        ({"frames": [[{"landmarks_xy": np.ones((478, 2))}]]}, "there is no face to draw"),
    ],
)
def test_landmarks_of_another_pack_that_cannot_be_used_are_refused_by_name(value, said):
    with pytest.raises(ValueError, match=said):
        landmarked_faces(value)
    with pytest.raises(ValueError, match=said):
        first_face(value)


def test_points_are_those_of_mediapipe_on_the_whole_picture():
    """MediaPipe's own answer on a picture whose face is large needs no crop; ours is the same face."""
    import mediapipe

    from realisid_core.perception.landmarks import _landmarker

    array = photos.pixels("grace_hopper")
    direct = _landmarker().detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=array))
    expected = np.array([(point.x * 512, point.y * 600) for point in direct.face_landmarks[0]])
    ours = find_landmarks(array, detect_faces(photos.photo("grace_hopper")).faces[0][0])
    assert np.abs(ours["landmarks_xy"] - expected).mean() < 2


@pytest.mark.slow
def test_the_interpreter_ends_without_a_word_of_mediapipes_closing():
    code = "import sys; sys.path.insert(0, sys.argv[1]); import conftest, photos; photos.landmarks(photos.photo())"
    folder = str(photos.EXAMPLES.parent / "tests")
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Exception" not in done.stderr
