"""InstantID's parts, each against a reference written from its formula."""

import cv2
import numpy as np
import pytest
import torch
from onnx_files import recogniser_file

from realisid_core.alignment import similarity
from realisid_core.conditions.five_points import COLOURS, five_points_image, points_in_box
from realisid_core.geometry import FaceBox
from realisid_core.identity import arcface
from realisid_core.identity.arcface import TEMPLATE, Recogniser, aligned, face_vectors
from realisid_core.identity.known_files import RECOGNISERS
from realisid_core.identity.resampler import Resampler, shape_of
from realisid_core.perception.faces import Face, Faces

POINTS = np.array([[40.0, 50.0], [80.0, 48.0], [61.0, 70.0], [45.0, 92.0], [76.0, 91.0]])


def randomised(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        parameter.data = values * 0.1 + (1 if "norm" in name and name.endswith("weight") else 0)
    return module.eval()


def attention_by_hand(q, k, v, heads):
    out = torch.zeros_like(q)
    for head in range(heads):
        part = slice(head * 64, head * 64 + 64)
        weights = torch.softmax(q[:, part].double() @ k[:, part].double().T / 8, dim=-1)
        out[:, part] = (weights @ v[:, part].double()).float()
    return out


def resampled_by_hand(state: dict, vector: torch.Tensor) -> torch.Tensor:
    """l += Attn(LN₂ l, [LN₁ x; LN₂ l]); l += FF l; the projection, and its norm."""

    def norm(x, key):
        return torch.nn.functional.layer_norm(x, x.shape[-1:], state[f"{key}.weight"], state[f"{key}.bias"])

    x = vector[None] @ state["proj_in.weight"].T + state["proj_in.bias"]
    latents = state["latents"][0]
    for layer in range(2):
        a, f = f"layers.{layer}.0", f"layers.{layer}.1"
        own = norm(latents, f"{a}.norm2")
        k, v = (torch.cat([norm(x, f"{a}.norm1"), own]) @ state[f"{a}.to_kv.weight"].T).chunk(2, dim=-1)
        read = attention_by_hand(own @ state[f"{a}.to_q.weight"].T, k, v, 2)
        latents = latents + read @ state[f"{a}.to_out.weight"].T
        hidden = torch.nn.functional.gelu(norm(latents, f"{f}.0") @ state[f"{f}.1.weight"].T)
        latents = latents + hidden @ state[f"{f}.3.weight"].T
    return norm(latents @ state["proj_out.weight"].T + state["proj_out.bias"], "norm_out")


def test_the_resampler_is_its_formula():
    shape = {"tokens": 16, "dim": 96, "inner": 128, "embedding": 512, "hidden": 384, "depth": 2, "context_dim": 192}
    network = randomised(Resampler(**shape))
    state = network.state_dict()
    assert shape_of(state) == shape
    vectors = torch.randn(3, 512, generator=torch.Generator().manual_seed(5)) * 20
    with torch.no_grad():
        tokens = network(vectors[:, None])
    assert tokens.shape == (3, 16, 192)
    for vector, found in zip(vectors, tokens, strict=True):
        assert torch.allclose(found, resampled_by_hand(state, vector), atol=1e-4)


def test_the_public_file_has_the_resamplers_keys():
    """InstantID's image_proj: 82.0 million numbers in 4 layers of 20 heads."""
    shape = {
        "tokens": 16,
        "dim": 1280,
        "inner": 1280,
        "embedding": 512,
        "hidden": 5120,
        "depth": 4,
        "context_dim": 2048,
    }
    state = Resampler(**shape, device="meta").state_dict()
    assert round(sum(value.numel() for value in state.values()) / 1e6, 1) == 82.0
    assert {key for key in state if not key.startswith("layers.")} == {
        "latents", "proj_in.weight", "proj_in.bias", "proj_out.weight", "proj_out.bias", "norm_out.weight",
        "norm_out.bias",
    }  # fmt: skip
    assert {key.removeprefix("layers.3.") for key in state if key.startswith("layers.3.")} == {
        "0.norm1.weight", "0.norm1.bias", "0.norm2.weight", "0.norm2.bias", "0.to_q.weight", "0.to_kv.weight",
        "0.to_out.weight", "1.0.weight", "1.0.bias", "1.1.weight", "1.3.weight",
    }  # fmt: skip
    assert state["layers.3.0.to_kv.weight"].shape == (2560, 1280)


def test_the_alignment_finds_the_transform_that_was_applied():
    angle, scale, shift = 0.4, 1.7, np.array([12.0, -30.0])
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found = similarity(POINTS, POINTS @ rotation.T + shift)
    assert np.allclose(found, np.column_stack([rotation, shift]), atol=1e-9)


def test_the_alignment_is_the_nearest_and_never_a_mirror_image():
    mirrored = TEMPLATE * (-1, 1)
    matrix = similarity(mirrored, TEMPLATE)
    assert np.linalg.det(matrix[:, :2]) > 0

    def error(matrix):
        return np.sum((POINTS @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE) ** 2)

    best = similarity(POINTS, TEMPLATE)
    generator = np.random.default_rng(0)
    for _ in range(50):
        angle, scale = generator.normal(0, 0.02), 1 + generator.normal(0, 0.02)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        other = np.column_stack([turn @ best[:, :2], best[:, 2] + generator.normal(0, 0.5, 2)])
        assert error(other) >= error(best)


def test_a_face_is_put_upright_with_its_points_on_the_template():
    picture = np.zeros((300, 300, 3), np.uint8)
    points = POINTS @ np.array([[1.5, 0.6], [-0.6, 1.5]]) + (90, 60)
    for x, y in points:
        cv2.circle(picture, (round(x), round(y)), 4, (255, 255, 255), -1)
    square = aligned(picture, points)
    assert square.shape == (112, 112, 3)
    matrix = similarity(points, TEMPLATE)
    for x, y in points @ matrix[:, :2].T + matrix[:, 2]:
        assert square[round(y), round(x)].min() > 200
    assert (aligned(picture, points + 1000) == 0).all()  # beyond the frame it is black


def test_the_recogniser_gets_rgb_in_minus_one_to_one_and_its_vector_comes_back_raw(tmp_path):
    weights = np.random.default_rng(0).normal(size=(512, 3)).astype(np.float32)
    recogniser = Recogniser(recogniser_file(tmp_path / "tiny.onnx", weights))
    face = np.random.default_rng(1).integers(0, 256, (112, 112, 3), np.uint8)
    means = ((face.astype(np.float64) - 127.5) / 127.5).mean((0, 1))
    assert np.allclose(recogniser.vector(face), weights @ means, atol=1e-4)


def faces_of(*points) -> Faces:
    """A photo with one face for each."""
    image = torch.rand(1, 200, 200, 3, generator=torch.Generator().manual_seed(0)).repeat(len(points), 1, 1, 1)
    box = (30.0, 30.0, 110.0, 110.0)
    return Faces(image, [[Face(box, box, points=one)] for one in points])


def test_every_face_has_a_vector_and_faces_without_points_are_refused(tmp_path):
    weights = np.random.default_rng(0).normal(size=(512, 3)).astype(np.float32)
    recogniser = Recogniser(recogniser_file(tmp_path / "tiny.onnx", weights))
    vectors, squares = face_vectors(recogniser, faces_of(POINTS, POINTS + 20))
    assert vectors.shape == (2, 512) and squares.shape == (2, 112, 112, 3)
    with pytest.raises(ValueError, match=r"without eyes, nose and mouth.*yunet"):
        face_vectors(recogniser, faces_of(POINTS, None))


def test_recognisers_that_cannot_serve_are_refused_by_name(tmp_path, monkeypatch, caplog):
    weights = np.ones((512, 3), np.float32)
    path = recogniser_file(tmp_path / "glintr100.onnx", weights)
    Recogniser(path)
    assert "not a recogniser that RealisID knows" in caplog.text

    aura_face = next(digest for digest, known in RECOGNISERS.items() if known.name.startswith("AuraFace"))
    monkeypatch.setattr(arcface, "sha256", lambda path: aura_face)
    with pytest.raises(ValueError, match=r"glintr100.onnx is AuraFace's.*another space.*antelopev2"):
        Recogniser(path)
    monkeypatch.undo()

    with pytest.raises(ValueError, match=r"gives .* for one face; expected a vector of 512"):
        Recogniser(recogniser_file(tmp_path / "detector.onnx", weights[:10]))
    with pytest.raises(ValueError, match=r"keeps its weights in another file"):
        Recogniser(recogniser_file(tmp_path / "external.onnx", weights, external=True))
    (tmp_path / "broken.onnx").write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"broken.onnx cannot be run by OpenCV"):
        Recogniser(tmp_path / "broken.onnx")


def test_five_points_are_drawn_where_they_are_without_anti_aliasing():
    points = np.array([[60.4, 50.0], [140.0, 50.0], [100.0, 90.0], [70.0, 130.0], [130.0, 130.0]])
    image = (five_points_image([points], 200, 220).numpy() * 255).round().astype(int)
    assert image.shape == (200, 220, 3)
    for (x, y), colour in zip(points.astype(int), COLOURS, strict=True):
        assert image[y, x].tolist() == list(colour)
        assert image[y, x + 10].tolist() == list(colour)  # the disc's radius
        assert image[y - 10, x].tolist() == list(colour)
    assert image[70, 80].tolist() == [153, 0, 0]  # the limb from the left eye to the nose, at 0.6
    assert image[5, 5].tolist() == [0, 0, 0]
    allowed = {(0, 0, 0), *COLOURS, *(tuple(int(value * 0.6) for value in colour) for colour in COLOURS)}
    assert {tuple(pixel) for pixel in image.reshape(-1, 3).tolist()} <= allowed


def test_points_far_outside_do_not_matter_to_the_picture():
    image = five_points_image([POINTS + 1e9], 64, 64)
    assert image.max() == 0


def test_the_donors_points_are_laid_on_the_face_box():
    landmarks = np.random.default_rng(0).uniform(100, 200, (478, 2))
    landmarks[:2] = (100, 100), (200, 200)
    face = {"landmarks_xy": landmarks, "bbox_xyxy": [*landmarks.min(0), *landmarks.max(0)]}
    box = FaceBox(0.25, 0.5, 0.2, 0.4)
    found = points_in_box(face, box, 800, 400)
    from realisid_core.perception.landmarks import crop_frame

    x0, y0, x1, _ = crop_frame(face)
    chosen = landmarks[[468, 473, 4, 61, 291]]
    assert np.allclose(found, (chosen - (x0, y0)) / (x1 - x0) * 160 + (200, 200))
