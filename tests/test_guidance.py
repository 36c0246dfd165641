"""Eq. 8 against three separate runs combined by hand, and what each setting costs in UNet passes."""

import comfy.sample
import comfy.samplers
import pytest
import torch
from comfy.controlnet import ControlBase
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_custom_sampler import DualCFGGuider
from pictures import close, miniature, passes_counted, prompt, rows_of, sample

from nodes import ConditioningSetAreaPercentage
from realisid_core.geometry import FaceBox
from realisid_core.sampling.guidance import IdentityGuidance, guided_conditional, needs_text_only
from realisid_core.sampling.rows import IdentityMode, with_identity

BOX = FaceBox(0.2, 0.25, 0.4, 0.4)
SIGMA = 3.0


def one_step(positive, negative, cfg, model=None, **options):
    """x0 of one Euler step from a fixed noise level to zero: the guided prediction itself."""
    return sample(positive, negative, model, cfg, sigmas=torch.tensor([SIGMA, 0.0]), **options)


def as_identity(conditioning, identity):
    return [[tokens, with_identity(options, identity)] for tokens, options in conditioning]


def by_hand(positive, negative, lambda_t, lambda_i, without):
    """Eq. 8 from three separate runs, each a single conditional prediction."""
    eps_ti = one_step(as_identity(positive, IdentityMode.GIVEN), negative, 1.0)
    eps_t = one_step(as_identity(positive, without), negative, 1.0)
    eps_none = one_step(as_identity(negative, without), negative, 1.0)
    return eps_none + lambda_t * (eps_t - eps_none) + lambda_i * (eps_ti - eps_t)


@pytest.mark.parametrize(
    ("lambda_t", "lambda_i"), [(7.5, 5.0), (3.0, 8.0), (5.0, 5.0), (2.0, 0.0), (1.0, 5.0), (1.0, 1.0), (-2.0, 3.0)]
)
def test_the_hosts_line_makes_equation_8_of_the_guided_conditional(lambda_t, lambda_i):
    """Against the paper's own form, with random predictions; the host's line is its `cfg_function`."""
    eps_none, eps_t, eps_ti = torch.randn(3, 2, 4, 8, 8, dtype=torch.float64)
    conditional = guided_conditional(eps_t, eps_ti, lambda_t, lambda_i)
    ours = comfy.samplers.cfg_function(None, conditional, eps_none, lambda_t, eps_t, torch.ones(1))
    assert torch.allclose(ours, eps_none + lambda_t * (eps_t - eps_none) + lambda_i * (eps_ti - eps_t), atol=1e-12)


def test_equal_weights_leave_the_text_only_prediction_out():
    eps_t, eps_ti = torch.randn(2, 1, 4, 8, 8, dtype=torch.float64)
    assert torch.allclose(guided_conditional(eps_t, eps_ti, 5.0, 5.0), eps_ti)
    assert not needs_text_only(5.0, 5.0)
    assert needs_text_only(5.0, 5.1)


def test_without_a_negative_only_the_identity_is_weighed():
    """cfg 1: `ε_t + λ_i (ε_t&i − ε_t)`."""
    eps_t, eps_ti = torch.randn(2, 1, 4, 8, 8, dtype=torch.float64)
    assert torch.allclose(guided_conditional(eps_t, eps_ti, 1.0, 5.0), eps_t + 5.0 * (eps_ti - eps_t))


@pytest.mark.parametrize("without", [IdentityMode.NULL, IdentityMode.OFF])
@pytest.mark.parametrize(
    ("lambda_t", "lambda_i"), [(7.5, 5.0), (3.0, 8.0), (5.0, 5.0), (2.0, 0.0), (1.0, 5.0), (1.0, 1.0)]
)
def test_equation_8_is_three_runs_combined_by_hand(applied, lambda_t, lambda_i, without):
    guided = one_step(*applied, lambda_t, IdentityGuidance(lambda_i, without).patch(miniature().model))
    assert close(guided, by_hand(*applied, lambda_t, lambda_i, without))


def test_without_the_node_identity_and_text_share_one_weight(applied):
    """Plain guidance gives the negative the null identity, which is Eq. 8 with λ_i = λ_t."""
    assert close(one_step(*applied, 4.0), by_hand(*applied, 4.0, 4.0, IdentityMode.NULL))


@pytest.mark.parametrize(
    ("guidance", "cfg", "rows_a_step"),
    [
        (IdentityGuidance(5.0), 7.5, 3),
        (IdentityGuidance(7.5), 7.5, 2),
        (IdentityGuidance(7.5, IdentityMode.OFF), 7.5, 2),
        (IdentityGuidance(5.0, IdentityMode.OFF), 7.5, 3),
        (IdentityGuidance(5.0), 1.0, 2),
        (IdentityGuidance(1.0), 1.0, 1),
        (IdentityGuidance(5.0, identity_start=1.0), 7.5, 2),
    ],
    ids=["three", "λ_t = λ_i", "λ_t = λ_i, off", "three, off", "cfg 1", "cfg 1, λ_i 1", "identity withheld"],
)
def test_the_unet_runs_no_row_in_vain(applied, guidance, cfg, rows_a_step):
    with passes_counted(guidance.patch(miniature().model)) as (model, rows):
        sample(*applied, model, cfg, steps=2)
    assert sum(rows) == 2 * rows_a_step


def test_all_rows_go_to_the_unet_in_one_batch(applied):
    with passes_counted(IdentityGuidance(5.0).patch(miniature().model)) as (model, rows):
        sample(*applied, model, steps=2, batch=2)
    assert rows == [6, 6]


def branch_rows(applied, model, monkeypatch):
    """The batch of each call of the two networks."""
    seen = {branch: rows_of(branch, monkeypatch) for branch in ("local", "global")}
    one_step(*applied, 7.5, model)
    return seen


def test_rows_that_share_a_result_are_computed_once(applied, monkeypatch):
    """ε_∅ and ε_t both want the null identity of the same latent."""
    model = IdentityGuidance(5.0).patch(miniature().model)
    assert branch_rows(applied, model, monkeypatch) == {"local": [2], "global": [2]}


def test_rows_without_identity_are_skipped_when_off(applied, monkeypatch):
    model = IdentityGuidance(5.0, IdentityMode.OFF).patch(miniature().model)
    assert branch_rows(applied, model, monkeypatch) == {"local": [1], "global": [1]}


def test_withheld_identity_is_the_null_identity_until_the_start(applied):
    plain = miniature().model
    start = 0.5
    boundary = float(plain.get_model_object("model_sampling").percent_to_sigma(start))
    delayed = IdentityGuidance(5.0, identity_start=start).patch(plain)
    for factor, lambda_i in ((1.01, 0.0), (0.99, 5.0)):
        sigmas = torch.tensor([boundary * factor, 0.0])
        ours = sample(*applied, delayed, 7.5, sigmas=sigmas)
        assert close(ours, sample(*applied, IdentityGuidance(lambda_i).patch(plain), 7.5, sigmas=sigmas))


def test_a_conditioning_without_a_branch_is_sampled_as_ever():
    conds = prompt("a person"), prompt("")
    assert torch.equal(sample(*conds, IdentityGuidance(5.0).patch(miniature().model)), sample(*conds))


@pytest.mark.parametrize(("style", "weight"), [("regular", 4.0), ("nested", 4.0 * 2.0)])
def test_a_two_prompt_guider_takes_identity_with_its_first_prompt(applied, style, weight):
    """What the guider weighs its first prompt with is what text guidance is there."""
    other = prompt("a person outdoors with a beach in the background")
    model = miniature().model
    noise, latent = torch.randn(1, 12, 32, 32), torch.zeros(1, 12, 32, 32)

    def run(patched, positive):
        (guider,) = DualCFGGuider.execute(patched, positive, other, applied[1], 4.0, 2.0, style).result
        return guider.sample(noise, latent, comfy.samplers.sampler_object("euler"), torch.tensor([SIGMA, 0.0]))

    guided = run(IdentityGuidance(5.0).patch(model), applied[0])
    eps_ti, eps_t = (run(model, as_identity(applied[0], i)) for i in (IdentityMode.GIVEN, IdentityMode.NULL))
    assert close(guided, eps_t + 5.0 / weight * (eps_ti - eps_t))


class WithoutNegative(comfy.samplers.CFGGuider):
    """Like guiders that leave text guidance out for a part of the steps, whatever their cfg is."""

    def predict_noise(self, x, timestep, model_options=None, seed=None):
        positive = self.conds["positive"]
        return comfy.samplers.sampling_function(
            self.inner_model, x, timestep, None, positive, 1.0, model_options=model_options, seed=seed
        )


def guided_by(guider_class, cfg, applied):
    guider = guider_class(IdentityGuidance(5.0).patch(miniature().model))
    guider.set_conds(*applied)
    guider.set_cfg(cfg)
    noise = comfy.sample.prepare_noise(latent := torch.zeros(1, 12, 32, 32), 1)
    return guider.sample(noise, latent, comfy.samplers.sampler_object("euler"), torch.tensor([SIGMA, 0.0]), seed=1)


def test_a_guider_that_leaves_the_negative_out_guides_like_cfg_1(applied):
    plain = one_step(*applied, 1.0, IdentityGuidance(5.0).patch(miniature().model))
    assert close(guided_by(WithoutNegative, 6.0, applied), plain)


def test_a_cfg_that_is_no_number_is_refused_by_the_guiders_name(applied):
    with pytest.raises(ValueError, match="one number for the sampler's cfg; WithoutNegative has a list"):
        guided_by(WithoutNegative, [6.0, 1.0], applied)


def test_cfg_zero_is_refused(applied):
    with pytest.raises(ValueError, match="cfg is 0"):
        one_step(*applied, 0.0, IdentityGuidance(5.0).patch(miniature().model))


def test_cfg_zero_is_the_samplers_own_affair_where_nobody_is_shown():
    conds = prompt("a person"), prompt("")
    guided = one_step(*conds, 0.0, IdentityGuidance(5.0).patch(miniature().model))
    assert torch.equal(guided, one_step(*conds, 0.0))


@pytest.fixture
def watched():
    """A guided model, and the number of the prompt that each row is shown to other patches with."""
    seen = []

    def look(executor, *args, **kwargs):
        seen.extend(
            next(o for o in (*args, *kwargs.values()) if isinstance(o, dict) and "sigmas" in o)["cond_or_uncond"]
        )
        return executor(*args, **kwargs)

    model = IdentityGuidance(5.0).patch(miniature().model)
    model.add_wrapper(WrappersMP.DIFFUSION_MODEL, look)
    return model, seen


def test_other_patches_see_the_text_only_row_as_one_of_its_prompt(applied, watched):
    model, seen = watched
    one_step(*applied, 7.5, model)
    assert sorted(seen) == [0, 0, 1]


def test_other_patches_see_each_prompt_of_a_guider_under_its_own_number(applied, watched):
    model, seen = watched
    (guider,) = DualCFGGuider.execute(model, prompt("a beach"), applied[0], applied[1], 4.0, 2.0, "regular").result
    noise, latent = torch.randn(1, 12, 32, 32), torch.zeros(1, 12, 32, 32)
    guider.sample(noise, latent, comfy.samplers.sampler_object("euler"), torch.tensor([SIGMA, 0.0]))
    assert sorted(seen) == [0, 1, 1, 2]  # negative, the second prompt with and without identity, the first


class Watching(ControlBase):
    """A ControlNet of another pack that looks, before or after it asks the rest of its chain, whose rows it has."""

    def __init__(self, seen, early=False):
        super().__init__()
        self.seen, self.early = seen, early

    def get_control(self, x_noisy, t, cond, batched_number, transformer_options):
        numbers = transformer_options["cond_or_uncond"]
        previous = self.previous_controlnet
        control = previous and previous.get_control(x_noisy, t, cond, batched_number, transformer_options)
        self.seen.extend(numbers if self.early else transformer_options["cond_or_uncond"])
        return control


@pytest.mark.parametrize("place", ["behind", "before", "before, and early"])
def test_other_controlnets_see_the_text_only_row_as_one_of_its_prompt(applied, place):
    """Control packs weigh the positive's rows and the negative's apart."""
    seen = []
    watching = Watching(seen, early="early" in place)
    conds = tuple([[tokens, dict(options)] for tokens, options in conditioning] for conditioning in applied)
    ours = conds[0][0][1]["control"]
    if place == "behind":
        ours = ours.copy().set_previous_controlnet(watching)
    else:
        ours = watching.set_previous_controlnet(ours)
    for conditioning in conds:
        conditioning[0][1]["control"] = ours
    one_step(*conds, 7.5, IdentityGuidance(5.0).patch(miniature().model))
    assert sorted(seen) == [0, 0, 1]


def test_a_model_function_wrapper_sees_the_text_only_row_as_one_of_its_prompt(applied):
    seen = []

    def wrapper(apply_model, given):
        seen.append((given["cond_or_uncond"], given["c"]["transformer_options"]["cond_or_uncond"]))
        return apply_model(given["input"], given["timestep"], **given["c"])

    model = miniature().model.clone()
    model.set_model_unet_function_wrapper(wrapper)
    guided = one_step(*applied, 7.5, IdentityGuidance(5.0).patch(model))
    assert [sorted(numbers) for call in seen for numbers in call] == [[0, 0, 1]] * 2
    assert close(guided, one_step(*applied, 7.5, IdentityGuidance(5.0).patch(miniature().model)))


def test_a_negative_that_went_through_no_branch_gets_none(applied):
    """The host copies the positive's ControlNets to a negative without any; here as for an area."""
    (area,) = ConditioningSetAreaPercentage().append(applied[0], 1.0, 1.0, 0.0, 0.0, 1.0)
    raw = [[tokens, {"pooled_output": options["pooled_output"]}] for tokens, options in applied[1]]
    off = as_identity(applied[1], IdentityMode.OFF)
    model = miniature().model
    assert close(one_step(area, raw, 7.5, model), one_step(area, off, 7.5, model))


def test_nothing_stays_patched(applied):
    model = miniature().model
    conds = prompt("a person"), prompt("")
    before = sample(*conds)
    IdentityGuidance(5.0).patch(model)
    sample(*applied, IdentityGuidance(5.0).patch(model))
    assert not model.wrappers.get(WrappersMP.CALC_COND_BATCH)
    assert torch.equal(sample(*conds), before)
