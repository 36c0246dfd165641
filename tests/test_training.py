"""The trainer: Eq. 7, what learns and what does not, windows, and the order of the data."""

from itertools import islice

import comfy.model_base
import comfy.supported_models
import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from comfy.model_base import ModelType
from comfy.model_patcher import ModelPatcher
from PIL import Image
from small_training import CELLS, random_shards, same, training, weights

from realisid_core.checkpoint import load_checkpoint
from realisid_core.training.base import Base
from realisid_core.training.data import RunSamples, Share, batches, collate, pose_image, read_sample
from realisid_core.training.draws import draw
from realisid_core.training.loop import CHECKPOINT
from realisid_core.training.loss import add_noise, prediction_error, training_loss
from realisid_core.training.shards import Shards, epoch_order
from realisid_core.training.step import batch_loss
from realisid_core.training.trainee import branch_network
from realisid_core.training.windows import place_window

SDXL = {
    "in_channels": 4,
    "out_channels": 4,
    "image_size": 32,
    "channel_mult": [1, 2, 4],
    "num_res_blocks": [2, 2, 2],
    "transformer_depth_middle": 10,
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
    "num_classes": "sequential",
    "use_spatial_transformer": True,
    "use_temporal_resblock": False,
    "use_checkpoint": False,
    "legacy": False,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return random_shards(tmp_path_factory.mktemp("data"))


def take_steps(run, count: int) -> list[float]:
    stream = batches(run.data, run.share(), workers=0, pin=False)
    return [run.step(stream).item() for _ in range(count)]


# Eq. 7


def test_the_loss_is_equation_7_term_by_term():
    random = np.random.default_rng(3)
    error, face = random.standard_normal((2, 3, 4, 5)), random.random((2, 1, 4, 5))
    whole = inside = 0.0
    for b, c, i, j in np.ndindex(error.shape):
        whole += error[b, c, i, j] ** 2
        inside += (error[b, c, i, j] * face[b, 0, i, j]) ** 2
    expected = whole / error.size + 0.7 * inside / error.size
    loss = training_loss(torch.tensor(error), torch.tensor(face), face_weight=0.7)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", [ModelType.EPS, ModelType.V_PREDICTION])
def test_the_error_is_the_networks_output_less_its_target(kind):
    class Model:  # what the loss asks of the host's model: how it predicts, and its schedule
        model_type = kind
        model_sampling = comfy.model_base.model_sampling(type("", (), {"sampling_settings": {}}), kind)

    latents, noise, output = torch.randn(3, 4, 4, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x, sigma = add_noise(Model, latents, noise, torch.tensor([0, 321, 700, 999]))
    denoised = Model.model_sampling.calculate_denoised(sigma, output, x)
    signal = (1 / (1 + sigma**2).sqrt())[:, None, None, None]
    target = noise if kind == ModelType.EPS else signal * noise - (1 - signal**2).sqrt() * latents
    assert torch.allclose(prediction_error(Model, denoised, latents, sigma), output - target, atol=1e-5)


def test_identity_text_or_both_are_dropped_with_probability_one_twentieth_each():
    count = 20000
    draws = [draw(0, number, (1,), 1000) for number in range(count)]
    kinds = [(drawn.drop_identity, drawn.drop_text) for drawn in draws]
    deviation = (0.05 * 0.95 / count) ** 0.5
    for kind in ((True, False), (False, True), (True, True)):
        assert kinds.count(kind) / count == pytest.approx(0.05, abs=4 * deviation)


def test_noise_levels_are_uniform_and_noise_is_standard_normal():
    draws = [draw(1, number, (8,), 10) for number in range(5000)]
    counts = np.bincount([drawn.timestep for drawn in draws], minlength=10)
    assert len(counts) == 10 and np.all(abs(counts - 500) < 4 * (5000 * 0.1 * 0.9) ** 0.5)
    noise = np.stack([drawn.noise for drawn in draws])
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02


def test_a_dropped_identity_is_the_null_identity_and_a_dropped_text_the_empty_prompt(data, tmp_path):
    run = training(data, tmp_path)
    items = [run.data[number] for number in range(60)]
    batch = collate(items)
    for row, (sample, drawn, _) in enumerate(items):
        assert batch.captions[row] == ("" if drawn.drop_text else sample.caption)
        assert batch.features[row].any() != drawn.drop_identity
    run.export(tmp_path / CHECKPOINT)
    null = load_checkpoint(tmp_path / CHECKPOINT).null_identity()
    with torch.no_grad():
        trained = run.trainee.projector(torch.zeros(1, *null.shape[1:2], batch.features.shape[-1]))
    assert torch.allclose(trained, null, atol=1e-3)


# What learns


def test_at_the_start_the_injected_unet_is_the_plain_unet(data, tmp_path):
    run = training(data, tmp_path)
    batch = next(batches(run.data, run.share(), 0, False))
    model = run.base.model
    x, sigma = add_noise(model, batch.latents, batch.noise, batch.timesteps)
    text = [run.base.text(caption) for caption in batch.captions]
    y = run.base.vector(torch.cat([t.pooled for t in text]).float(), batch.sizes)
    given = {"c_crossattn": torch.cat([t.context for t in text]).float(), "y": y}
    pose_images = batch.pose_images.float() / 255
    with torch.no_grad():
        timesteps = model.model_sampling.timestep(sigma)
        seen = model.model_sampling.calculate_input(sigma, x)
        injection = run.trainee(seen, timesteps, batch.boxes, pose_images, batch.features.float(), y)
        plain = model.apply_model(x, sigma, transformer_options={}, **given)
        assert torch.equal(model.apply_model(x, sigma, control=injection, transformer_options={}, **given), plain)
        run.trainee.global_.zero_convs[0][0].bias.add_(1)
        injection = run.trainee(seen, timesteps, batch.boxes, pose_images, batch.features.float(), y)
        assert not torch.equal(model.apply_model(x, sigma, control=injection, transformer_options={}, **given), plain)


def test_branches_start_as_copies_of_the_unets_encoder(data, tmp_path):
    run = training(data, tmp_path)
    unet = run.base.model.diffusion_model.state_dict()
    for branch in (run.trainee.local, run.trainee.global_):
        for key, value in branch.state_dict().items():
            if key.startswith(("zero_convs", "middle_block_out", "input_hint_block.14")):
                assert not value.any(), key
            elif not key.startswith("input_hint_block"):
                assert torch.equal(value, unet[key]), key


def test_a_branch_of_full_sdxl_is_the_encoder_of_its_unet_with_a_hint_block():
    config = comfy.supported_models.SDXL({**comfy.supported_models.SDXL.unet_config, **SDXL})
    meta = torch.device("meta")
    base = Base("sdxl", ModelPatcher(comfy.model_base.SDXL(config, device=meta), meta, meta), None, None)
    unet = base.model.diffusion_model.state_dict()
    branch = branch_network(base, 3, "meta").state_dict()
    assert sum(value.numel() for value in unet.values()) == 2_567_463_684  # as SDXL 1.0 is published
    assert sum(value.numel() for value in branch.values()) == 1_251_014_160  # as its ControlNets are
    added = ("input_hint_block.", "zero_convs.", "middle_block_out.")
    encoder = [key for key in unet if key.startswith(("input_blocks.", "middle_block.", "time_embed.", "label_emb."))]
    assert {key for key in branch if not key.startswith(added)} == set(encoder)
    assert all(branch[key].shape == unet[key].shape for key in encoder)


def test_branches_and_projector_learn_and_the_base_stays(data, tmp_path):
    run = training(data, tmp_path)
    base, trained = weights(run.base.model), weights(run.trainee)
    take_steps(run, 4)
    assert same(base, weights(run.base.model))
    assert all(parameter.grad is None for parameter in run.base.model.parameters())
    unchanged = [name for name, value in weights(run.trainee).items() if torch.equal(value, trained[name])]
    assert not unchanged


@pytest.mark.parametrize("crop", [True, False])
def test_it_learns_a_few_samples(tmp_path, crop):
    run = training(random_shards(tmp_path / "data", 1, 4), tmp_path, batch_size=4, crop=crop, warmup=5)
    fixed = collate([run.data[number] for number in range(8)])

    def loss() -> float:
        with torch.no_grad():
            return batch_loss(run.base, run.trainee, fixed, 1.0, run.device).item()

    before = loss()
    take_steps(run, 15)
    assert loss() < 0.9 * before


def test_gradient_checkpointing_changes_nothing_but_memory(data, tmp_path):
    plain, recomputing = training(data, tmp_path / "a"), training(data, tmp_path / "b", recompute=True)
    assert take_steps(plain, 2) == pytest.approx(take_steps(recomputing, 2), rel=1e-5)


def test_accumulated_batches_are_one_larger_batch(data, tmp_path):
    large = take_steps(training(data, tmp_path / "a", batch_size=4), 3)
    small = take_steps(training(data, tmp_path / "b", batch_size=2, accumulate=2), 3)
    assert large == pytest.approx(small, rel=1e-4)


def test_half_precision_trains_float32_weights(data, tmp_path):
    AcceleratorState._reset_state(reset_partial_state=True)  # it holds one precision for the process
    run = training(data, tmp_path, precision="bf16")
    losses = take_steps(run, 2)
    AcceleratorState._reset_state(reset_partial_state=True)
    exact = take_steps(training(data, tmp_path), 2)
    assert losses == pytest.approx(exact, rel=0.02) and losses != exact
    assert {parameter.dtype for parameter in run.trainee.parameters()} == {torch.float32}


def test_sample_grids_are_drawn_while_training(tmp_path):
    run = training(random_shards(tmp_path / "data", 1, 2), tmp_path, steps=1, sample_every=1)
    run.run()
    with Image.open(tmp_path / "samples" / "step-00000001.jpg") as grid:
        assert grid.size == (2 * CELLS * 8, 2 * CELLS * 8)
        drawn = np.asarray(grid)[CELLS * 8 :]
    assert drawn.std() > 5
    assert any((tmp_path / "log").iterdir())
    assert take_steps(run, 1)  # sampling has left the base where training needs it


# Windows


@pytest.mark.parametrize("crop", [True, False])
def test_a_window_is_the_part_of_the_picture_that_its_sizes_name(data, tmp_path, crop):
    run = training(data, tmp_path, window=8, crop=crop)
    for number in range(10):
        sample, drawn, hint = run.data[number]
        whole = read_sample(run.data.shards, *run.data.where(number))
        height, width, top, left, *target = sample.sizes
        assert (height, width, *target) == (CELLS * 8, CELLS * 8, 64, 64) and top % 8 == left % 8 == 0
        area = (slice(top // 8, top // 8 + 8), slice(left // 8, left // 8 + 8))
        assert torch.equal(sample.latent, whole.latent[(slice(None), *area)])
        assert drawn.noise.shape == sample.latent.shape
        x0, y0, x1, y1 = sample.box.scaled(64, 64)
        assert (x0 + left, y0 + top, x1 + left, y1 + top) == pytest.approx(whole.box.scaled(CELLS * 8, CELLS * 8))
        expected = pose_image(run.data.hint, whole, CELLS * 8)
        if not crop:
            expected = expected[:, top : top + 64, left : left + 64]
        assert (hint.float() / 255 - expected).abs().max() < 1e-2


def test_a_window_holds_the_face_and_moves_about_it():
    for x0, side in ((0.0, 3.0), (5.3, 4.0), (12.0, 4.0), (2.0, 7.5)):
        places = [place_window((x0, x0, x0 + side, x0 + side), (16, 16), 8, (a, 1 - a)) for a in np.linspace(0, 1, 9)]
        for top, left, height, width in places:
            for start in (top, left):
                assert 0 <= start <= 8 and height == width == 8
                assert start <= x0 + 0.5 and x0 + side <= start + 8.5
    assert len({place_window((6, 6, 8, 8), (16, 16), 8, (a, 0)) for a in np.linspace(0, 1, 50)}) == 5


def test_windows_train_and_resume(data, tmp_path):
    straight = training(data, tmp_path / "straight", window=8, steps=4)
    straight.run()
    training(data, tmp_path / "halves", window=8, steps=2).run()
    resumed = training(data, tmp_path / "halves", window=8, steps=4)
    resumed.load_newest_state()
    resumed.run()
    assert same(weights(straight.trainee), weights(resumed.trainee))
    with pytest.raises(ValueError, match="another window"):
        training(data, tmp_path / "halves", steps=6).load_newest_state()


@pytest.mark.parametrize("window", [-8, 12, 16, 24])
def test_a_window_that_is_no_part_of_the_pictures_is_refused(data, tmp_path, window):
    with pytest.raises(ValueError, match=f"--window {window} is not possible: the data's latents are 16 cells wide"):
        training(data, tmp_path, window=window)


# The order of the data


def test_an_epoch_has_every_sample_once_in_another_order_than_the_next():
    counts = (4, 9, 1, 6)
    first, second = (epoch_order(counts, 5, epoch, 2) for epoch in (0, 1))
    everything = {(shard, row) for shard, count in enumerate(counts) for row in range(count)}
    assert {tuple(place) for place in first.tolist()} == everything and len(first) == len(everything)
    assert {tuple(place) for place in second.tolist()} == everything
    assert not np.array_equal(first, second)
    assert np.array_equal(first, epoch_order(counts, 5, 0, 2))


def test_two_processes_share_what_one_with_the_doubled_batch_takes():
    alone = islice(Share(start=6, batch_size=4, process=0, processes=1), 3)
    together = (islice(Share(6, 2, process, 2), 3) for process in (0, 1))
    assert [[*a, *b] for a, b in zip(*together, strict=True)] == list(alone)


def test_readers_in_other_processes_give_the_same_batches(data, tmp_path):
    run = training(data, tmp_path)
    near, far = (list(islice(batches(run.data, run.share(), workers, False), 4)) for workers in (0, 2))
    for a, b in zip(near, far, strict=True):
        assert torch.equal(a.latents, b.latents) and torch.equal(a.noise, b.noise) and a.boxes == b.boxes


def test_data_of_another_base_are_refused(tmp_path):
    folder = random_shards(tmp_path / "data", 1, 1)
    info = folder / "dataset.json"
    info.write_text(info.read_text().replace('"small"', '"sdxl"'))
    with pytest.raises(ValueError, match="prepared for sdxl"):
        training(folder, tmp_path)


def test_a_folder_without_data_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Run `prepare` first"):
        training(tmp_path, tmp_path)


def test_samples_come_back_as_they_were_written(data):
    shards = Shards(data)
    samples = [read_sample(shards, shard, row) for shard in range(2) for row in range(5)]
    assert len(shards) == 10 and isinstance(RunSamples(shards, None, 0, 10).where(13), tuple)
    assert len({sample.latent.sum().item() for sample in samples}) == 10
    for sample in samples:
        x0, _, x1, y1 = sample.box.scaled(CELLS * 8, CELLS * 8)
        points = sample.face["landmarks_xy"]
        assert x1 - x0 == pytest.approx(max(np.ptp(points, axis=0)), rel=1e-5)
        assert x0 <= points[:, 0].min() + 1e-4 and y1 >= points[:, 1].max() - 1e-4
