"""Metrics against values that somebody else worked out: OpenCV, facenet-pytorch, numpy, torchmetrics, a pencil."""

import logging
from functools import partial

import cv2
import numpy as np
import photos
import pytest
import torch
from onnx_files import recogniser_file

from realisid_core.identity.arcface import TEMPLATE
from realisid_core.metrics import judges, likeness, place, pose
from realisid_core.metrics.drawn_people import CROP, MARGIN, WEIGHTS, DrawnPeople, load_recogniser
from realisid_core.metrics.facenet import FILE, FaceNet
from realisid_core.metrics.pictures import HEAD, Aesthetic, Clip, clip_i, clip_t, fid
from realisid_core.metrics.sface import SFace
from realisid_core.perception import Face, Faces, detect_faces, faces_from_boxes
from realisid_core.perception.model_files import SFACE

X, Y, Z = torch.eye(3)


def test_multisim_by_hand():
    """InstantFamily, Eq. 11: two people drawn perfectly and unlike: 2; both drawn as the first: (1 + 0) / 2 + 1 − 1."""
    assert likeness.multi_sim(torch.stack((X, Y)), torch.stack((X, Y))) == pytest.approx(2)
    assert likeness.multi_sim(torch.stack((X, Y)), torch.stack((X, X))) == pytest.approx(0.5)


def test_multisim_of_three_by_hand():
    """Own similarities 1, 0.6, 1; pairs of drawn faces 0, 0.8, 0: 2.6 / 3 + 1 − 0.8 / 3."""
    drawn = torch.stack((X, 0.6 * Y + 0.8 * Z, Z))
    assert likeness.multi_sim(torch.stack((X, Y, Z)), drawn) == pytest.approx(2.6 / 3 + 1 - 0.8 / 3)
    assert likeness.excess_mixing(torch.stack((X, Y, Z)), drawn) == pytest.approx(0.8 / 3)


def test_lookalikes_that_are_drawn_alike_do_not_count_as_mixed():
    twins = torch.stack((X, 0.8 * X + 0.6 * Y))
    assert likeness.excess_mixing(twins, twins) == pytest.approx(0)
    assert likeness.multi_sim(twins, twins) == pytest.approx(1.2)


def test_multisim_does_not_depend_on_the_order_and_needs_two():
    generator = torch.Generator().manual_seed(0)
    own, drawn = (torch.nn.functional.normalize(torch.randn(5, 8, generator=generator), dim=1) for _ in range(2))
    order = torch.tensor([3, 0, 4, 2, 1])
    assert likeness.multi_sim(own, drawn) == pytest.approx(likeness.multi_sim(own[order], drawn[order]), abs=1e-6)
    with pytest.raises(ValueError, match="at least two"):
        likeness.multi_sim(own[:1], drawn[:1])


def test_whom_a_face_is_closest_to_and_the_mean_of_several_photos():
    assert likeness.closest_to_own(torch.stack((X, Y)), torch.stack((X, X))).tolist() == [True, False]
    unseen = torch.full((3,), float("nan"))
    assert torch.allclose(likeness.averaged(torch.stack((X, Y, unseen))), (X + Y) / 2**0.5)
    assert likeness.averaged(unseen[None]).isnan().all()


def test_overlap_by_hand():
    assert place.overlap((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert place.overlap((0, 0, 1, 1), (1, 0, 2, 1)) == 0


def test_each_detection_is_one_boxs_own():
    """Both boxes overlap the one face in the middle; only the nearer has it, and far faces are nobody's."""
    boxes = [(0, 0, 10, 10), (3, 0, 13, 10)]
    assert place.own_detections(boxes, [(2.5, 0, 12.5, 10), (50, 50, 60, 60)]) == [None, 0]
    assert place.overlaps(boxes, [(3, 0, 13, 10)]) == [0, 1]
    assert place.overlaps(boxes, []) == [0, 0]


def turned(yaw: float, **shapes: float) -> dict:
    """A face of FACE_LANDMARKS that looks `yaw` degrees to the picture's right."""
    matrix, angle = np.eye(4), np.radians(yaw)
    matrix[0, 0] = matrix[2, 2] = np.cos(angle)
    matrix[0, 2], matrix[2, 0] = np.sin(angle), -np.sin(angle)
    names = [name for group in pose.BLENDSHAPES.values() for name in group]
    return {"transformation_matrix": matrix, "blendshapes": dict.fromkeys(names, 0.0) | shapes}


def test_pose_and_expression_by_hand():
    errors = pose.pose_errors(turned(10, jawOpen=0.5), turned(-15, mouthSmileLeft=0.4))
    assert errors["yaw"] == pytest.approx(25)
    assert errors["pitch"] == pytest.approx(0, abs=1e-9)
    assert (errors["jaw"], errors["smile"]) == (0.5, pytest.approx(0.2))
    assert pose.expression_distance(turned(0, jawOpen=0.5), turned(40)) == pytest.approx(0.1)
    assert all(np.isnan(value) for value in pose.pose_errors(None, turned(0)).values())


@pytest.fixture
def two_people() -> Faces:
    return detect_faces(photos.side_by_side(), order="left to right")


def test_sface_sees_what_opencvs_own_recogniser_sees(two_people, tmp_path):
    """By OpenCV's own pipeline, YuNet's rows and all, over the same network."""
    weights = np.random.default_rng(0).normal(size=(128, 3)).astype(np.float32)
    path = recogniser_file(tmp_path / "sface.onnx", weights)
    vectors = SFace(path).vectors(two_people)
    reference = cv2.FaceRecognizerSF.create(str(path), "")
    pixels = np.ascontiguousarray(two_people.pixels(0)[..., ::-1])
    for (_, face), vector in zip(two_people, vectors, strict=True):
        x0, y0, x1, y1 = face.found
        row = np.array([[x0, y0, x1 - x0, y1 - y0, *face.points.reshape(-1), face.score]], np.float32)
        expected = reference.feature(reference.alignCrop(pixels, row))
        assert reference.match(expected, vector[None].numpy()) == pytest.approx(1, abs=1e-6)
        assert vector.norm() == pytest.approx(1)


def test_the_network_of_sface_gets_rgb_of_the_upright_face(tmp_path):
    """A network of channel means, over a picture whose three channels are known, by numpy."""
    weights = np.random.default_rng(0).normal(size=(128, 3)).astype(np.float32)
    pixels = np.full((200, 200, 3), (200, 100, 50), np.uint8)
    vector = SFace(recogniser_file(tmp_path / "s.onnx", weights)).vector(pixels, TEMPLATE + 40)
    assert np.allclose(vector, weights @ (200, 100, 50), atol=0.05)


def test_a_file_that_is_no_sface_is_refused(tmp_path):
    (tmp_path / "sface.onnx").write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"sface.onnx cannot be read by OpenCV"):
        SFace(tmp_path / "sface.onnx")


def test_arcface_of_any_space_judges_without_a_word(two_people, tmp_path, caplog):
    weights = np.random.default_rng(0).normal(size=(512, 3)).astype(np.float32)
    judge = judges.ArcFace(recogniser_file(tmp_path / "other.onnx", weights))
    with caplog.at_level(logging.WARNING):
        vectors = judge.vectors(two_people)
    assert vectors.shape == (2, 512) and caplog.text == "" and "other.onnx" in judge.name


def test_a_box_without_points_is_turned_upright_by_landmarks_and_without_a_face_is_nan(tmp_path):
    weights = np.random.default_rng(0).normal(size=(128, 3)).astype(np.float32)
    judge = SFace(recogniser_file(tmp_path / "s.onnx", weights))
    box = {"x": 175, "y": 62, "width": 105, "height": 105}
    empty = {"x": 400, "y": 20, "width": 60, "height": 60}
    found = judge.vectors(faces_from_boxes(photos.photo(), [[box, empty]]))
    detected = judge.vectors(detect_faces(photos.photo(), maximum=1))
    assert float(found[0] @ detected[0]) > 0.99
    assert found[1].isnan().all()


def test_facenet_sees_what_facenet_pytorchs_own_pipeline_sees(tmp_path):
    """MTCNN and InceptionResnetV1 as that package joins them, with random weights."""
    facenet_pytorch = pytest.importorskip("facenet_pytorch")
    from PIL import Image

    torch.manual_seed(0)
    network = facenet_pytorch.InceptionResnetV1(num_classes=3, classify=True).eval()
    torch.save(network.state_dict(), tmp_path / FILE)
    network.classify = False
    photo = Image.fromarray(photos.pixels("astronaut")).resize((800, 800))
    with torch.inference_mode():
        expected = network(facenet_pytorch.MTCNN(margin=0)(photo)[None])
    faces = detect_faces(photos.as_image(np.asarray(photo)), "mtcnn", maximum=1)
    assert torch.allclose(FaceNet(tmp_path / FILE).vectors(faces), expected, atol=1e-5)
    off = Faces(faces.image, [[Face((900.0, 0.0, 990.0, 90.0), (900.0, 0.0, 990.0, 90.0))]])
    assert FaceNet(tmp_path / FILE).vectors(off).isnan().all()


def test_what_a_judge_lacks_is_said(tmp_path, monkeypatch):
    import folder_paths

    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path))
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", {})
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ValueError, match=rf"{FILE} is not in models/facenet.*another judge"):
        judges.load_judge("facenet")
    with pytest.raises(ValueError, match=r"none of glintr100.onnx.*models/insightface"):
        judges.load_judge("arcface")
    with pytest.raises(ValueError, match=r"judge is 'somebody'; expected one of auto, sface"):
        judges.load_judge("somebody")
    assert judges.load_judge().name == "the miniature's judge", "nothing is fetched unless asked for"
    (tmp_path / "sface").mkdir()
    (tmp_path / "sface" / SFACE.name).write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"refused: it has 10 bytes or other contents; expected 38,696,353"):
        judges.load_judge()
    broken = tmp_path / FILE
    torch.save({"a": torch.zeros(1)}, broken)
    with pytest.raises(ValueError, match="is not facenet-pytorch's InceptionResnetV1"):
        FaceNet(broken)


def test_the_miniatures_judge_is_the_shipped_network_on_the_box_with_its_margin():
    """The crop by Pillow's own resampling, of a box that needs no rounding."""
    from PIL import Image

    faces = faces_from_boxes(photos.photo(), [[{"x": 180, "y": 70, "width": 100, "height": 100}]])
    grown = 100 * MARGIN / 2
    frame = (180 - grown, 70 - grown, 280 + grown, 170 + grown)
    crop = Image.fromarray(photos.pixels("astronaut")).resize((CROP, CROP), Image.Resampling.BICUBIC, box=frame)
    with torch.inference_mode():
        expected = load_recogniser()(torch.tensor(np.asarray(crop)).permute(2, 0, 1)[None].float() / 255)
    assert float(DrawnPeople().vectors(faces)[0] @ expected[0]) > 0.999
    assert WEIGHTS.stat().st_size < 2_000_000


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    """A small CLIP with random weights, in Hugging Face's layout."""
    import json

    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("clip")
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    words = ["<|startoftext|>", *letters, *(f"{c}</w>" for c in letters), "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": 0, "eos_token_id": len(words) - 1, "pad_token_id": len(words) - 1}
    config = transformers.CLIPConfig(
        text_config=small | {"vocab_size": len(words)} | ends,
        vision_config=small | {"image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    transformers.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    transformers.CLIPImageProcessor(**size).save_pretrained(folder)
    return folder


def model_and_processor(folder):
    """As torchmetrics wants them; of transformers 5 it does not yet know what features come in."""
    import transformers

    model = transformers.CLIPModel.from_pretrained(folder).eval()
    for name in ("get_image_features", "get_text_features"):
        features = getattr(model, name)
        setattr(model, name, lambda *a, features=features: getattr(out := features(*a), "pooler_output", out))
    return model, transformers.CLIPProcessor.from_pretrained(folder)


def test_clip_t_and_clip_i_are_torchmetrics_clip_score(clip_folder):
    functional = pytest.importorskip("torchmetrics.functional.multimodal", reason="SKIPPED: torchmetrics is not here.")
    pictures, prompts = [photos.pixels("astronaut"), photos.pixels("grace_hopper")], ["a man", "a woman in red"]
    clip, given = Clip(clip_folder), partial(model_and_processor, clip_folder)
    found = clip_t(clip, pictures, prompts)
    for picture, prompt, value in zip(pictures, prompts, found, strict=True):
        tensor = torch.from_numpy(picture).permute(2, 0, 1)
        expected = functional.clip_score(tensor, prompt, model_name_or_path=given).item()
        assert max(value, 0) == pytest.approx(expected / 100, abs=1e-4)
    tensors = [torch.from_numpy(picture).permute(2, 0, 1) for picture in pictures]
    expected = functional.clip_score(tensors[0], tensors[1], model_name_or_path=given).item()
    assert max(clip_i(clip, pictures[:1], pictures[1:])[0], 0) == pytest.approx(expected / 100, abs=1e-4)


def test_clip_features_are_the_cosines_of_the_models_own(clip_folder):
    import transformers

    model = transformers.CLIPModel.from_pretrained(clip_folder).eval()
    processor = transformers.CLIPProcessor.from_pretrained(clip_folder)
    picture = photos.pixels("astronaut")
    with torch.inference_mode():
        logits = model(**processor(text=["a man"], images=[picture], return_tensors="pt")).logits_per_image
    expected = logits.item() / model.logit_scale.exp().item()
    assert clip_t(Clip(clip_folder), [picture], ["a man"])[0] == pytest.approx(expected, abs=1e-5)


def test_a_folder_without_clip_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"holds no CLIP in Hugging Face's layout"):
        Clip(tmp_path)


def test_the_aesthetic_head_by_numpy(tmp_path):
    """Five matrices one after the other, as the published file numbers them."""
    generator = torch.Generator().manual_seed(0)
    weights, value = {}, np.random.default_rng(0).normal(size=768)
    value = value / np.linalg.norm(value)
    features = torch.tensor(value)[None].float()
    for number, wide, narrow in zip((0, 2, 4, 6, 7), HEAD, HEAD[1:], strict=False):
        weights[f"layers.{number}.weight"] = torch.randn(narrow, wide, generator=generator) / wide**0.5
        weights[f"layers.{number}.bias"] = torch.randn(narrow, generator=generator)
        value = weights[f"layers.{number}.weight"].numpy() @ value + weights[f"layers.{number}.bias"].numpy()
    torch.save(weights, tmp_path / "head.pth")
    head = Aesthetic(tmp_path / "head.pth")
    assert head.scores(features)[0] == pytest.approx(value[0], abs=1e-5)
    with pytest.raises(ValueError, match="reads 768 features and the CLIP gives 16"):
        head.scores(torch.zeros(1, 16))
    torch.save({"layers.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other.pth is not the aesthetic head"):
        Aesthetic(tmp_path / "other.pth")


class Means(torch.nn.Module):
    """Three features: the channels' means."""

    num_features = 3

    def forward(self, pictures):
        return pictures.float().mean((2, 3))


def test_fid_is_frechets_distance_by_scipy():
    pytest.importorskip("torchmetrics", reason="SKIPPED: torchmetrics is not installed.")
    from scipy.linalg import sqrtm

    generator = np.random.default_rng(0)
    real, drawn = (generator.integers(0, high, (40, 8, 8, 3), np.uint8) for high in (255, 200))
    a, b = (pictures.reshape(40, 64, 3).mean(1) for pictures in (real, drawn))
    covariances = np.cov(a.T), np.cov(b.T)
    root = np.real(sqrtm(covariances[0] @ covariances[1]))
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert fid(real, drawn, Means()) == pytest.approx(expected, rel=1e-3)
    with pytest.raises(ValueError, match="FID of 1 drawn pictures"):
        fid(real, drawn[:1], Means())


def test_what_fid_lacks_is_said(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torchmetrics.image.fid", None)
    with pytest.raises(ValueError, match="FID needs torchmetrics and torch-fidelity"):
        fid([], [])
