"""The second miniature's recipe: fresh pictures, exact resuming, what its networks are shown."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from realisid_core.miniature import initial
from realisid_core.miniature.loading import load_miniature
from realisid_core.miniature.networks import SECOND
from research.evaluation.judges import SHAPES, FaceRecogniser
from research.recipe.ahead import Ahead
from research.recipe.export import write
from research.recipe.run import Plan
from research.recipe.second import autoencoder, base, encoder, export
from research.recipe.second.check import load_autoencoder
from research.recipe.second.check_base import judged
from research.world import PLACED_VOCABULARY, placed_caption, render, sample_person, sample_scene
from research.world.captions import split
from research.world.identity import GEOMETRY
from research.world.training_pictures import WorldPictures


def test_what_is_made_ahead_is_made_once_and_forgotten_in_order():
    asked = []
    ahead = Ahead(lambda number: asked.append(number) or -number, 3)
    assert [ahead[number] for number in (5, 6, 5, 7, 8, 6)] == [-5, -6, -5, -7, -8, -6]
    assert asked == [5, 6, 7, 8]
    assert ahead[5] == -5 and asked[-1] == 5  # made anew
    assert sorted(ahead.made) == [6, 7, 8]


def plan(steps):
    return Plan(steps, 2, 0, 1e-3, 60, "no")


def test_autoencoder_crops_are_fresh_and_mostly_of_faces():
    images, weights = autoencoder.batch(0, 3, 4, 128)
    again, _ = autoencoder.batch(0, 3, 4, 128)
    other, _ = autoencoder.batch(0, 4, 4, 128)
    assert images.shape == (4, 3, 128, 128) and weights.shape == (4, 1, 128, 128)
    assert images.min() >= -1 and images.max() <= 1
    torch.testing.assert_close(images, again, rtol=0, atol=0)
    assert (images != other).any()
    assert (weights[:3].amax((1, 2, 3)) > 1.1).all()


def test_every_face_weighs_like_one_of_the_same_side():
    sums = []
    for side in (60, 96, 150):
        weight = autoencoder.face_weights([(50, 50, 50 + side, 50 + side)], 384)
        assert weight[0, 0] == 1
        sums.append((weight - 1).sum().item())
    np.testing.assert_allclose(sums, autoencoder.OWN_SIDE**2, rtol=0.02)


def test_the_autoencoder_has_the_designs_size():
    model = initial.vae_module(SECOND)
    parameters = sum(p.numel() for p in model.parameters())
    assert 2e6 < parameters < 4e6
    assert sum(p.numel() for p in model.decoder.parameters()) > 1.3 * sum(p.numel() for p in model.encoder.parameters())
    latents = model.quant_conv(model.encoder(torch.zeros(1, 3, 64, 64)))
    assert latents.shape == (1, 2 * SECOND.latent_channels, 8, 8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("autoencoder")
    autoencoder.train(folder / "whole", plan(3), crop=64)
    autoencoder.train(folder / "parted", plan(2), crop=64)
    autoencoder.train(folder / "parted", plan(3), crop=64)
    return folder


def test_the_autoencoder_resumes_exactly(trained):
    whole, parted = (load_autoencoder(trained / name).state_dict() for name in ("whole", "parted"))
    assert any((value != 0).any() for name, value in whole.items() if name.endswith("conv2.weight"))
    for name, value in whole.items():
        torch.testing.assert_close(value, parted[name], rtol=0, atol=0)


def test_the_image_encoder_sees_all_masks():
    who = sample_person(5)
    seen = {mask: encoder.draw(who, np.random.default_rng(2), mask, encoder.CROP) for mask in encoder.MASKS}
    black = {mask: (crop == 0).all(2).mean() for mask, (crop, _) in seen.items()}
    assert black["none"] < black["person"] < black["outline"] < 0.8
    for _, target in seen.values():
        assert target.shape == (sum(encoder.READ),)
        assert np.abs(target[: len(GEOMETRY)]).max() <= 1


def test_an_image_encoder_step_trains(tmp_path):
    before = initial.image_encoder_module(SECOND)
    assert sum(p.numel() for p in before.parameters()) < 2.5e6
    encoder.train(tmp_path, Plan(2, 16, 0, 1e-3, 60, "no"))
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["step"] == 2 and all(torch.isfinite(value).all() for value in state["model"].values())
    losses = (tmp_path / "losses.csv").read_text()
    assert "measures" in losses and "contrast" in losses


def test_the_perceptual_loss_grows_with_blur_and_its_gradient_reaches_the_picture():
    network = FaceRecogniser(SHAPES["trainer"])
    loss = autoencoder.perceptual_of(network)
    images, _ = autoencoder.batch(0, 1, 2, 128)
    blurred = [torch.nn.functional.avg_pool2d(images, 2 * r + 1, 1, r) for r in (1, 3)]
    assert loss(images, images) == 0 < loss(blurred[0], images) < loss(blurred[1], images)
    drawn = blurred[0].requires_grad_()
    loss(drawn, images).backward()
    assert drawn.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in network.parameters())


def test_captions_say_who_wears_what_where():
    rng = np.random.default_rng(4)
    scene = sample_scene(rng, people=2, styles=("photo",), world=2)
    left, right = sorted(scene.people, key=lambda one: one.box[0])
    words = [" ".join(one.shirt) for one in (left, right)]
    said = placed_caption(scene)
    assert said.startswith(
        f"two persons, a person wearing a {words[0]} on the left and a person wearing a {words[1]} on the right, "
    )
    for count in range(1, 5):
        text = placed_caption(sample_scene(rng, people=count, world=2))
        assert text.count("wearing") == count and set(split(text)) <= set(PLACED_VOCABULARY)


def test_the_base_trains_on_drawn_latents_and_the_host_loads_what_comes_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(base, "SHARD", 4)
    write(initial.weights("vae", 0, SECOND), tmp_path / "vae.safetensors")
    (tmp_path / "latents").mkdir()
    base.encode_shard(tmp_path, tmp_path / "latents", 0, 3)
    latents = np.load(tmp_path / "latents" / "00000.npy")
    assert latents.shape == (4, 16, 48, 48) and latents.dtype == np.float16
    base.train(tmp_path / "latents", tmp_path / "base", Plan(2, 1, 0, 1e-3, 60, "no"), windows=True)
    monkeypatch.setattr(export, "_images", lambda count: torch.zeros(1, 3, 64, 64))
    export.export(tmp_path, tmp_path / "weights")
    miniature = load_miniature(tmp_path / "weights")
    assert miniature.architecture == SECOND and "unet" not in miniature.untrained
    picture = miniature.sample(miniature.prompt("a person"), miniature.prompt(""), 0, 2, 4.0)
    assert picture.shape == (384, 384, 3)


def test_a_true_picture_passes_the_gate_of_the_base_and_one_with_swapped_captions_does_not():
    shirts = {"true": [], "swapped": []}
    for number in range(4):
        scene = sample_scene(np.random.default_rng([3, number]), 2, (1 / 5, 1 / 4), styles=("photo",), world=2)
        picture = render(scene, SECOND.image_size).image
        one, other = scene.people
        swapped = replace(scene, people=(replace(one, shirt=other.shirt), replace(other, shirt=one.shirt)))
        for name, asked in (("true", scene), ("swapped", swapped)):
            found = judged(picture, asked)
            assert found["right number"] == [1.0]
            shirts[name] += found["shirts"]
    assert np.mean(shirts["true"]) > 0.85 and np.mean(shirts["swapped"]) < 0.5


def test_training_pictures_of_the_second_world_say_who_wears_what_where():
    pictures = WorldPictures(seed=2, pictures=9, image_size=64)
    captions = [portrait.caption for portrait in pictures.portraits([0, 9], {})]
    assert any(" on the left" in caption for caption in captions)
    assert "on the left" not in "".join(p.caption for p in replace(pictures, world=1).portraits([0, 9], {}))
