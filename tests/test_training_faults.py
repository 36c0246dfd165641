"""What goes wrong in a training: broken samples, a host that offloads, options and bases that cannot be."""

import io
import json

import comfy.model_management
import comfy.supported_models
import numpy as np
import pytest
import torch
from comfy.model_patcher import ModelPatcher
from PIL import Image
from safetensors.torch import save_file
from small_training import CHANNELS, random_samples, random_shards, same, small_base, training, weights

from realisid_core.miniature import networks
from realisid_core.training import base as bases
from realisid_core.training import samples as sampling
from realisid_core.training.base import load_base
from realisid_core.training.data import batches
from realisid_core.training.loop import CHECKPOINT
from realisid_core.training.settings import Settings
from realisid_core.training.shards import npy, write_shard
from realisid_core.training.states import states_in


def finite(module) -> bool:
    return all(torch.isfinite(value).all() for value in module.state_dict().values())


def with_broken(folder, rows: set[int], count: int = 8):
    """A shard in which one latent cell of these rows is NaN, as an older `prepare` wrote it."""
    random_shards(folder, 0)
    samples = random_samples(seed=0, count=count)
    for row in rows:
        latent = np.load(io.BytesIO(samples[row]["latent.npy"]))
        latent[0, 3, 3] = np.nan
        samples[row]["latent.npy"] = npy(latent)
    write_shard(folder, 0, samples, {"dropped": {}})
    return folder


# A value that is not finite


def test_a_sample_with_a_nan_cell_costs_one_step_and_no_weight(tmp_path, capsys):
    run = training(with_broken(tmp_path / "data", {2}), tmp_path, fresh=True, steps=4, save_every=1)
    run.run()
    assert finite(run.trainee) and finite(run.average)
    source = json.loads(random_samples(seed=0, count=3)[2]["json"])["source"]
    said = capsys.readouterr().out
    assert f"step 2 was skipped: its gradient is not finite; values of {source} are not." in said
    losses = [line.split(",")[2] for line in (tmp_path / "losses.csv").read_text().splitlines()[1:]]
    assert [loss == "nan" for loss in losses] == [False, True, False, False]


def test_a_skipped_step_leaves_weights_and_averages_as_they_are(tmp_path):
    run = training(with_broken(tmp_path / "data", {2}), tmp_path, fresh=True)
    stream = batches(run.data, run.share(), 0, False)
    run.step(stream)
    trained, averaged = weights(run.trainee), weights(run.average)
    assert run.step(stream).isnan()
    assert same(trained, weights(run.trainee)) and same(averaged, weights(run.average))
    assert not run.step(stream).isnan() and not same(trained, weights(run.trainee))


def test_a_training_that_only_skips_stops_and_keeps_its_last_good_state(tmp_path):
    data = with_broken(tmp_path / "data", set(range(4, 30)), count=30)
    run = training(data, tmp_path, fresh=True, steps=15, save_every=2)
    with pytest.raises(ValueError, match=r"5 steps in a row had no finite gradient\. state-0000000\d is the last good"):
        run.run()
    newest = states_in(tmp_path)[-1]
    resumed = training(data, tmp_path, fresh=True, steps=15)
    resumed.load_newest_state()
    assert finite(resumed.trainee) and finite(resumed.average), newest


def test_weights_that_are_not_finite_are_not_written_and_no_state_goes(tmp_path):
    run = training(random_shards(tmp_path / "data"), tmp_path, steps=2, save_every=1)
    run.run()
    before = {path: path.stat().st_mtime_ns for path in [*states_in(tmp_path), tmp_path / CHECKPOINT]}
    with torch.no_grad():
        next(run.trainee.parameters())[0] = torch.nan
    run.steps_done += 1
    with pytest.raises(ValueError, match=r"At step 3 .* is not finite\. state-00000002 is the last good state"):
        run.save()
    assert {path: path.stat().st_mtime_ns for path in [*states_in(tmp_path), tmp_path / CHECKPOINT]} == before


# Sample grids


def test_sample_grids_are_drawn_by_the_weights_of_their_step(tmp_path, monkeypatch):
    drawn = []

    def grid(base, realisid, data):
        drawn.append(weights(realisid.parts["local"].control_model))
        return Image.new("RGB", (8, 8))

    monkeypatch.setattr(sampling, "sample_grid", grid)
    run = training(random_shards(tmp_path / "data"), tmp_path, steps=3, sample_every=1, learning_rate=1e-2)
    run.run()
    assert len(drawn) == 3 and not same(drawn[0], drawn[1]) and not same(drawn[1], drawn[2])
    local = {name: value.half() for name, value in weights(run.averaged.local).items()}
    assert same({name: value.half() for name, value in drawn[2].items()}, local)


def test_after_a_sample_grid_the_host_cannot_offload_the_base(tmp_path):
    run = training(random_shards(tmp_path / "data", 1, 1), tmp_path, steps=1, sample_every=1)
    run.run()
    loaded = [each.model for each in comfy.model_management.current_loaded_models if each.model is not None]
    assert not any(patcher.model is run.base.model for patcher in loaded)


def test_captions_are_encoded_alike_within_and_without_a_steps_rounding():
    base = small_base()
    plain = base._text("a person in red")
    with torch.autocast("cpu", torch.bfloat16):
        inside = base._text("a person in red")
    assert torch.equal(plain.context, inside.context) and torch.equal(plain.pooled, inside.pooled)


# Options and bases that cannot be


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("local_size", 0, "a whole number from 4 to 256, a multiple of 4"),
        ("local_size", 30, "a whole number from 4 to 256, a multiple of 4"),
        ("local_size", -8, "a whole number from 4"),
        ("local_size", 10**6, "a whole number from 4 to 256"),
        ("batch_size", 0, "a whole number from 1"),
        ("accumulate", -1, "a whole number from 1"),
        ("learning_rate", float("nan"), "a number from 0 to 1"),
        ("learning_rate", -1e-5, "a number from 0 to 1"),
        ("weight_decay", float("inf"), "a number from 0 to 1"),
        ("clip_gradient", -1.0, "a number from 0"),
        ("face_weight", float("nan"), "a number from 0"),
        ("ema", 1.5, "a number from 0 to 1"),
        ("warmup", -1, "a whole number from 0"),
        ("workers", -2, "a whole number from 0"),
        ("steps", -1, "a whole number from 0"),
        ("seed", -1, "a whole number from 0"),
        ("precision", "fp8", "one of auto, no, bf16, fp16"),
        ("train", "lora", '"all", "attention", or "lora:" and a rank from 1 to 1024'),
        ("train", "lora:0", '"all", "attention", or "lora:" and a rank'),
        ("train", "lora:2000", '"all", "attention", or "lora:" and a rank'),
        ("optimizer", "sgd", "one of adamw, adamw8bit"),
        ("y_mode", "zz", "one of sizes, prompt"),
    ],
)
def test_an_option_that_cannot_be_is_named_with_what_can(tmp_path, option, value, expected):
    options = {"steps": 1} | {option: value}
    with pytest.raises(ValueError, match=f"--{option.replace('_', '-')} is .*; expected {expected}"):
        Settings("miniature", tmp_path, tmp_path, **options)


def test_an_inpainting_model_is_no_base(monkeypatch):
    config = networks.MiniatureSDXL({**networks.FIRST.unet_config(), "in_channels": 2 * CHANNELS + 1})
    cpu = torch.device("cpu")
    patcher = ModelPatcher(config.get_model({}, "", device="cpu"), cpu, cpu)
    monkeypatch.setattr(bases, "_read", lambda *_: (patcher, None, None))
    with pytest.raises(ValueError, match=rf"inpaint takes {2 * CHANNELS + 1} channels, {CHANNELS} of them the latent"):
        load_base("inpaint")


def test_a_file_that_is_no_checkpoint_is_no_base(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "lora.safetensors")
    (tmp_path / "text.safetensors").write_text("not one")
    for name in ("lora.safetensors", "text.safetensors"):
        with pytest.raises(
            ValueError, match=f"{name} (is no checkpoint that ComfyUI can read|holds no diffusion model)"
        ):
            load_base(str(tmp_path / name))
    with pytest.raises(FileNotFoundError):
        load_base(str(tmp_path / "nothing.safetensors"))
