"""What learns of the branches, and what a training starts from."""

from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_training import CELLS, random_shards, same, small_base, training, weights

from realisid_core.checkpoint import load_checkpoint
from realisid_core.config import InstantIDConfig
from realisid_core.geometry import FaceBox
from realisid_core.resampling import relocate
from realisid_core.training.data import batches
from realisid_core.training.dry_run import sizes
from realisid_core.training.ema import averaged_model
from realisid_core.training.learning import merged
from realisid_core.training.loop import CHECKPOINT
from realisid_core.training.trainee import branch_network


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return random_shards(tmp_path_factory.mktemp("data"))


def new_parts(name: str) -> bool:
    return any(part in name for part in ("input_hint_block", "zero_convs", "middle_block_out", "projector."))


@pytest.mark.parametrize(
    "what, learns", [("attention", lambda name: ".attn2." in name), ("lora:3", lambda name: ".weight.0." in name)]
)
def test_what_is_chosen_learns_and_nothing_else_does(data, tmp_path, what, learns):
    run = training(data, tmp_path, train=what, steps=2)
    before = weights(run.trainee)
    stream = batches(run.data, run.share(), 0, pin=False)
    for _ in range(3):
        run.step(stream)
    changed = {name for name, value in weights(run.trainee).items() if not torch.equal(value, before[name])}
    asked = {name for name, _ in run.trainee.named_parameters() if new_parts(name) or learns(name)}
    assert changed <= asked
    assert any(learns(name) for name in changed) and any(new_parts(name) for name in changed)
    assert asked == {name for name, value in run.trainee.named_parameters() if value.requires_grad}


def test_low_rank_additions_change_nothing_at_first_and_are_in_the_checkpoint(data, tmp_path):
    run = training(data, tmp_path, train="lora:3", ema=0.0, steps=2)
    whole = training(data, tmp_path / "whole")
    assert same(merged(weights(run.trainee)), weights(whole.trainee))
    run.run()
    written = load_file(tmp_path / CHECKPOINT)
    layers = [name for name, _ in run.trainee.named_parameters() if name.endswith("weight.0.up")]
    assert len(layers) == 2 * 2 * 8  # branches, transformer blocks, projections of two attentions
    for name in layers:
        layer = name.removesuffix(".parametrizations.weight.0.up")
        weight = run.trainee.get_submodule(layer).weight  # as torch's own parametrization computes it
        assert torch.equal(written[f"{layer.replace('global_', 'global')}.weight"], weight.half())
    load_checkpoint(tmp_path / CHECKPOINT)


def test_a_run_of_low_rank_additions_is_resumed_exactly(data, tmp_path):
    options = {"train": "lora:2", "save_every": 2, "steps": 4}
    training(data, tmp_path / "straight", **options).run()
    training(data, tmp_path / "parted", **(options | {"steps": 2})).run()
    second = training(data, tmp_path / "parted", **options)
    second.load_newest_state()
    second.run()
    assert same(*(load_file(tmp_path / name / CHECKPOINT) for name in ("straight", "parted")))
    with pytest.raises(ValueError, match="another train"):
        training(data, tmp_path / "parted", **(options | {"train": "attention"})).load_newest_state()


def test_an_average_copies_only_what_learns():
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    model[0].requires_grad_(False)
    average = averaged_model(model, 0.5)
    assert average.module[0].weight is model[0].weight and average.module[1].weight is not model[1].weight
    elsewhere = averaged_model(model, 0.5, torch.device("cpu"))
    assert elsewhere.module[0].weight is not model[0].weight
    for _ in range(3):
        with torch.no_grad():
            model[1].weight += 1
        average.update_parameters(model)
        elsewhere.update_parameters(model)
    assert torch.equal(average.module[1].weight, elsewhere.module[1].weight)
    assert not torch.equal(average.module[1].weight, model[1].weight)


def test_an_average_on_the_cpu_is_the_same_average(data, tmp_path):
    for name, options in (("here", {}), ("cpu", {"ema_on_cpu": True})):
        training(data, tmp_path / name, validation=data, **options).run()
    assert same(*(load_file(tmp_path / name / CHECKPOINT) for name in ("here", "cpu")))
    assert len({(tmp_path / name / "validation.csv").read_text() for name in ("here", "cpu")}) == 1


def test_frozen_matrices_take_half_the_memory_on_an_accelerator(data):
    branch = branch_network(small_base(), 3)
    from realisid_core.training.learning import learn_only

    learn_only(branch, "attention", torch.bfloat16)
    kinds = {(value.requires_grad, value.ndim > 1): value.dtype for value in branch.parameters()}
    assert kinds[False, True] == torch.bfloat16
    assert kinds[True, True] == kinds[True, False] == kinds[False, False] == torch.float32


def test_a_dry_run_counts_what_learns(data, tmp_path):
    counts = {}
    for what in ("all", "attention", "lora:4"):
        run = training(data, tmp_path / what.partition(":")[0], train=what)
        counts[what] = sizes(run.settings, run.base, run.config, torch.device("cpu"))
        learnt = sum(value.numel() for value in run.trainee.parameters() if value.requires_grad)
        assert counts[what].learnt == learnt
        assert counts[what].frozen == sum(p.nbytes for p in run.trainee.parameters() if not p.requires_grad)
    assert counts["all"].frozen == 0 and counts["all"].learnt == sum(counts["all"].parts.values())
    assert counts["all"].learnt > counts["attention"].learnt > counts["lora:4"].learnt


@pytest.mark.skipif(find_spec("bitsandbytes") is not None, reason="bitsandbytes is here")
def test_a_missing_bitsandbytes_is_named(data, tmp_path):
    with pytest.raises(ImportError, match="needs the Python package bitsandbytes"):
        training(data, tmp_path, optimizer="adamw8bit")


# InstantID's IdentityNet


@pytest.fixture
def identity_net(tmp_path):
    network = branch_network(small_base(), 3)
    random = torch.Generator().manual_seed(3)
    state = {name: 0.1 * torch.randn(value.shape, generator=random) for name, value in network.state_dict().items()}
    save_file(state, tmp_path / "identitynet.safetensors")
    return tmp_path / "identitynet.safetensors", state


def test_training_starts_from_identity_net_on_the_enlarged_face(data, tmp_path, identity_net):
    path, state = identity_net
    run = training(data, tmp_path / "run", start_from=f"instantid:{path}", y_mode="prompt")
    identity = branch_network(run.base, 3)
    identity.load_state_dict(state)
    x, tokens = torch.randn(1, 12, CELLS, CELLS), torch.randn(1, 5, 192)
    t, y = torch.tensor([300.0]), torch.randn(1, run.base.unet_config["adm_in_channels"])
    box = FaceBox(0.25, 0.25, 0.5, 0.5)
    with torch.no_grad():
        hint = torch.zeros(1, 3, 64, 64)
        for network in (identity, run.trainee.local):
            torch.nn.init.zeros_(network.input_hint_block[-1].weight)
            torch.nn.init.zeros_(network.input_hint_block[-1].bias)
        run.trainee.projector.forward = lambda features: tokens
        given = run.trainee(x, t, [box], hint, torch.zeros(1, 5, 160), y)
        face = x[..., 4:12, 4:12]  # an eight of the local grid's cells: enlarged by one
        expected = identity(x=face, hint=hint, timesteps=t, context=tokens, y=y)
    for place in ("output", "middle"):
        for found, features in zip(given[place], expected[place], strict=True):
            side = found.shape[-1]
            placed = relocate(features, [box], side, side)
            torch.testing.assert_close(found, placed, atol=1e-4, rtol=1e-4)


def test_a_checkpoint_says_whose_terms_it_carries(data, tmp_path, identity_net):
    path, _ = identity_net
    training(data, tmp_path / "first", start_from=f"instantid:{path}", steps=1).run()
    second = training(data, tmp_path / "second", start_from=tmp_path / "first" / CHECKPOINT, steps=1)
    assert InstantIDConfig.terms in second.config.terms
    assert InstantIDConfig.terms in load_checkpoint(tmp_path / "first" / CHECKPOINT).describe()


def test_a_file_that_is_no_identity_net_is_refused_by_name(data, tmp_path, identity_net):
    path, state = identity_net
    name = next(key for key in state if key.endswith("attn2.to_k.weight"))
    save_file(state | {name: torch.zeros(4, 4)}, path)
    with pytest.raises(
        ValueError, match=rf"identitynet.safetensors does not fit the base's UNet: it\.{name} has shape"
    ):
        training(data, tmp_path / "run", start_from=f"instantid:{path}")
    save_file({"up": torch.zeros(2, 2)}, path)
    with pytest.raises(ValueError, match="this is not a ControlNet"):
        training(data, tmp_path / "run", start_from=f"instantid:{path}")
