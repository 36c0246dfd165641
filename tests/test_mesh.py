"""The face's mesh as a picture of its normals."""

import numpy as np
import photos
import pytest
import torch
from realisid_pack.nodes.landmarks import FaceLandmarks

from realisid_core.canonical_face import canonical_face
from realisid_core.conditions.contours import pose_expression_image
from realisid_core.conditions.mesh import mesh_image, normal_map


def ball(rings: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Vertices on the unit sphere, x right, y down, z to the viewer, and triangles counter-clockwise from outside."""
    up, round_ = np.meshgrid(np.linspace(0, np.pi, rings + 1), np.linspace(0, 2 * np.pi, 2 * rings + 1), indexing="ij")
    points = np.stack((np.sin(up) * np.sin(round_), -np.cos(up), np.sin(up) * np.cos(round_)), -1)
    number = np.arange(points[..., 0].size).reshape(points.shape[:2])
    a, b, c, d = (number[i : i + rings, j : j + 2 * rings].ravel() for i, j in ((0, 0), (1, 0), (1, 1), (0, 1)))
    return points.reshape(-1, 3), np.concatenate((np.stack((a, b, c), 1), np.stack((a, c, d), 1)))


def test_a_balls_normals_are_its_points():
    points, triangles = ball()
    size = 128
    picture = normal_map(points * 0.4 + (0.5, 0.5, 0), size, triangles) / 255 * 2 - 1
    x, y = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2)
    true = np.stack(((x - 0.5) / 0.4, -(y - 0.5) / 0.4, np.zeros_like(x)), -1)
    inside = np.square(true).sum(-1) < 0.8
    true[..., 2] = np.sqrt(np.maximum(0, 1 - np.square(true).sum(-1)))
    assert np.abs(picture - true)[inside].mean() < 0.01
    assert (picture[np.square(true[..., :2]).sum(-1) > 1.05] == -1).all()  # black outside


def turned(degrees: float) -> np.ndarray:
    """The canonical face, turned to the picture's right, in fractions of a picture."""
    a = np.radians(degrees)
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    return canonical_face().vertices @ turn.T * (1, -1, 1) / 22 + (0.5, 0.5, 0)


def test_a_mirrored_face_is_the_mirrored_picture_with_its_normals_turned():
    points, size = turned(20), 160
    mirrored = normal_map(points * (-1, 1, 1) + (1, 0, 0), size, canonical_face().triangles[:, ::-1])
    there = normal_map(points, size)[:, ::-1].astype(int)
    drawn = there.sum(-1) > 0
    there[drawn] = np.stack((255 - there[drawn][:, 0], there[drawn][:, 1], there[drawn][:, 2]), -1)
    assert np.abs(mirrored.astype(int) - there).max() <= 2


def test_the_nose_hides_the_far_cheek():
    """At 40 degrees the bridge of the nose stands before a part of the cheek that a painter who knew no depth would
    draw over it."""
    points, size = turned(40), 200
    picture = normal_map(points, size)
    nose, far_cheek = points[[4, 45, 275]], points[[330, 280, 425, 50, 205, 101]]
    x, y = (nose[0, :2] * size).astype(int)
    assert picture[y, x, 2] > 128  # the tip itself is seen
    triangles = canonical_face().triangles
    nearest_first = normal_map(points, size, triangles[np.argsort(-points[triangles][..., 2].mean(1))])
    assert np.array_equal(picture, nearest_first)  # the order in which triangles come decides nothing
    assert far_cheek[:, 2].max() < nose[0, 2]


def test_a_face_is_drawn_with_its_contours_on_top():
    face = photos.landmarks(photos.photo("astronaut"))
    mesh, lines = mesh_image(face, 256), pose_expression_image(face, 256, False)
    assert mesh.shape == (256, 256, 3) and mesh.min() >= 0 and mesh.max() <= 1
    strong = lines.amax(-1) > 0.95
    assert torch.nn.functional.cosine_similarity(mesh[strong], lines[strong], dim=-1).mean() > 0.95
    assert (mesh.amax(-1) > 0).float().mean() > 0.5  # the face fills its square


def test_the_node_draws_the_mesh_where_asked():
    image = photos.photo("astronaut")
    faces = image if isinstance(image, torch.Tensor) else torch.from_numpy(image)[None].float() / 255
    _, drawing, *_ = FaceLandmarks.execute(faces, 256, False, drawing="mesh").result
    _, plain, *_ = FaceLandmarks.execute(faces, 256, False).result
    assert drawing.shape == plain.shape and not torch.equal(drawing, plain)
    with pytest.raises(ValueError, match="drawing is 'oil'; expected one of contours, mesh"):
        FaceLandmarks.execute(faces, 256, False, drawing="oil")
