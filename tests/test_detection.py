"""Faces are found where they are, and what cannot be done is said so."""

import json
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import folder_paths
import numpy as np
import photos
import pytest
import torch
from realisid_pack.nodes.detect import DetectFaces
from realisid_pack.nodes.previews import boxes_picture

from realisid_core.perception import Faces, crop_square, detect_faces, faces_from_boxes, masked_crops, require_faces


def test_the_astronaut_is_found_where_another_detector_sees_her():
    (face,) = detect_faces(photos.photo()).faces[0]
    assert photos.overlap(face.found, photos.ASTRONAUT_BOX) > 0.8
    assert face.score > 0.9
    right_eye, left_eye, nose, *mouth = face.points
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_eye[1] < nose[1] < min(y for _, y in mouth)


def test_the_box_is_the_square_enlarged_by_the_margin_round_the_same_centre():
    (plain,) = detect_faces(photos.photo()).faces[0]
    (wide,) = detect_faces(photos.photo(), margin=0.5).faces[0]
    x0, y0, x1, y1 = plain.square
    assert plain.box == pytest.approx(plain.square) and wide.square == plain.square
    for face, side in ((plain, y1 - y0), (wide, 1.5 * (y1 - y0))):
        assert face.box[2] - face.box[0] == pytest.approx(side) == face.box[3] - face.box[1]
        assert (face.box[0] + face.box[2]) / 2 == pytest.approx((x0 + x1) / 2)
        assert (face.box[1] + face.box[3]) / 2 == pytest.approx((y0 + y1) / 2)


def test_normalised_boxes_are_fractions_of_width_and_height():
    faces = detect_faces(photos.photo("grace_hopper"))
    (face,) = faces.faces[0]
    described = faces.describe()
    x, y, width, height = described["faces"][0][0]["normalised"]
    corners = [x * 512, y * 600, (x + width) * 512, (y + height) * 600]
    assert corners == pytest.approx(face.box)
    assert (described["width"], described["height"]) == (512, 600)
    assert described["faces"][0][0]["box"] == list(face.box)


@pytest.mark.parametrize("order, first", [("largest first", "right"), ("left to right", "left")])
def test_two_people_are_both_found_and_ordered(order, first):
    found = detect_faces(photos.side_by_side(), order=order).faces[0]
    assert len(found) == 2
    assert (found[0].found[0] > 512) == (first == "right")
    assert detect_faces(photos.side_by_side(), order=order, maximum=1).faces[0][0].found == found[0].found
    assert detect_faces(photos.side_by_side(), order=order, pick=2).faces[0][0].found == found[1].found


def test_a_face_picked_by_its_number_is_shown_with_it():
    both, second = detect_faces(photos.side_by_side()), detect_faces(photos.side_by_side(), pick=2)
    assert [face.number for face in both.faces[0]] == [1, 2]
    assert [face.number for face in second.faces[0]] == [2]
    first = Faces(both.image, [[replace(second.faces[0][0], number=1)]])
    assert not torch.equal(boxes_picture(second), boxes_picture(first))  # another colour and label


def test_the_former_index_keeps_its_meaning(tmp_path, monkeypatch):
    """Counted from 0, -1 for all; `face` counts from 1, 0 for all."""
    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path))

    def numbers(**picked) -> list[int]:
        faces = DetectFaces.execute(photos.side_by_side(), "yunet", 0.6, "left to right", 0, 0.0, **picked)[0]
        return [face.number for face in faces.faces[0]]

    assert numbers() == numbers(face=0) == numbers(index=-1) == numbers(face=0, index=-2) == [1, 2]
    assert numbers(face=2) == numbers(index=1) == numbers(face=2, index=-2) == [2]
    assert numbers(face=1) == numbers(index=0) == [1]
    details = DetectFaces.execute(photos.side_by_side(), "yunet", 0.6, "left to right", 0, 0.0, face=2)[2]
    assert json.loads(details)["faces"][0][0]["number"] == 2


def test_the_most_confident_comes_first():
    scores = [face.score for face in detect_faces(photos.side_by_side(), order="most confident first").faces[0]]
    assert scores == sorted(scores, reverse=True)


def test_pictures_of_several_sizes_are_looked_at_side_by_side():
    """As when the editor asks for faces while a graph runs."""
    images = [photos.photo(), photos.side_by_side()] * 4
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(detect_faces, images))
    for image, found in zip(images, together, strict=True):
        alone = detect_faces(image)
        assert [face.found for face in found.faces[0]] == [face.found for face in alone.faces[0]]


@pytest.mark.parametrize("degrees", [-30, 30])
def test_a_face_turned_by_thirty_degrees_is_found(degrees):
    image, matrix = photos.turned(degrees)
    (straight,) = detect_faces(photos.photo()).faces[0]
    (face,) = detect_faces(image).faces[0]
    expected = straight.points @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(face.points - expected).mean() < 0.07 * (face.box[2] - face.box[0])  # its points lag behind the roll


@pytest.mark.parametrize("edge", [128, 256, 1024, 3072])
@pytest.mark.parametrize("fraction", [7, 10])
def test_small_faces_are_found_in_small_and_in_large_pictures(edge, fraction):
    (face,) = detect_faces(photos.small_face(edge, fraction)).faces[0]
    assert face.found[3] - face.found[1] == pytest.approx(edge / fraction, rel=0.2, abs=2)


def test_a_face_larger_than_the_picture_has_a_box_past_its_edges():
    image = photos.photo()[:, 85:160, 190:260]
    (face,) = detect_faces(image, margin=0.5).faces[0]
    assert face.box[0] < 0 and face.box[2] > 70
    corner = masked_crops(detect_faces(image, margin=0.5), 64)[0, 0, 0]
    assert corner.tolist() == [0, 0, 0]


def test_grey_and_transparent_pictures_are_read():
    grey = photos.photo().mean(-1, keepdim=True)
    transparent = torch.cat([photos.photo(), torch.ones(1, 512, 512, 1)], -1)
    (face,) = detect_faces(grey).faces[0]
    assert photos.overlap(face.found, photos.ASTRONAUT_BOX) > 0.8
    assert detect_faces(transparent).faces[0][0].found == detect_faces(photos.photo()).faces[0][0].found


def test_a_batch_gives_each_picture_its_own_faces():
    larger = photos.photo("grace_hopper").movedim(-1, 1)
    resized = torch.nn.functional.interpolate(larger, (512, 512), mode="area").movedim(1, -1)
    faces = detect_faces(torch.cat([photos.photo(), resized, photos.photo()]))
    assert [len(found) for found in faces.faces] == [1, 1, 1]
    assert faces.faces[0][0].found == faces.faces[2][0].found != faces.faces[1][0].found
    assert boxes_picture(faces).shape == (3, 512, 512, 3)


def test_the_hosts_boxes_serve_in_place_of_detection():
    faces = detect_faces(photos.photo(), margin=0.2)
    again = faces_from_boxes(photos.photo(), faces.bounding_boxes(), margin=0.2)
    assert again.faces[0][0].box == pytest.approx(faces.faces[0][0].box)
    one = faces.bounding_boxes()[0][0]
    batch = torch.cat([photos.photo()] * 2)
    for value in (one, [one], [[one]]):
        assert [len(found) for found in faces_from_boxes(batch, value).faces] == [1, 1]


@pytest.mark.parametrize(
    "value, said",
    [
        ("face", "str"),
        ([{"x": 1}], "expected x, y, width and height"),
        ({"x": 1, "y": 1, "width": 0, "height": 5}, "positive"),
        ({"x": 900, "y": 1, "width": 50, "height": 50}, "does not lie on"),
        ({"x": 0, "y": 0, "width": 9e5, "height": 9e5}, "does not lie on"),
        ({"x": float("nan"), "y": 0, "width": 9, "height": 9}, "not a finite number"),
        ([[], [], []], "3 pictures"),
    ],
)
def test_boxes_that_cannot_be_meant_are_refused(value, said):
    with pytest.raises(ValueError, match=said):
        faces_from_boxes(photos.photo(), value)


@pytest.mark.parametrize(
    "image, said",
    [
        (photos.photo()[:, 220:], r"No face found in the picture \(512×292\) by yunet at threshold 0.6\. Try"),
        (photos.photo()[:, 100:101], r"No face found in the picture \(512×1\)"),
        (photos.photo()[:, :0], "no pixel"),
        (photos.photo() * float("nan"), "786432 values that are NaN"),
        (photos.photo()[..., :2], "1, 3 or 4 channels"),
        (torch.cat([photos.photo(), torch.zeros(1, 512, 512, 3)]), "picture 2 of 2"),
        ("photo.jpg", "str"),
    ],
)
def test_bad_pictures_are_named(image, said):
    with pytest.raises(ValueError, match=said):
        detect_faces(image)


def test_half_precision_is_read_as_it_is():
    (face,) = detect_faces(photos.photo().bfloat16()).faces[0]
    assert photos.overlap(face.found, photos.ASTRONAUT_BOX) > 0.8


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": float("nan")},
        {"threshold": 2.0},
        {"margin": float("nan")},
        {"margin": 1e9},
        {"margin": -1.0},
        {"order": "zz"},
        {"order": ["largest first"]},
    ],
)
def test_settings_that_mean_nothing_are_named(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"{name} is .*expected"):
        detect_faces(photos.photo(), **options)


@pytest.mark.parametrize("faces", [[photos.photo()], photos.photo(), None, {"faces": []}])
def test_faces_of_another_pack_are_refused(faces):
    with pytest.raises(ValueError, match=r"faces is \w+, which RealisID's Detect Faces does not make"):
        require_faces(faces)


def test_a_huge_box_takes_no_more_memory_than_the_picture():
    picture = photos.pixels("astronaut")
    tracemalloc.start()
    crop = crop_square(picture, (-50_000, -50_000, 50_512, 50_512), 64)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    whole = np.zeros((2048, 2048, 3), np.uint8)
    whole[768:1280, 768:1280] = picture
    expected = crop_square(whole, (0, 0, 2048, 2048), 64)
    assert np.array_equal(crop_square(picture, (-768, -768, 1280, 1280), 64), expected)
    assert crop.shape == (64, 64, 3)


def test_pictures_without_a_face_may_be_allowed():
    assert detect_faces(torch.zeros(2, 64, 64, 3), required=False).faces == [[], []]


@pytest.mark.parametrize("pick", [3, -1])
def test_a_number_past_the_faces_says_how_many_there_are(pick):
    with pytest.raises(ValueError, match=r"has 2 faces .* from 1 to 2"):
        detect_faces(photos.side_by_side(), pick=pick)


def test_an_unknown_detector_is_named():
    with pytest.raises(ValueError, match=r"'haar'.*yunet, retinaface, mtcnn"):
        detect_faces(photos.photo(), backend="haar")


def test_the_papers_detector_agrees_where_it_is_installed():
    pytest.importorskip("facenet_pytorch")
    (face,) = detect_faces(photos.photo(), backend="mtcnn").faces[0]
    assert photos.overlap(face.found, photos.ASTRONAUT_BOX) > 0.9
    assert photos.overlap(face.found, detect_faces(photos.photo()).faces[0][0].found) > 0.8


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    from realisid_core.perception.detection import _mtcnn_model

    _mtcnn_model.cache_clear()
    with pytest.raises(ValueError, match=r"pip install facenet-pytorch --no-deps.*yunet"):
        detect_faces(photos.photo(), backend="mtcnn")


def test_a_crop_is_exact_to_the_sub_pixel():
    y, x = np.mgrid[:64, :64]
    ramp = (2 * x + y).astype(np.float32)  # bicubic keeps a plane, so every value is known
    crop = crop_square(ramp, (10.25, 20.5, 34.25, 44.5), 48)
    centres = (np.arange(48) + 0.5) / 2
    expected = 2 * (10.25 + centres[None] - 0.5) + (20.5 + centres[:, None] - 0.5)
    assert np.abs(crop - expected).max() < 1e-3


def test_a_crop_of_whole_pixels_is_a_slice_and_past_the_frame_there_is_zero():
    picture = photos.pixels("astronaut")
    assert np.array_equal(crop_square(picture, (100, 50, 164, 114), 64), picture[50:114, 100:164])
    crop = crop_square(picture, (-32, -16, 32, 48), 64)
    assert not crop[:, :32].any() and not crop[:16].any()
    assert np.array_equal(crop[16:, 32:], picture[:48, :32])
    assert not crop_square(picture, (600, 600, 664, 664), 32).any()
