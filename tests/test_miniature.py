"""The miniature's parts are ordinary MODEL, CLIP, VAE, CLIP_VISION and branches: the host's own nodes run on them."""

import comfy.controlnet
import comfy.model_base
import comfy.model_patcher
import pytest
import torch
from comfy.model_patcher import ModelPatcher
from safetensors.torch import save_file

import nodes as host_nodes
from realisid_core import checkpoint
from realisid_core.miniature import initial, loading, networks

UNTRAINED = "no folder of this name"


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    return loading.load_miniature(tmp_path_factory.mktemp(UNTRAINED))


def prompt(miniature, text):
    return host_nodes.CLIPTextEncode().encode(miniature.clip, text)[0]


def sample(miniature, latent, positive="a person", negative="", seed=0):
    (out,) = host_nodes.KSampler().sample(
        miniature.model,
        seed,
        2,
        4.0,
        "euler",
        "normal",
        prompt(miniature, positive),
        prompt(miniature, negative),
        latent,
    )
    return out["samples"]


def test_the_unet_is_the_hosts_sdxl_and_predicts_v(miniature):
    assert isinstance(miniature.model.model, comfy.model_base.SDXL)
    assert miniature.model.model.model_type == comfy.model_base.ModelType.V_PREDICTION


def test_vae_nodes_round_trip_shapes_for_batches_and_odd_aspect_ratios(miniature):
    pixels = torch.rand(2, 64, 128, 3)
    (latent,) = host_nodes.VAEEncode().encode(miniature.vae, pixels)
    assert latent["samples"].shape == (2, networks.FIRST.latent_channels, 8, 16)
    (image,) = host_nodes.VAEDecode().decode(miniature.vae, latent)
    assert image.shape == pixels.shape
    assert image.min() >= 0 and image.max() <= 1


def test_the_tiled_vae_nodes_work_with_its_latent_channels(miniature):
    pixels = torch.rand(1, 128, 128, 3)
    with torch.inference_mode():  # as the host's executor runs every node
        (latent,) = host_nodes.VAEEncodeTiled().encode(miniature.vae, pixels, tile_size=64, overlap=16)
    assert latent["samples"].shape == (1, networks.FIRST.latent_channels, 16, 16)


def test_a_prompt_becomes_context_and_pooled_output(miniature):
    ((context, extras),) = prompt(miniature, "a man in a red shirt")
    assert context.shape == (1, 77, networks.CONTEXT_DIM)
    assert extras["pooled_output"].shape == (1, networks.CONTEXT_DIM)


def test_prompt_weights_move_the_weighted_word_only_from_there_on(miniature):
    ((plain, _),) = prompt(miniature, "a man in a red shirt")
    ((weighted, _),) = prompt(miniature, "a man in a (red:1.5) shirt")
    changed = (plain - weighted).abs().amax(-1)[0] > 0
    assert changed.nonzero().flatten().tolist() == [5]


def test_clip_vision_encode_gives_the_penultimate_tokens(miniature):
    (output,) = host_nodes.CLIPVisionEncode().encode(miniature.clip_vision, torch.rand(2, 200, 160, 3), "center")
    assert output["penultimate_hidden_states"].shape == (
        2,
        networks.IMAGE_TOKENS,
        networks.FIRST.image_encoder_config()["hidden_size"],
    )


def test_ksampler_takes_ordinary_empty_latents_and_answers_to_seed_and_prompt(miniature):
    (empty,) = host_nodes.EmptyLatentImage().generate(256, 128, 2)
    first = sample(miniature, empty)
    assert first.shape == (2, networks.FIRST.latent_channels, 16, 32)
    assert torch.isfinite(first).all()
    assert torch.equal(first, sample(miniature, empty))
    assert not torch.equal(first, sample(miniature, empty, seed=1))
    assert not torch.equal(first, sample(miniature, empty, positive="two people"))


@pytest.mark.parametrize("hint_channels", [1, 3])
def test_the_hosts_loader_builds_a_branch_that_fits_the_unet(hint_channels):
    state = initial.seeded(initial.branch_module(hint_channels), 0)
    network = comfy.controlnet.load_controlnet_state_dict(dict(state)).control_model
    assert {name: value.shape for name, value in network.state_dict().items()} == {
        name: value.shape for name, value in state.items()
    }
    cells = 16
    with torch.no_grad():
        out = network(
            x=torch.randn(2, networks.FIRST.latent_channels, cells, cells),
            hint=torch.rand(2, hint_channels, 8 * cells, 8 * cells),
            timesteps=torch.tensor([10.0, 900.0]),
            context=torch.randn(2, networks.IMAGE_TOKENS, networks.CONTEXT_DIM),
            y=torch.randn(2, networks.ADM_CHANNELS),
        )
    assert [tuple(value.shape[1:]) for value in out["middle"]] == [(128, 4, 4)]
    assert len(out["output"]) == len(initial.unet_module().input_blocks)


def test_a_branch_carries_the_unets_encoder_and_middle_under_the_same_names():
    unet = initial.unet_module().state_dict()
    branch = initial.branch_module(3).state_dict()
    shared = [name for name in unet if not name.startswith(("output_blocks", "out."))]
    assert all(branch[name].shape == unet[name].shape for name in shared)
    own = {name.split(".")[0] for name in branch if name not in unet}
    assert own == {"zero_convs", "input_hint_block", "middle_block_out"}


def test_an_untrained_branch_still_does_something(miniature):
    for control in (miniature.realisid.parts[branch] for branch in ("local", "global")):
        assert all(weights[0].weight.abs().max() > 0 for weights in control.control_model.zero_convs)


def test_the_seed_decides_every_weight():
    for part in loading.PARTS:
        first, again, other = (initial.weights(part, seed) for seed in (7, 7, 8))
        assert first.keys() == again.keys()
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert any(not torch.equal(first[name], other[name]) for name in first)


def test_untrained_parts_are_named(miniature):
    assert miniature.untrained == loading.PARTS
    assert "random weights" in miniature.describe() and "vae" in miniature.describe()


def test_saved_weights_are_what_is_loaded(tmp_path):
    for part in ("unet", "vae", "image_encoder", "text_encoder"):
        save_file(initial.weights(part, 3), tmp_path / f"{part}.safetensors")
    realisid = {name: value.contiguous() for name, value in initial.weights("realisid", 3).items()}
    split = {
        part: {name.removeprefix(f"{part}."): value for name, value in realisid.items() if name.startswith(f"{part}.")}
        for part in ("local", "global", "id_projector")
    }
    checkpoint.save_checkpoint(tmp_path / "realisid.safetensors", loading.realisid_config(networks.FIRST), split)

    loaded = loading.load_miniature(tmp_path)
    assert loaded.untrained == ()
    for module, part in (
        (loaded.model.model.diffusion_model, "unet"),
        (loaded.vae.first_stage_model, "vae"),
        (loaded.clip_vision.model, "image_encoder"),
        (loaded.clip.cond_stage_model, "text_encoder"),
    ):
        state = module.state_dict()
        saved = initial.weights(part, 3)
        assert all(torch.equal(state[name], value.to(state[name].dtype)) for name, value in saved.items())
    assert loaded.realisid.config == loading.realisid_config(networks.FIRST)


def test_a_trained_vocabulary_gives_its_words_their_rows_and_every_other_token_the_last_one():
    rows = torch.randn(4, networks.CONTEXT_DIM)
    state = {f"{loading.TOKEN_EMBEDDING}.rows": rows, f"{loading.TOKEN_EMBEDDING}.tokens": torch.tensor([5, 9, 7])}
    table = loading.expand_vocabulary(state)[f"{loading.TOKEN_EMBEDDING}.weight"]
    assert table.shape == (networks.VOCABULARY_SIZE, networks.CONTEXT_DIM)
    assert torch.equal(table[[5, 9, 7]], rows[:3])
    assert torch.equal(table[[0, 6, 49407]], rows[3:].repeat(3, 1))


def test_weights_of_another_network_are_refused_by_name(tmp_path):
    state = initial.weights("unet", 0)
    state["foreign.weight"] = state.pop("out.2.weight")
    save_file(state, tmp_path / "unet.safetensors")
    with pytest.raises(ValueError, match=r"UNet: out\.2\.weight is missing"):
        loading.load_miniature(tmp_path)


def test_the_whole_bundle_fits_sixty_megabytes_in_float16():
    words = 400  # rows of the token embedding that a trained file keeps
    parameters = sum(
        value.numel() if not name.startswith(loading.TOKEN_EMBEDDING) else words * networks.CONTEXT_DIM
        for part in loading.PARTS
        for name, value in initial.weights(part, 0).items()
    )
    assert 2 * parameters < 60e6


class DynamicPatcher(ModelPatcher):
    """Stands for the kind that a newer host chooses at start-up."""


def test_models_are_wrapped_as_the_host_wraps_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(comfy.model_patcher, "CoreModelPatcher", DynamicPatcher, raising=False)
    loaded = loading.load_miniature(tmp_path)
    projector = loaded.realisid.part("id_projector", ModelPatcher)
    assert {type(patcher) for patcher in (loaded.model, projector)} == {DynamicPatcher}
    assert type(loading.load_unet(tmp_path, disable_dynamic=True)) is ModelPatcher


def test_a_host_that_needs_a_second_copy_of_the_unet_can_make_one(miniature):
    if not hasattr(miniature.model, "cached_patcher_init"):
        pytest.skip("This ComfyUI makes no copies.")
    copy = miniature.model.clone(force_deepcopy=True)
    assert copy.model is not miniature.model.model
    theirs = copy.model.diffusion_model.state_dict()
    assert all(torch.equal(value, theirs[k]) for k, value in miniature.model.model.diffusion_model.state_dict().items())
