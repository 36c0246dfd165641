"""Retargeting: the reference's face shape with the donor's head pose and expression."""

import copy

import numpy as np
import photos
import pytest
import torch
from realisid_pack.nodes.landmarks import RetargetFace

from realisid_core.alignment import moved, similarity
from realisid_core.canonical_face import STABLE, canonical_face
from realisid_core.conditions.contours import pose_expression_image
from realisid_core.conditions.five_points import points_in_box
from realisid_core.geometry import FaceBox, FaceBoxes
from realisid_core.identity.encoder import IDEmbedding
from realisid_core.perception import crop_frame, head_pose
from realisid_core.perception.neutral import laid_over, solid
from realisid_core.perception.retarget import Basis, load_basis, neutral_shape, retarget, retarget_all
from realisid_core.persons import place
from realisid_core.training.expressions import faces_of_folders, fit_basis


def face_of(name: str) -> dict:
    return photos.landmarks(photos.photo(name))


def as_value(*frames: list[dict]) -> dict:
    return {"frames": list(frames), "image_size": (512, 512), "connection_sets": {}}


def test_alignment_undoes_turn_size_and_place():
    random = np.random.default_rng(0)
    points = random.normal(size=(20, 3))
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    there = 3.5 * points @ turn.T + (4, -2, 9)
    np.testing.assert_allclose(moved(there, similarity(there[:12], points[:12])), points, atol=1e-9)
    mirrored = similarity(points * (-1, 1, 1), points)[:, :3]
    assert np.linalg.det(mirrored) > 0


def test_a_photo_lies_over_the_canonical_face():
    """Half a centimetre: the head is 14 cm wide."""
    points = laid_over(face_of("astronaut")).points
    assert np.abs(points[:468] - canonical_face().vertices).mean() < 0.5
    assert points[4, 2] > points[[234, 454], 2].max() + 5  # the nose is nearer to the viewer than the ears
    placed = laid_over(face_of("astronaut"))
    np.testing.assert_allclose(placed.in_photo(placed.points), solid(face_of("astronaut")), atol=1e-3)


@pytest.mark.parametrize("name", ["astronaut", "grace_hopper", "world_mara", "world_omar"])
def test_a_face_keeps_its_own_points(name):
    own = face_of(name)
    same = retarget([own], own)
    assert np.abs(same["landmarks_xy"] - own["landmarks_xy"]).max() < 1e-3
    assert np.abs(same["landmarks_3d"] - own["landmarks_3d"]).max() < 1e-3
    assert torch.equal(pose_expression_image(same, 256, True), pose_expression_image(own, 256, True))


def test_the_shape_comes_from_the_reference_and_pose_and_expression_from_the_donor():
    reference, donor = face_of("astronaut"), face_of("grace_hopper")
    found, basis = retarget([reference], donor), load_basis()

    def shape(face):
        return basis.shapes @ neutral_shape(face, basis)

    wanted = basis.trust @ (shape(reference) - shape(donor))
    assert np.linalg.norm(shape(found) - shape(donor) - wanted) < 0.15 * np.linalg.norm(wanted)
    assert head_pose(found) == head_pose(donor) and found["blendshapes"] == donor["blendshapes"]
    assert found["bbox_xyxy"].tolist() == [*found["landmarks_xy"].min(0), *found["landmarks_xy"].max(0)]
    side = donor["bbox_xyxy"][2] - donor["bbox_xyxy"][0]
    changed = np.linalg.norm(found["landmarks_xy"] - donor["landmarks_xy"], axis=1)
    assert 0.005 * side < changed.mean() < 0.1 * side


def test_what_is_given_is_not_changed():
    reference, donor = face_of("astronaut"), face_of("grace_hopper")
    before = copy.deepcopy((reference, donor))
    retarget([reference], donor)
    for face, kept in zip((reference, donor), before, strict=True):
        assert np.array_equal(face["landmarks_xy"], kept["landmarks_xy"])
        assert np.array_equal(face["landmarks_3d"], kept["landmarks_3d"])


def test_the_answer_turns_and_grows_with_the_donors_photo():
    """The whole photo turned, enlarged and moved: so are the points, whatever the crop's own frame is."""
    reference, donor = face_of("astronaut"), face_of("grace_hopper")
    angle = np.radians(40)
    turn = 1.7 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    other = {**donor, "landmarks_xy": donor["landmarks_xy"] @ turn.T + (300, -20)}
    expected = retarget([reference], donor)["landmarks_xy"] @ turn.T + (300, -20)
    assert np.abs(retarget([reference], other)["landmarks_xy"] - expected).max() < 0.05


def test_several_photos_of_the_reference_are_averaged():
    donor, one, other = (face_of(name) for name in ("grace_hopper", "astronaut", "world_mara"))
    both = retarget([one, other], donor)["landmarks_xy"]
    middle = (retarget([one], donor)["landmarks_xy"] + retarget([other], donor)["landmarks_xy"]) / 2
    assert np.abs(both - middle).max() < 1e-2


def test_instantids_five_points_follow():
    reference, donor = face_of("world_omar"), face_of("grace_hopper")
    box = FaceBox(0.2, 0.2, 0.5, 0.5)
    theirs, new = (points_in_box(face, box, 512, 512) for face in (donor, retarget([reference], donor)))
    assert np.abs(theirs - new).max() > 1
    boxes = FaceBoxes((box,), 512, 512)
    embedding = IDEmbedding(torch.zeros(1, 4, 8), landmarks=reference)
    landmarks = RetargetFace.execute(embedding, as_value([donor]), 128)[0]
    assert np.allclose(points_in_box(place(embedding, boxes, 1, landmarks).landmarks, box, 512, 512), new)


def test_the_node_takes_embedding_faces_pictures_and_landmarks():
    reference, donor = face_of("astronaut"), face_of("grace_hopper")
    expected = retarget([reference], donor)["landmarks_xy"]
    embedding = IDEmbedding(torch.zeros(1, 4, 8), landmarks=reference)
    for value in (embedding, as_value([reference]), photos.photo("astronaut")):
        for source in (as_value([donor]), photos.photo("grace_hopper")):
            landmarks, drawing = RetargetFace.execute(value, source, 128).args
            assert np.abs(landmarks["frames"][0][0]["landmarks_xy"] - expected).max() < 0.1
            assert drawing.shape == (1, 128, 128, 3) and drawing.max() > 0.5
    several = RetargetFace.execute(embedding, as_value([donor, reference], [], [donor]), 64)
    assert [len(frame) for frame in several[0]["frames"]] == [2, 0, 1] and len(several[1]) == 3


def changed(face: dict, **values) -> dict:
    return {**face, **values}


@pytest.mark.parametrize(
    "reference, donor, said",
    [
        (None, {}, "The ID embedding in reference knows no landmarks"),
        ({"blendshapes": {}}, {}, "face in reference has no blendshapes"),
        ({}, {"blendshapes": None}, "face in donor has no blendshapes"),
        ({}, {"landmarks_3d": np.zeros((478, 2))}, "face in donor has no depth"),
        ({}, {"transformation_matrix": None}, "no transformation_matrix"),
        ({}, {"landmarks_xy": np.zeros((68, 2))}, "Face 1 of picture 1 of donor has landmarks_xy"),
    ],
)
def test_what_cannot_be_retargeted_is_refused_by_name(reference, donor, said):
    own, theirs = face_of("astronaut"), face_of("grace_hopper")
    landmarks = None if reference is None else changed(own, **reference)
    with pytest.raises(ValueError, match=said):
        RetargetFace.execute(
            IDEmbedding(torch.zeros(1, 4, 8), landmarks=landmarks), as_value([changed(theirs, **donor)]), 64
        )


def test_a_group_photo_is_no_reference_and_nobody_is_no_donor():
    own = face_of("astronaut")
    with pytest.raises(ValueError, match="2 faces in picture 1 of reference"):
        retarget_all(as_value([own, own]), as_value([own]))
    with pytest.raises(ValueError, match="no face in donor"):
        retarget_all(as_value([own]), as_value([]))
    with pytest.raises(ValueError, match="reference is NoneType"):
        retarget_all(None, as_value([own]))


def made_up_people(basis: Basis, people: int, faces: int) -> list[list[dict]]:
    """Faces that are of a basis exactly: a shape of twelve numbers, blendshapes and a turn."""
    random = np.random.default_rng(0)
    middle = laid_over(face_of("astronaut"))
    made = []
    for _ in range(people):
        shape = random.normal(size=len(basis.shapes)) @ basis.shapes
        made.append([])
        for _ in range(faces):
            scores = random.uniform(0, 1, len(basis.names)) * (random.random(len(basis.names)) < 0.3)
            yaw, pitch = random.uniform(-0.5, 0.5, 2)
            turn = (yaw, pitch, yaw**2, pitch**2, yaw * pitch, abs(yaw))
            points = middle.points + (shape + np.array((*scores, *turn)) @ basis.motions).reshape(-1, 3)
            made[-1].append(_seen(points, dict(zip(basis.names, scores, strict=True)), yaw, pitch))
    return made


def _seen(points: np.ndarray, blendshapes: dict, yaw: float, pitch: float) -> dict:
    cos, sin = np.cos, np.sin
    turn = np.array([[cos(yaw), 0, sin(yaw)], [0, 1, 0], [-sin(yaw), 0, cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, cos(pitch), sin(pitch)], [0, -sin(pitch), cos(pitch)]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ nod
    return {
        "landmarks_xy": 10 * points[:, :2] * (1, -1) + 200,
        "landmarks_3d": 5 * points * (1, -1, -1),
        "blendshapes": blendshapes,
        "transformation_matrix": matrix,
    }


def test_fitting_finds_the_basis_that_people_were_made_of():
    random = np.random.default_rng(1)
    names = tuple(f"shape{number:02d}" for number in range(5))
    free = np.zeros((478, 3), bool)
    free[60:120] = True  # of these all move but those that lie over the canonical face
    free[list(STABLE)] = False
    motions, directions = (random.normal(size=(n, 1434)) * free.ravel() for n in (11, 3))
    basis = Basis(names, 0.3 * motions, np.linalg.qr(directions.T)[0].T, np.eye(3))
    found = fit_basis(made_up_people(basis, 200, 4), directions=3)
    assert found.names == names
    np.testing.assert_allclose(found.motions[:5], basis.motions[:5], atol=0.03)
    assert np.linalg.svd(found.shapes @ basis.shapes.T)[1].min() > 0.98
    np.testing.assert_allclose(found.trust, np.eye(3), atol=0.02)  # one person's faces differ in nothing else
    with pytest.raises(ValueError, match="1 people have two or more faces"):
        fit_basis(made_up_people(basis, 1, 2))


def test_a_basis_survives_its_file(tmp_path):
    basis = load_basis()
    basis.save(tmp_path / "basis.npz")
    again = load_basis(tmp_path / "basis.npz")
    assert again.names == basis.names
    assert all(np.array_equal(getattr(again, name), getattr(basis, name)) for name in ("motions", "shapes", "trust"))
    np.testing.assert_allclose(basis.shapes @ basis.shapes.T, np.eye(len(basis.shapes)), atol=2e-3)


def test_photos_are_read_person_by_person(tmp_path):
    for person, name in (("ada", "astronaut"), ("grace", "grace_hopper")):
        (tmp_path / person).mkdir()
        (tmp_path / person / "one.jpg").write_bytes((photos.EXAMPLES / f"{name}.jpg").read_bytes())
    (tmp_path / "grace" / "broken.jpg").write_bytes(b"no picture")
    faces = faces_of_folders(tmp_path)
    assert [len(one) for one in faces] == [1, 1]
    assert crop_frame(faces[0][0]) == crop_frame(face_of("astronaut"))
    with pytest.raises(ValueError, match="no subfolders"):
        faces_of_folders(tmp_path / "ada")
