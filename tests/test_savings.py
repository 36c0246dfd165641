"""Savings that change the picture: what they compute, and where they change nothing."""

import torch
from comfy.context_windows import (
    ContextFuseMethods,
    ContextSchedules,
    IndexListContextHandler,
    get_matching_context_schedule,
    get_matching_fuse_method,
)
from comfy.ldm.modules import attention
from pictures import LEFT, RIGHT, apply, close, miniature, passes_counted, person, prompt, rows_of, sample

from realisid_core.attention.masked import token_mask
from realisid_core.geometry import FaceBox
from realisid_core.sampling.guidance import IdentityGuidance


def conds():
    return prompt("a person wearing a red sweater"), prompt("")


def branch(name, persons, **savings):
    return apply(name, *conds(), miniature().realisid, persons, **savings)


def test_a_position_sees_the_tokens_of_the_nearest_face_and_of_both_where_two_are_as_near():
    mask = token_mask([FaceBox(0, 0, 0.4, 0.4), FaceBox(0.6, 0.6, 0.4, 0.4)], 3, 8, 8).view(8, 8, 2, 3)
    assert mask[1, 1].tolist() == mask[0, 6].tolist() == [[True] * 3, [False] * 3]
    assert mask[5, 5].tolist() == mask[7, 1].tolist() == [[False] * 3, [True] * 3]
    assert mask[0, 7].all() and mask[7, 0].all()


def test_one_pass_for_two_copies_of_a_person_is_the_pass_of_that_person():
    """Every token stands twice, so the softmax gives the same averages."""
    someone = person(1, LEFT)
    twice = sample(*branch("global", [someone, someone], one_pass=True))
    assert close(twice, sample(*branch("global", [someone])))


def test_one_pass_shows_two_people_in_a_single_run_of_the_network(monkeypatch):
    people = [person(1, LEFT), person(2, RIGHT)]
    rows = rows_of("global", monkeypatch)
    together = sample(*branch("global", people, one_pass=True), steps=1)
    assert rows == [2]  # a row with identity and one with the null identity
    swapped = sample(*branch("global", people[::-1], one_pass=True), steps=1)
    assert close(together, swapped)
    assert not close(together, sample(*branch("global", people), steps=1), 1e-3)


def test_one_pass_keeps_people_apart_where_the_hosts_attention_ignores_masks(monkeypatch):
    """SageAttention does."""
    conds = branch("global", [person(1, LEFT), person(2, RIGHT)], one_pass=True)
    expected = sample(*conds, steps=1)

    def careless(q, k, v, heads, mask=None, **options):
        return attention.attention_pytorch(q, k, v, heads, **options)

    monkeypatch.setattr(attention, "optimized_attention_masked", attention.wrap_attn(careless))
    assert close(sample(*conds, steps=1), expected)


def test_no_hook_is_left_on_the_network():
    sample(*branch("global", [person(1, LEFT), person(2, RIGHT)], one_pass=True), steps=1)
    assert not any(module._forward_pre_hooks for module in miniature().realisid.parts["global"].control_model.modules())


def test_features_are_computed_at_every_third_noise_level(monkeypatch):
    rows = rows_of("local", monkeypatch)
    reused = sample(*branch("local", [person(1, LEFT)], reuse=3), steps=7)
    assert len(rows) == 3
    assert not close(reused, sample(*branch("local", [person(1, LEFT)]), steps=7), 1e-4)


def test_windows_of_one_noise_level_do_not_share_their_features():
    """The host's context windows are calls of one noise level and shape, for other latents."""
    windows = IndexListContextHandler(
        get_matching_context_schedule(ContextSchedules.BATCHED), get_matching_fuse_method(ContextFuseMethods.FLAT), 1
    )
    model = miniature().model.clone()
    model.model_options["context_handler"] = windows
    conds = branch("local", [person(1, LEFT)], reuse=100)
    batch = {"batch": 3, "steps": 2}  # this host's windows ask for as many latents as there are noise levels
    assert close(sample(*conds, model, **batch), sample(*conds, **batch))


def test_one_run_never_meets_the_features_of_another():
    conds = branch("local", [person(1, LEFT)], reuse=100)
    first = sample(*conds, seed=1)
    sample(*conds, seed=2)
    assert torch.equal(sample(*conds, seed=1), first)


def test_the_text_only_pass_runs_inside_its_range(applied):
    guidance = IdentityGuidance(5.0, text_only_range=(0.0, 0.4))
    with passes_counted(guidance.patch(miniature().model)) as (model, rows):
        sample(*applied, model, steps=4, scheduler="sgm_uniform")
    assert sorted(rows) == [2, 2, 3, 3]
