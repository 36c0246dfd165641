"""The second world's people: wider apart than the first's, in families that only geometry tells apart."""

from dataclasses import replace

import numpy as np
import pytest

from research.evaluation.calibration import calibrate
from research.world import Pose, portrait, render, restyled, sample_family, sample_identity, sample_person, sample_scene
from research.world.face import shape_face
from research.world.identity import BEARDED_STYLES, CATEGORIES, GEOMETRY, NEW_MEASURES, WIDTH
from research.world.scene import STUDIO


def test_the_first_world_is_what_it_was():
    who = sample_identity(5)
    assert all(getattr(who, name) == 0 for name in NEW_MEASURES)
    assert sample_scene(np.random.default_rng(1)).light == STUDIO == portrait(who).light
    assert (who.head_width, who.skin, who.hair_style, who.glasses) == (-0.48, 0.055, "long", "none")


def test_a_family_shares_everything_but_its_geometry():
    for seed in range(40):
        family = sample_family(seed, 4)
        alike = {replace(who, **dict.fromkeys(GEOMETRY, 0.0)) for who in family}
        assert len(alike) == 1
        for name in GEOMETRY:
            assert len({getattr(who, name) for who in family}) > 1
            assert all(abs(getattr(who, name)) <= WIDTH for who in family)
    assert sample_family(7, 2) == sample_family(7, 4)[:2]
    assert sample_person(7) == sample_family(7)[0]


def test_strangers_differ_in_colours_too():
    people = [sample_person(seed) for seed in range(60)]
    for name, values in CATEGORIES.items():
        assert {getattr(who, name) for who in people} == set(values)


def test_restyled_is_the_same_face_in_other_hair():
    rng = np.random.default_rng(0)
    for seed in range(30):
        who = sample_person(seed)
        looks = [restyled(who, rng) for _ in range(12)]
        assert len({(look.hair_style, look.hair_colour, look.glasses) for look in looks}) > 4
        for look in looks:
            same = {name: getattr(who, name) for name in ("hair_style", "hair_colour", "glasses")}
            assert replace(look, **same) == who
            assert who.beard == "none" or look.hair_style in BEARDED_STYLES


def spread(people):
    points = np.stack([shape_face(who, Pose()).skin for who in people])
    points -= points.mean(1, keepdims=True)
    return np.linalg.norm(points - points.mean(0), axis=2).mean()


def test_faces_are_further_apart_than_in_the_first_world():
    first = spread([sample_identity(seed) for seed in range(100)])
    assert spread([sample_person(seed) for seed in range(100)]) > 1.3 * first
    assert spread([who for seed in range(25) for who in sample_family(seed, 4)]) > 1.3 * first


def test_each_measure_shows_in_the_picture():
    who = replace(sample_person(3), **dict.fromkeys(GEOMETRY, 0.0), hair_style="bald", glasses="none")
    plain = render(portrait(who), 128).image.astype(int)
    for name in GEOMETRY:
        drawn = [render(portrait(replace(who, **{name: value})), 128).image.astype(int) for value in (-WIDTH, WIDTH)]
        assert min(np.abs(one - plain).max() for one in drawn) > 12, name


def test_the_light_comes_from_where_it_is_said_to():
    who = replace(sample_person(3), hair_style="bald", glasses="none", beard="none")
    faces = []
    for side in (-50, 50):
        drawn = render(replace(portrait(who), light=(side, 20, 1.0)), 128)
        x0, y0, x1, y1 = (round(value) for value in drawn.boxes[0])
        face = drawn.image[y0:y1, x0:x1].mean(2)
        half = face.shape[1] // 2
        faces.append(face[:, :half].mean() - face[:, half:].mean())
    assert faces[0] > 8 and faces[1] < -8


@pytest.mark.parametrize("side", [1 / 4, 1 / 7])
def test_detectors_find_the_second_worlds_faces(side):
    rng = np.random.default_rng(21)
    scenes = [sample_scene(rng, 1, (side, side), styles=("photo",), world=2) for _ in range(12)]
    result = calibrate(scenes, 384)
    assert result.detected == result.landmarked == 1
    assert np.mean(result.overlaps) > 0.8
    assert np.mean(result.errors) < 0.03
    assert result.correlation("yaw") > 0.95


def test_somebody_outside_of_the_picture_is_not_drawn():
    scene = portrait(sample_person(1), side=0.3)
    (person,) = scene.people
    alone = render(scene, 96)
    drawn = render(replace(scene, people=(person, replace(person, box=(3.0, 3.0, 0.3)))), 96)
    np.testing.assert_array_equal(drawn.image, alone.image)
    assert not drawn.masks[1].any()
    assert drawn.landmarks[1].min() > 96
    for x in np.linspace(1.0, 1.25, 40):  # at the edge, where triangles end between two pixels
        render(replace(scene, people=(person, replace(person, box=(float(x), 0.3, 0.3)))), 32)
