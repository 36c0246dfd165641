"""Runs of the trainer: validation, resuming exactly, and a checkpoint that is what was trained."""

import comfy.sample
import pytest
import torch
from safetensors.torch import load_file
from small_training import CELLS, CHANNELS, random_shards, same, training, weights

from realisid_core.checkpoint import load_checkpoint
from realisid_core.identity.clip_projector import project
from realisid_core.identity.encoder import IDEmbedding
from realisid_core.methods.realisid import global_branch, local_branch
from realisid_core.persons import Person
from realisid_core.sampling.apply import apply_branch
from realisid_core.training import loop
from realisid_core.training.data import collate, pose_image, read_sample
from realisid_core.training.loop import CHECKPOINT
from realisid_core.training.settings import Settings
from realisid_core.training.trainee import PART_NAMES


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return random_shards(tmp_path_factory.mktemp("data"))


# Validation


def test_the_validation_loss_is_that_of_the_averaged_weights_on_other_pictures(data, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "VALIDATED", 12)
    others = random_shards(tmp_path / "others", 1, 7)
    run = training(data, tmp_path, validation=others, batch_size=4, steps=2)
    run.run()
    averaged = training(data, tmp_path / "averaged", ema=0.0)
    averaged.trainee.load_state_dict(run.averaged.state_dict())
    same_draws = training(others, tmp_path / "same draws", seed=0).data
    batch = collate([same_draws[number] for number in range(12)])
    with torch.no_grad():
        expected = averaged.loss(averaged.trainee, batch).item()
    step, loss = (tmp_path / "validation.csv").read_text().splitlines()[-1].split(",")
    assert int(step) == 2 and float(loss) == pytest.approx(expected, rel=1e-4)


def test_validating_changes_nothing_of_the_training_and_its_table_is_resumed(data, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "VALIDATED", 4)
    plain = training(data, tmp_path / "plain", steps=4)
    plain.run()
    watched = {"validation": data, "save_every": 1}
    straight = training(data, tmp_path / "straight", steps=4, **watched)
    straight.run()
    training(data, tmp_path / "halves", steps=2, **watched).run()
    resumed = training(data, tmp_path / "halves", steps=4, **watched)
    resumed.load_newest_state()
    resumed.run()
    assert same(weights(plain.trainee), weights(straight.trainee))
    tables = [(tmp_path / name / "validation.csv").read_text() for name in ("straight", "halves")]
    assert tables[0] == tables[1] and tables[0].count("\n") == 5


def test_validation_data_prepared_otherwise_are_refused(data, tmp_path):
    others = random_shards(tmp_path / "others", 1, 1)
    info = others / "dataset.json"
    info.write_text(info.read_text().replace('"face"', '"everything"'))
    with pytest.raises(ValueError, match=r"others was prepared with keep everything \(here face\)"):
        training(data, tmp_path, validation=others)


# Resuming and the checkpoint


def test_ten_steps_and_ten_more_are_twenty_steps_exactly(data, tmp_path):
    straight = training(data, tmp_path / "straight", steps=20)
    straight.run()
    training(data, tmp_path / "halves", steps=10).run()
    resumed = training(data, tmp_path / "halves", steps=20)
    resumed.load_newest_state()
    resumed.run()
    assert same(weights(straight.trainee), weights(resumed.trainee))
    assert same(weights(straight.average), weights(resumed.average))
    logs = [(tmp_path / name / "losses.csv").read_text() for name in ("straight", "halves")]
    assert logs[0] == logs[1] and logs[0].count("\n") == 21


def test_the_checkpoint_has_the_averaged_weights(data, tmp_path):
    run = training(data, tmp_path, ema=0.5, steps=3)
    run.run()
    written = load_file(tmp_path / CHECKPOINT)
    for name, value in weights(run.average.module).items():
        part, _, rest = name.partition(".")
        assert torch.equal(written[f"{PART_NAMES[part]}.{rest}"], value.half())
    assert not same(weights(run.average.module), weights(run.trainee))


def test_a_new_run_does_not_begin_where_another_left_its_states(data, tmp_path):
    training(data, tmp_path, steps=1).run()
    with pytest.raises(ValueError, match=r"state-00000001 is the newest\)\. Give --resume"):
        loop.train(Settings("small", data, tmp_path, steps=2))


def test_a_run_is_not_resumed_with_other_settings(data, tmp_path):
    training(data, tmp_path, steps=1).run()
    other = training(data, tmp_path, steps=2, learning_rate=1e-4)
    with pytest.raises(ValueError, match="another learning_rate"):
        other.load_newest_state()


def test_fine_tuning_starts_from_the_checkpoints_weights(data, tmp_path):
    first = training(data, tmp_path / "first", ema=0.0, steps=2)
    first.run()
    second = training(data, tmp_path / "second", start_from=tmp_path / "first" / CHECKPOINT)
    halved = {name: value.half().float() for name, value in weights(first.trainee).items()}
    assert same(halved, weights(second.trainee))
    with pytest.raises(ValueError, match=r"realisid was trained with crop True \(here False\)"):
        training(data, tmp_path / "third", start_from=tmp_path / "first" / CHECKPOINT, crop=False)


@pytest.mark.parametrize("crop", [True, False])
def test_sampling_with_the_checkpoint_is_what_was_trained(data, tmp_path, crop):
    run = training(data, tmp_path, crop=crop, ema=0.0, steps=3)
    run.run()
    realisid = load_checkpoint(tmp_path / CHECKPOINT)
    sample = read_sample(run.data.shards, 0, 0)
    tokens = project(realisid.parts["id_projector"], sample.features[None].float())
    person = Person(IDEmbedding(tokens), sample.face, sample.box, (CELLS * 8, CELLS * 8))
    prompts = run.base.prompt(sample.caption), run.base.prompt("")
    for branch in (local_branch(realisid), global_branch(realisid)):
        prompts = apply_branch(branch, *prompts, [person])
    empty = torch.zeros(1, CHANNELS, CELLS, CELLS)
    noise = comfy.sample.prepare_noise(empty, 5)
    options = {"sampler_name": "euler", "scheduler": "normal", "latent_image": empty, "disable_pbar": True}
    sampled = comfy.sample.sample(run.base.patcher, noise, 1, 1.0, positive=prompts[0], negative=prompts[1], **options)

    model, text = run.base.model, run.base.text(sample.caption)
    sigma = model.model_sampling.sigma_max[None]
    x = model.model_sampling.noise_scaling(sigma, noise, empty, max_denoise=True)
    y = run.base.vector(text.pooled.float(), [sample.sizes])
    run.trainee.half().float()  # as rounded as the checkpoint
    with torch.no_grad():
        control = run.trainee(
            model.model_sampling.calculate_input(sigma, x),
            model.model_sampling.timestep(sigma),
            [sample.box],
            pose_image(run.data.hint, sample, CELLS * 8)[None],
            sample.features[None].float(),
            y,
        )
        context = text.context.float()
        given = {"c_crossattn": context, "y": y, "transformer_options": {}}
        trained = model.apply_model(x, sigma, control=control, **given)
        plain = model.apply_model(x, sigma, **given)
    assert (trained - plain).abs().max() > 1e-2
    assert torch.allclose(sampled, trained, atol=1e-4)
