"""With what users already have: samplers, schedulers, other patches, masks, areas, inpainting, other model types."""

from dataclasses import replace

import comfy.samplers
import pytest
import torch
from comfy_extras.nodes_easycache import EasyCacheNode
from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete, RescaleCFG
from comfy_extras.nodes_pag import PerturbedAttentionGuidance
from pictures import (
    FRAME,
    LATENT,
    LEFT,
    RIGHT,
    apply,
    close,
    miniature,
    passes_counted,
    person,
    prompt,
    rows_of,
    sample,
)

import nodes as host_nodes
from realisid_core.geometry import LATENT_CELL
from realisid_core.sampling.guidance import IdentityGuidance
from realisid_core.sampling.rows import IdentityMode, with_identity


def applied(positive, negative, *persons):
    realisid = miniature().realisid
    return apply("local", *apply("global", positive, negative, realisid, persons), realisid, persons)


@pytest.fixture(scope="module")
def conds():
    return applied(prompt("a person wearing a red sweater"), prompt(""), person(1, LEFT), person(2, RIGHT))


def guided():
    return IdentityGuidance(5.0).patch(miniature().model)


@pytest.mark.parametrize("sampler", ["ddim", "euler_ancestral", "heun", "dpmpp_2m", "dpmpp_sde", "uni_pc", "lcm"])
def test_any_sampler_runs(conds, sampler):
    assert torch.isfinite(sample(*conds, guided(), sampler=sampler, steps=3)).all()


@pytest.mark.parametrize("scheduler", comfy.samplers.SCHEDULER_NAMES)
def test_any_scheduler_runs(conds, scheduler):
    assert torch.isfinite(sample(*conds, guided(), scheduler=scheduler, steps=3)).all()


@pytest.mark.parametrize("kind", ["eps", "v_prediction", "lcm", "x0"])
def test_equation_8_holds_whatever_the_model_predicts(conds, kind):
    (model,) = ModelSamplingDiscrete().patch(miniature().model, kind, False)
    positive, negative = conds
    sigmas = torch.tensor([3.0, 0.0])

    def alone(conditioning, identity):
        conditioning = [[tokens, with_identity(options, identity)] for tokens, options in conditioning]
        return sample(conditioning, negative, model, 1.0, sigmas=sigmas)

    eps_ti, eps_t, eps_none = (
        alone(positive, IdentityMode.GIVEN),
        alone(positive, IdentityMode.NULL),
        alone(negative, IdentityMode.NULL),
    )
    ours = sample(*conds, IdentityGuidance(5.0).patch(model), 7.5, sigmas=sigmas)
    assert close(ours, eps_none + 7.5 * (eps_t - eps_none) + 5.0 * (eps_ti - eps_t), 3e-4)


def test_rescale_cfg_works_on_the_identified_prediction(conds):
    (rescaled,) = RescaleCFG().patch(guided(), 0.7)
    assert not close(sample(*conds, rescaled), sample(*conds, guided()), 1e-3)


def test_perturbed_attention_guidance_works_beside(conds):
    (perturbed,) = PerturbedAttentionGuidance.execute(guided(), 3.0).result
    assert not close(sample(*conds, perturbed), sample(*conds, guided()), 1e-3)


def test_a_lora_on_the_model_is_kept(conds):
    before = sample(*conds, guided())
    key = "diffusion_model.middle_block.1.proj_in.weight"
    patched = guided().clone()
    weight = dict(patched.model.named_parameters())[key]
    patched.add_patches({key: ("diff", (torch.randn_like(weight),))})
    assert not close(sample(*conds, patched), before, 1e-3)
    assert close(sample(*conds, guided()), before, 0)


def regional(text, mask):
    (conditioning,) = host_nodes.ConditioningSetMask().append(prompt(text), mask, "default", 1.0)
    return conditioning


def halves():
    left = torch.zeros(1, *FRAME)
    left[..., : FRAME[0] // 2] = 1
    return left, 1 - left


def test_a_regional_prompt_for_each_person_shares_one_run_of_the_branches(conds, monkeypatch):
    """The prompts differ, the branches do not depend on them: one identity row and one null row are computed."""
    left, right = halves()
    positive = regional("a person wearing a red sweater", left) + regional("a person wearing a black suit", right)
    both = applied(positive, prompt(""), person(1, LEFT), person(2, RIGHT))
    rows = rows_of("global", monkeypatch)
    picture = sample(*both, guided(), steps=1, sigmas=torch.tensor([3.0, 0.0]))
    assert rows == [4]  # two persons with and without identity
    assert not close(picture, sample(*conds, guided(), steps=1, sigmas=torch.tensor([3.0, 0.0])), 1e-3)


@pytest.mark.parametrize("cells", [LATENT, LATENT * 3 // 2], ids=["as drawn", "enlarged"])
def test_a_person_in_an_area_is_where_the_frame_has_them(cells):
    """A conditioning cut to the right half sees the box there, as a picture of that half alone would."""
    side = cells * LATENT_CELL
    sizes = {"width": side, "height": side}  # SDXL's size conditioning, which would tell the two apart
    prompted = [[tokens, {**options, **sizes}] for tokens, options in prompt("a person")]
    (there,) = host_nodes.ConditioningSetAreaPercentage().append(prompted, 0.5, 1.0, 0.5, 0, 1.0)
    someone = person(1, RIGHT)
    alone = replace(someone, box=RIGHT.seen_from((0, cells // 2, cells, cells // 2), cells, cells), frame=(64, 128))

    model = IdentityGuidance(1.0).patch(miniature().model)
    noise = torch.randn(1, 12, cells, cells)

    def run(positive, who, noise):
        conds = apply("global", positive, prompt(""), miniature().realisid, [who], any_size=True)
        sampler, sigmas = comfy.samplers.sampler_object("euler"), torch.tensor([3.0, 0.0])
        latent = torch.zeros_like(noise)
        return comfy.samplers.sample(model, noise, *conds, 1.0, model.load_device, sampler, sigmas, latent_image=latent)

    right_half = run(there, someone, noise)[..., cells // 2 :]
    assert close(right_half, run(prompted, alone, noise[..., cells // 2 :]))


@pytest.mark.parametrize("cells", [LATENT * 2, LATENT // 2])
def test_an_area_of_another_size_than_drawn_is_refused_where_nothing_tells_it(cells):
    (there,) = host_nodes.ConditioningSetAreaPercentage().append(prompt("a person"), 0.5, 1.0, 0.5, 0, 1.0)
    conds = apply("global", there, prompt(""), miniature().realisid, [person(1, RIGHT)])
    with pytest.raises(ValueError, match=r"not of the 256×256 pixels.*Identity Guidance"):
        sample(*conds, size=(cells, cells))


def test_a_cache_of_the_host_keeps_the_text_only_rows_apart(conds):
    """EasyCache skips steps here, and adds to each row what it last changed by; at λ_i = 0 no identity is left."""

    def cached(model):
        (model,) = EasyCacheNode.execute(model, reuse_threshold=1e9, start_percent=0.0, end_percent=1.0, verbose=False)
        return model

    positive, negative = conds
    without = [[tokens, with_identity(options, IdentityMode.NULL)] for tokens, options in positive]
    guided_without = sample(*conds, cached(IdentityGuidance(0.0).patch(miniature().model)), steps=6)
    assert close(guided_without, sample(without, negative, cached(miniature().model), steps=6))


def test_inpainting_leaves_what_is_outside_the_mask(conds):
    latent = torch.randn(1, 12, LATENT, LATENT)
    mask = torch.zeros(1, 1, LATENT, LATENT)
    mask[..., 8:20, 8:20] = 1
    picture = sample(*conds, guided(), latent=latent, noise_mask=mask, steps=3)
    assert close(picture * (1 - mask), latent * (1 - mask))
    assert not close(picture * mask, latent * mask, 1e-2)


def test_image_to_image_starts_from_the_picture(conds):
    latent = torch.randn(1, 12, LATENT, LATENT)
    weak, strong = (sample(*conds, guided(), latent=latent, denoise=d, steps=4) for d in (0.2, 1.0))
    assert (weak - latent).abs().mean() < (strong - latent).abs().mean()


def test_a_timestep_range_ends_the_branch_where_it_ends_the_prompt():
    """A prompt for the later steps: before it, nothing of ours runs, and no row is for a text-only prediction."""
    (late,) = host_nodes.ConditioningSetTimestepRange().set_range(prompt("a person"), 0.4, 1.0)
    (early,) = host_nodes.ConditioningSetTimestepRange().set_range(prompt("a person"), 0.0, 0.4)
    positive, negative = applied(late, prompt(""), person(1, LEFT))
    with passes_counted(guided()) as (model, rows):
        assert torch.isfinite(sample(early + positive, negative, model, steps=4, scheduler="sgm_uniform")).all()
    assert rows == [1, 1, 1, 1, 3, 3]  # the host batches no row that has a ControlNet with one that has none


def test_a_model_that_is_not_sdxl_is_refused_by_its_type(conds, monkeypatch):
    import comfy.model_base

    class SD15(comfy.model_base.BaseModel):
        pass

    model = miniature().model
    monkeypatch.setattr(model.model, "__class__", SD15)
    with pytest.raises(ValueError, match="needs SDXL or a fine-tune of it, but the model is of type SD15"):
        sample(*conds, model)
