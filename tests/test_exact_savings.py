"""Savings that change nothing: what is computed once a run, and memory that does not grow with persons."""

import gc
import weakref
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import comfy.model_management
import pytest
import torch
from comfy.patcher_extension import CallbacksMP
from pictures import (
    FRAME,
    LATENT,
    LEFT,
    RIGHT,
    apply,
    close,
    miniature,
    network_of,
    passes_counted,
    person,
    prompt,
    rows_of,
    sample,
)

from realisid_core.branches.views import Inputs, WholeLatent
from realisid_core.conditions.location_mask import location_mask
from realisid_core.miniature.loading import load_miniature
from realisid_core.sampling import batching
from realisid_core.sampling.guidance import IdentityGuidance
from realisid_core.sampling.run_cache import free_memory

BRANCHES = ["local", "global"]


def applied(branch, number=2, **savings):
    return apply_to((prompt("a person wearing a red sweater"), prompt("")), branch, number, **savings)


def apply_to(conds, branch, number, **savings):
    people = [person(seed, RIGHT if seed % 2 else LEFT) for seed in range(number)]
    return apply(branch, *conds, miniature().realisid, people, **savings)


def inputs_of(layer, monkeypatch) -> list[torch.Size]:
    """The shape of what a layer really computes on, call by call."""
    shapes, forward = [], layer.forward
    monkeypatch.setattr(layer, "forward", lambda x, *a: (shapes.append(x.shape), forward(x, *a))[1])
    return shapes


@pytest.mark.parametrize("branch", BRANCHES)
def test_each_hint_goes_through_the_hint_block_once_a_run(branch, monkeypatch):
    """Two persons' hints, for rows with identity and with the null one, batches of two latents and three steps."""
    shapes = inputs_of(network_of(branch).input_hint_block[0], monkeypatch)
    sample(*applied(branch), steps=3, batch=2)
    assert sum(rows for rows, _, height, _ in shapes if height > 8) == 2
    assert len(shapes) > 1  # the stub, of one latent cell


@pytest.mark.parametrize("branch", BRANCHES)
def test_keys_and_values_of_each_identity_are_computed_once_a_run(branch, monkeypatch):
    """Two persons and the null identity."""
    attention = network_of(branch).middle_block[1].transformer_blocks[0].attn2
    for layer in (attention.to_k, attention.to_v):
        shapes = inputs_of(layer, monkeypatch)
        sample(*applied(branch), steps=3, batch=2)
        assert sum(rows for rows, tokens, _ in shapes if tokens > 1) == 3


@pytest.mark.parametrize(("branch", "savings"), [("local", {}), ("global", {}), ("global", {"one_pass": True})])
def test_computing_once_a_run_changes_nothing(branch, savings, monkeypatch):
    """Against nothing kept, and against the host's network left alone."""
    ours = sample(*applied(branch, **savings), batch=2)
    monkeypatch.setattr(batching, "layer_budget", lambda *arguments: -1)
    assert close(sample(*applied(branch, **savings), batch=2), ours, 1e-6)
    monkeypatch.setattr(batching, "computed_once", lambda *arguments: nullcontext())
    assert close(sample(*applied(branch, **savings), batch=2), ours, 1e-6)


def test_a_run_leaves_nothing_behind():
    positive, negative = applied("local")
    control = positive[0][1]["control"]
    sample(positive, negative, steps=1)
    assert control.run is None
    modules = network_of("local").modules()
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in modules)


@pytest.mark.parametrize("guided", [False, True])
def test_an_interrupted_run_leaves_nothing_behind(guided):
    """The host cleans ControlNets up only after a run that was not interrupted."""
    positive, negative = apply_to(applied("local", reuse=2), "global", 2)
    model = IdentityGuidance(5.0).patch(miniature().model) if guided else miniature().model.clone()

    def interrupt(*_):
        raise comfy.model_management.InterruptProcessingException

    with pytest.raises(comfy.model_management.InterruptProcessingException):
        sample(positive, negative, model, callback=interrupt)
    control = positive[0][1]["control"]
    assert control.run is control.previous_controlnet.run is None
    assert not any(model.callbacks.get(CallbacksMP.ON_CLEANUP, {}).values()), "and the model is as it was"


def test_a_branch_does_not_keep_the_model_alive():
    control = applied("local")[0][0][1]["control"]
    model = load_miniature(Path("no such folder")).model.model
    control.pre_run(model, lambda percent: 0.0)
    known = weakref.ref(model)
    del model
    gc.collect()
    assert known() is None


@pytest.mark.parametrize(
    ("branch", "batches"),
    [("local", [8, 2]), ("global", [2] * 5)],
    ids=BRANCHES,
)
def test_a_batch_of_persons_is_never_larger_than_the_unets(branch, batches, monkeypatch):
    """Five people with identity and without, beside two rows of the UNet; a local item has a quarter of its cells."""
    rows = rows_of(branch, monkeypatch)
    with passes_counted(miniature().model) as (model, unet_rows):
        sample(*applied(branch, 5), model, steps=1)
    assert (unet_rows, rows) == ([2], batches)


@pytest.mark.parametrize(("branch", "batches"), [("local", [4, 1] * 2), ("global", [1] * 10)], ids=BRANCHES)
def test_where_the_host_splits_its_batch_the_persons_are_split(branch, batches, monkeypatch):
    monkeypatch.setattr(miniature().model.model, "memory_usage_factor", 1e9)  # more than any machine has
    rows = rows_of(branch, monkeypatch)
    with passes_counted(miniature().model) as (model, unet_rows):
        sample(*applied(branch, 5), model, steps=1)
    assert (unet_rows, rows) == ([1, 1], batches)


def test_the_budget_of_a_run_is_what_the_host_itself_would_batch_into(monkeypatch):
    """Since dynamic VRAM, newer hosts ask the model's patcher; memory that weights take counts as free there."""
    patcher, device = miniature().model, torch.device("cpu")
    model = SimpleNamespace(current_patcher=patcher)
    monkeypatch.setattr(comfy.model_management, "get_free_memory", lambda device: 5.0)
    monkeypatch.delattr(type(patcher), "get_free_memory", raising=False)
    assert free_memory(model, device) == 5.0
    monkeypatch.setattr(type(patcher), "get_free_memory", lambda self, device: 7.0, raising=False)
    assert free_memory(model, device) == 7.0


def peak_bytes(run) -> int:
    """The most memory in use at once for tensors on the CPU, above what was in use before."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        run()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    used = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        used += event.nbytes()
        peak = max(peak, used)
    return peak


def test_seven_more_people_need_less_memory_than_one_pass_of_the_global_branch():
    def peak_with(number: int) -> int:
        conds = apply_to(applied("global", number), "local", number)
        return peak_bytes(lambda: sample(*conds, steps=2))

    network = network_of("global")
    inputs = Inputs(
        x=torch.randn(1, network.input_blocks[0][0].weight.shape[1], LATENT, LATENT),
        timesteps=torch.tensor([500.0]),
        boxes=[LEFT],
        hint=location_mask([LEFT], *FRAME),
        tokens=person(1, LEFT).tokens,
        y=torch.zeros(1, network.label_emb[0][0].weight.shape[1]),
    )
    with torch.no_grad():
        one_pass = peak_bytes(lambda: WholeLatent().injection(network, inputs))
    assert peak_with(8) - peak_with(1) < one_pass
