"""The face world draws what it says: boxes, landmarks, masks, identities; and strangers' detectors agree."""

import hashlib
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from research.evaluation.calibration import calibrate
from research.world import (
    VOCABULARY,
    Identity,
    Person,
    Pose,
    Scene,
    caption,
    identity_vector,
    portrait,
    render,
    sample_identity,
    sample_pose,
    sample_scene,
    vary,
)
from research.world.captions import split
from research.world.identity import CATEGORIES, HAIR_COLOURS
from research.world.texture import SHIRT_COLOURS

PACK = Path(__file__).resolve().parents[2]


def scenes(count, people=1, seed=0, **options):
    rng = np.random.default_rng(seed)
    return [sample_scene(rng, people, **options) for _ in range(count)]


def test_the_face_box_is_the_square_round_the_landmarks():
    for scene in scenes(12, people=(1, 3)):
        drawn = render(scene, 256)
        for person, points, box in zip(scene.people, drawn.landmarks, drawn.boxes, strict=True):
            low, high = points[:468].min(0), points[:468].max(0)
            side, middle = (high - low).max(), (low + high) / 2
            np.testing.assert_allclose([*(middle - side / 2), *(middle + side / 2)], box, atol=0.01)
            x, y, width = person.box
            np.testing.assert_allclose(np.array(box) / 256, (x, y, x + width, y + width), atol=1e-6)


def test_a_larger_picture_shows_the_same():
    (scene,) = scenes(1, seed=4)
    small, large = render(scene, 256), render(scene, 512)
    np.testing.assert_allclose(large.landmarks[0], 2 * small.landmarks[0], atol=0.01)
    halved = large.image.reshape(256, 2, 256, 2, 3).mean((1, 3))
    assert np.abs(halved - small.image).mean() < 4


def test_every_process_draws_the_same_picture():
    program = (
        "import hashlib, numpy as np; from research.world import *;"
        "s = sample_scene(np.random.default_rng(5), 2); print(hashlib.sha256(render(s).image.tobytes()).hexdigest())"
    )
    elsewhere = subprocess.run([sys.executable, "-c", program], cwd=PACK, capture_output=True, text=True, check=True)
    here = render(sample_scene(np.random.default_rng(5), 2)).image
    assert elsewhere.stdout.strip() == hashlib.sha256(here.tobytes()).hexdigest()


def test_the_world_needs_neither_mediapipe_nor_torch():
    program = (
        "import sys; from research import world; world.render(world.portrait(world.sample_identity(1)));"
        "assert not {'mediapipe', 'torch', 'comfy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=PACK, check=True)


def test_an_identity_has_many_attributes_and_its_vector_tells_them_all():
    assert len(fields(Identity)) >= 14
    people = [sample_identity(seed) for seed in range(200)]
    vectors = np.stack([identity_vector(who) for who in people])
    assert vectors.dtype == np.float32
    assert len(np.unique(vectors, axis=0)) == len(people)
    for name, values in CATEGORIES.items():
        assert {getattr(who, name) for who in people} == set(values)
        before = identity_vector(replace(people[0], **{name: values[0]}))
        assert (before != identity_vector(replace(people[0], **{name: values[1]}))).sum() == 2
    assert sample_identity(3) == sample_identity(3)


def test_poses_fill_the_promised_range():
    rng = np.random.default_rng(0)
    poses = [sample_pose(rng) for _ in range(2000)]
    for name, most in (("yaw", 40), ("pitch", 20), ("roll", 25)):
        values = [getattr(pose, name) for pose in poses]
        assert -most <= min(values) < -0.98 * most and 0.98 * most < max(values) <= most


def on_the_picture(direction, pose):
    """Where a step in the head's own axes goes on the picture: to the right, down."""
    x, y, _ = pose.rotation() @ np.array(direction, float)
    return x, -y


def test_signs_of_the_pose_are_the_viewers():
    towards, up = (0, 0, 1), (0, 1, 0)
    assert on_the_picture(towards, Pose(yaw=20))[0] > 0.3
    assert on_the_picture(towards, Pose(pitch=20))[1] < -0.3
    assert on_the_picture(up, Pose(roll=20))[0] > 0.3


def landmark_gap(pose, upper, lower):
    points = render(portrait(sample_identity(3), pose), 256).landmarks[0]
    return np.linalg.norm(points[upper] - points[lower])


def test_expressions_move_the_right_landmarks():
    still = Pose()
    assert landmark_gap(Pose(blink_right=1), 159, 145) < 0.2 * landmark_gap(still, 159, 145)
    assert landmark_gap(Pose(blink_right=1), 386, 374) == landmark_gap(still, 386, 374)
    assert landmark_gap(Pose(jaw=1), 13, 14) > 10 * landmark_gap(still, 13, 14)
    assert landmark_gap(Pose(smile=1), 61, 291) > 1.15 * landmark_gap(still, 61, 291)


def test_masks_hold_the_face_and_not_the_body():
    for scene in scenes(6, people=2, seed=2):
        drawn = render(scene, 256)
        assert not (drawn.masks[0] & drawn.masks[1]).any()
        front = int(scene.people[1].box[2] > scene.people[0].box[2])
        x, y = drawn.landmarks[front][[4, 50, 280, 10]].T.round().astype(int)
        assert drawn.masks[front][y.clip(0, 255), x.clip(0, 255)].all()
        x0, _, x1, y1 = drawn.boxes[front]
        chest = round(min(255, y1 + 0.5 * (x1 - x0)))
        assert not drawn.masks[front][chest:, round((x0 + x1) / 2)].any() or "long" in str(scene.people[front])


@pytest.mark.parametrize("colour", SHIRT_COLOURS)
def test_the_named_shirt_colour_is_the_one_that_shows(colour):
    person = Person(sample_identity(8), Pose(), (0.35, 0.2, 0.3), (colour, "sweater"))
    image = render(Scene((person,), ("plain", "gray"))).image
    chest = np.median(image[190:230, 110:150].reshape(-1, 3), 0)
    distance = {name: np.abs(chest - value).sum() for name, value in SHIRT_COLOURS.items()}
    assert min(distance, key=distance.get) == colour


@pytest.mark.parametrize("colour", HAIR_COLOURS)
def test_hair_tells_people_apart_even_when_small(colour):
    who = replace(sample_identity(8), hair_style="bob", hair_colour=colour)
    drawn = render(portrait(who, side=1 / 7))
    crown = drawn.image[drawn.masks[0].astype(bool)][:60].mean(0)
    distance = {name: np.abs(crown - value).sum() for name, value in HAIR_COLOURS.items()}
    assert min(distance, key=distance.get) == colour


def test_captions_say_what_is_worn_and_where_in_the_vocabulary():
    worded = [caption(scene) for scene in scenes(300, people=(1, 4))]
    assert {word for text in worded for word in split(text)} == set(VOCABULARY)
    (scene,) = scenes(1, people=2)
    first, second = (person.shirt for person in scene.people)
    assert caption(scene).startswith(f"two persons wearing a {' '.join(first)} and a {' '.join(second)}, ")


def test_another_picture_of_a_person_keeps_who_and_where():
    person = scenes(1)[0].people[0]
    other = vary(person, np.random.default_rng(1))
    assert (other.identity, other.box) == (person.identity, person.box)
    assert other.pose != person.pose


def test_overlapping_people_overlap():
    for scene in scenes(10, people=2, overlap=True):
        (x0, y0, a), (x1, y1, b) = (person.box for person in scene.people)
        assert min(x0 + a, x1 + b) > max(x0, x1) and min(y0 + a, y1 + b) > max(y0, y1)


def test_detectors_find_the_faces_where_they_are_and_read_the_pose():
    """40 pictures over the whole range of poses and sizes, all styles; `evaluation.calibration` prints more."""
    result = calibrate(scenes(40, seed=7))
    assert result.detected >= 0.95
    assert np.mean(result.overlaps) > 0.8
    assert result.landmarked >= 0.95
    assert np.mean(result.errors) < 0.03
    assert all(result.correlation(name) > 0.9 for name in ("yaw", "pitch", "roll"))
    assert all(result.correlation(name) > 0.6 for name in ("jaw", "smile"))
