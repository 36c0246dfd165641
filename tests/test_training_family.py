"""Training on several faces a picture: who is stacked, what learns, and that it is what sampling does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_training import random_shards, same, training, weights

from realisid_core.checkpoint import load_checkpoint
from realisid_core.training.loop import CHECKPOINT
from realisid_core.training.settings import Settings
from realisid_core.training.shards import DatasetInfo, Shards, npy, read_npy, write_shard


@pytest.fixture(scope="module")
def families(tmp_path_factory):
    """Shards of version 2: samples of one to six faces."""
    one, folder = Shards(random_shards(tmp_path_factory.mktemp("one"))), tmp_path_factory.mktemp("several")
    replace(DatasetInfo.read(one.folder), format_version=2).write(folder)
    random, samples = np.random.default_rng(0), []
    for count in range(1, 7):
        members = one.read(0, count % 5)
        features = [read_npy(members["features.npy"]) * (n + 1) for n in range(count)]
        points = [random.random((478, 2)) * 0.2 + (n % 3 * 0.3, n // 3 * 0.4) for n in range(count)]
        arrays = {"features.npy": np.stack(features), "landmarks.npy": np.stack(points).astype(np.float32)}
        samples.append({**members, **{name: npy(array) for name, array in arrays.items()}})
    write_shard(folder, 0, samples, {"dropped": {}})
    return folder


def batch_of(run, numbers):
    return run.data.collate([run.data[number] for number in numbers])


def test_every_face_is_drawn_and_at_most_four_are_stacked_in_random_order(families, tmp_path):
    run = training(families, tmp_path / "run", family=4)
    batch = batch_of(run, range(18))
    assert sorted(batch.counts[:6]) == [1, 2, 3, 4, 5, 6]
    assert batch.stacked == [min(4, count) for count in batch.counts]
    assert len(batch.boxes) == len(batch.features) == len(batch.pose_images) == sum(batch.counts)
    parts = batch.features.split(batch.counts)
    for features, stacked in zip(parts, batch.stacked, strict=True):
        shown = features.flatten(1).any(1).tolist()
        assert shown[stacked:] == [False] * (len(shown) - stacked)
        assert len(set(shown[:stacked])) == 1, "a dropped identity is everybody's"
    order = next(number for number in range(6) if batch.counts[number] == 6)
    others = [n for n in range(18) if batch.counts[n] == 6 and n != order]
    first = batch.boxes[sum(batch.counts[:order])]
    assert any(batch.boxes[sum(batch.counts[:n])] != first for n in others)


def test_what_a_family_trains_is_loaded_and_everything_of_it_learns(families, tmp_path):
    run = training(families, tmp_path / "run", family=4, steps=2)
    before = weights(run.trainee)
    run.run()
    moved = {name.split(".")[0] for name, value in weights(run.trainee).items() if not torch.equal(value, before[name])}
    assert moved == {"local", "global_", "projector", "stack", "adapter"}
    made = load_checkpoint(tmp_path / "run" / CHECKPOINT)
    assert list(made.parts) == ["local", "global", "id_projector", "stack_projector", "adapter"]
    assert (made.config.method, made.config.family_ids, made.config.stack_grid) == ("instant_family", 4, 7)


@pytest.mark.parametrize("recompute", [False, True])
def test_gradients_reach_every_layer_of_the_adapter(families, tmp_path, recompute):
    run = training(families, tmp_path / "run", family=4, recompute=recompute)
    run.loss(run.trainee, batch_of(run, range(6))).backward()
    for name, value in [*run.trainee.adapter.named_parameters(), *run.trainee.stack.named_parameters()]:
        assert value.grad is not None and value.grad.abs().max() > 0, name


def test_recomputing_changes_no_gradient(families, tmp_path):
    found = []
    for recompute in (False, True):
        run = training(families, tmp_path / f"run {recompute}", family=2, recompute=recompute)
        with torch.no_grad():
            for layer in (*run.trainee.global_.zero_convs.parameters(), *run.trainee.local.zero_convs.parameters()):
                layer.fill_(0.01)
        run.loss(run.trainee, batch_of(run, range(4))).backward()
        found.append({name: value.grad for name, value in run.trainee.named_parameters() if value.grad is not None})
    assert found[0].keys() == found[1].keys()
    assert all(torch.allclose(found[0][name], found[1][name], rtol=1e-3, atol=1e-6) for name in found[0])


def test_padding_changes_no_loss(families, tmp_path):
    """A picture alone and beside one with more faces."""
    run = training(families, tmp_path / "run", family=4)
    with torch.no_grad():
        for layer in run.trainee.global_.zero_convs.parameters():
            layer.fill_(0.01)
        alone = [run.loss(run.trainee, batch_of(run, [number])).item() for number in range(3)]
        together = run.loss(run.trainee, batch_of(run, range(3))).item()
    assert together == pytest.approx(np.mean(alone), rel=1e-4)


def test_the_face_term_is_of_everyones_faces_together(families, tmp_path):
    run = training(families, tmp_path / "run", family=4)
    batch = batch_of(run, range(6))
    masks = batch.face_mask(64, 64, torch.device("cpu"))
    ends = np.cumsum(batch.counts)
    for mask, end, count in zip(masks, ends, batch.counts, strict=True):
        for box in batch.boxes[end - count : end]:
            x, y = int((box.x + box.width / 2) * 64), int((box.y + box.height / 2) * 64)
            assert mask[0, y, x] == 1
        assert mask.max() == 1
    assert masks.shape == (6, 1, 64, 64)


def test_the_literal_product_and_the_unet_without_faces_are_other_runs(families, tmp_path):
    losses = {}
    for name, options in {"exclude": {}, "literal": {"mask": "literal"}, "no unet": {"unet": False}}.items():
        run = training(families, tmp_path / name, family=4, steps=1, **options)
        with torch.no_grad():
            losses[name] = run.loss(run.trainee, batch_of(run, range(6))).item()
        run.run()
        made = load_checkpoint(tmp_path / name / CHECKPOINT)
        assert made.config.mask == options.get("mask", "exclude")
        assert ("adapter" in made.parts) == (name != "no unet")
    assert len(set(losses.values())) == 3


def test_shards_of_one_face_train_a_family_too(tmp_path):
    data = random_shards(tmp_path / "data")
    training(data, tmp_path / "run", family=4, steps=1).run()


def test_a_family_begins_with_a_trained_realisid(families, tmp_path):
    training(families, tmp_path / "first", steps=1).run()
    run = training(families, tmp_path / "second", family=4, steps=1, start_from=tmp_path / "first" / CHECKPOINT)
    assert same(weights(run.trainee.stack.whole), weights(run.trainee.projector))
    run.run()
    again = training(families, tmp_path / "third", family=4, steps=1, start_from=tmp_path / "second" / CHECKPOINT)
    made = load_checkpoint(tmp_path / "second" / CHECKPOINT)
    assert torch.equal(
        again.trainee.adapter["1"]["to_k"].weight, made.parts["adapter"].model.layers["1"]["to_k"].weight
    )


def test_windows_are_refused():
    with pytest.raises(ValueError, match="--window is 8; expected 0 with --family"):
        Settings("small", "data", "output", family=2, window=8)
