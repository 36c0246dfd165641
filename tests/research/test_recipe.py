"""The miniature's recipe: what is exported computes what was trained, and a resumed training is the straight one."""

import json

import numpy as np
import pytest
import torch

from realisid_core.miniature import initial, loading, networks
from realisid_core.training.ema import averaged_model
from research.recipe import base, encoder, export, run, vae
from research.world import identity_vector, sample_identity

CAPTION = "a person wearing a red sweater, with a blue background"


def settled(module, seed=0):
    module.load_state_dict(initial.seeded(module, seed), strict=False)
    return module.eval()


def test_a_folded_autoencoder_has_the_same_latents_standardised_and_the_same_pictures():
    model = settled(initial.vae_module())
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        latents = model.encode(images)
        pictures = model.decode(latents)
        model.load_state_dict(export.folded(model.state_dict(), latents))
        standard = model.encode(images)
        mean = latents.mean(dim=(0, 2, 3), keepdim=True)
        torch.testing.assert_close(standard, (latents - mean) / (latents - mean).std(), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(model.decode(standard), pictures, atol=1e-4, rtol=1e-4)


def test_training_the_decoder_alone_keeps_the_latents_of_the_exported_encoder():
    model = settled(initial.vae_module())
    average = averaged_model(model, 0.9)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        exported = model.encode(image)
        for parameter in model.parameters():
            parameter.add_(0.1)
    vae.freeze_encoder(model, average)
    model.decode(model.encode(image)).sum().backward()
    assert torch.equal(model.encode(image), exported)
    learning = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learning == {"decoder", "post_quant_conv"}


def test_draws_of_noise_levels_cover_the_schedule_and_prefer_its_middle():
    drawn = base.draw_timesteps(20000, 1000, torch.Generator().manual_seed(0))
    assert drawn.min() < 5 and drawn.max() > 994
    middle = ((drawn >= 250) & (drawn < 750)).float().mean()
    assert 0.55 < middle < 0.7  # uniform draws would give a half


@pytest.fixture
def scenes():
    """Four pictures of two heads each with their latents, which say in two channels where each cell is."""
    notes = [{"caption": CAPTION, "boxes": [[10, 40, 70, 100], [150, 30, 200, 80]]}] * 4
    where = np.stack(np.meshgrid(np.arange(32), np.arange(32), indexing="ij"))
    latents = np.broadcast_to(where, (4, 2, 32, 32)).astype(np.float16)
    return base.Scenes(torch.from_numpy(latents), notes, base.Vocabulary())


def test_windows_of_the_base_say_where_they_are_and_hold_a_head(scenes):
    seen = scenes.batch(8, windows=True, random=torch.Generator().manual_seed(0))
    assert seen.clean.shape == (32, 2, 16, 16) and seen.weights.shape == (32, 16, 16)
    assert torch.equal(seen.clean[:, :, 0, 0] * 8, seen.sizes[:, 2:4])
    assert torch.equal(seen.sizes[:, [0, 1, 4, 5]], torch.tensor([[256.0, 256, 128, 128]]).expand(32, 4))
    assert (seen.weights > 1).flatten(1).any(dim=1).all() and len(seen.sizes.unique(dim=0)) > 6


def test_whole_pictures_of_the_base_are_whole(scenes):
    seen = scenes.batch(8, windows=False, random=torch.Generator().manual_seed(0))
    assert torch.equal(seen.clean, scenes.latents[:1].float().expand(8, -1, -1, -1))
    assert torch.equal(seen.sizes, torch.tensor([[256.0, 256, 0, 0, 256, 256]]).expand(8, 6))


def test_the_exported_base_computes_in_the_host_what_was_trained(tmp_path):
    vocabulary = base.Vocabulary()
    trained = base.Base(vocabulary, seed=0)
    with torch.no_grad():  # the last layers start at zero, which would hide everything before them
        for parameter in trained.unet.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    state = run.Run(tmp_path / "base", {"model": trained, "average": averaged_model(trained, 0.9)})
    state.save()
    (tmp_path / "base" / "vocabulary.json").write_text(json.dumps(vocabulary.tokens))
    export.export(tmp_path, tmp_path / "weights")
    loaded = loading.load_miniature(tmp_path / "weights")
    assert "unet" not in loaded.untrained and "text_encoder" not in loaded.untrained

    cells = 16
    noisy, timesteps = torch.randn(1, networks.FIRST.latent_channels, cells, cells), torch.tensor([500.0])
    sizes = torch.tensor([[256.0, 256, 0, 0, 256, 256]])
    with torch.no_grad():
        expected = trained.half().float()(noisy, timesteps, torch.tensor([vocabulary.rows(CAPTION)]), sizes)
        context, pooled = loaded.clip.encode_from_tokens(loaded.clip.tokenize(CAPTION), return_pooled=True)
        model = loaded.model.model
        y = model.encode_adm(pooled_output=pooled.float(), width=256, height=256)
        found = model.diffusion_model.float()(noisy, timesteps, context=context.float(), y=y)
    assert expected.abs().mean() > 0.1
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=2e-2)


def test_a_word_outside_the_vocabulary_is_one_and_the_same_unknown_word():
    vocabulary = base.Vocabulary()
    assert vocabulary.rows("zebra")[:3] == vocabulary.rows("violin")[:3]
    assert vocabulary.rows("red")[:3] != vocabulary.rows("blue")[:3]


def test_the_noise_schedule_of_training_is_the_samplers():
    sigmas = loading.load_miniature().model.get_model_object("model_sampling").sigmas
    alphas = base.cumulative_alphas()
    torch.testing.assert_close(((1 - alphas) / alphas).sqrt(), sigmas)


@pytest.fixture
def crops(tmp_path):
    """Eight crops, as `data` leaves them."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "crops"
    folder.mkdir()
    np.save(folder / "00000.npy", rng.integers(0, 256, (8, 128, 128, 3), dtype=np.uint8))
    notes = [identity_vector(sample_identity(seed)).tolist() for seed in range(8)]
    (folder / "00000.json").write_text(json.dumps(notes))
    return folder


def test_a_log_gets_the_columns_of_losses_that_come_later(tmp_path):
    training = run.Run(tmp_path, {})
    for step in training.steps(100, save_minutes=9):
        training.note(**{"loss": torch.tensor(1.0)} | ({"windows": torch.tensor(2.0)} if step >= 50 else {}))
    rows = [line.split(",")[:4] for line in (tmp_path / "losses.csv").read_text().splitlines()]
    assert [row[:2] for row in rows] == [["step", "loss"], ["50", "1.00000"], ["100", "1.00000"]]
    assert [row[3] for row in rows] == ["windows", "", "2.00000"]


def test_an_interrupted_training_goes_on_exactly_where_it_was(crops, tmp_path, monkeypatch):
    plan = run.Plan(steps=4, batch=2, seed=5, rate=1e-3, save_minutes=0, precision="no")
    encoder.train(crops, tmp_path / "straight", plan)

    step = encoder.take_step
    taken = []

    def interrupted(*arguments):
        taken.append(arguments)
        if len(taken) == 3:
            raise KeyboardInterrupt
        step(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(encoder, "take_step", interrupted)
        encoder.train(crops, tmp_path / "resumed", plan)
    encoder.train(crops, tmp_path / "resumed", plan)

    straight, resumed = (torch.load(tmp_path / name / "state.pt") for name in ("straight", "resumed"))
    assert straight["step"] == resumed["step"] == 4
    assert all(torch.equal(straight["model"][name], value) for name, value in resumed["model"].items())
    assert all(torch.equal(straight["average"][name], value) for name, value in resumed["average"].items())


def test_averages_of_earlier_states_are_read():
    model = torch.nn.Linear(2, 3)
    average = averaged_model(model, 0.9)
    shadow = [torch.full_like(parameter, 2.0) for parameter in model.parameters()]
    run.load_part(average, {"steps": 7, "shadow": shadow})
    assert int(average.n_averaged) == 7 and all(map(torch.equal, average.module.parameters(), shadow))
