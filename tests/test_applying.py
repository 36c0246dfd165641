"""Applying a branch: what is refused before anything runs, twice in a chain, and on several devices."""

import math
from dataclasses import replace
from types import SimpleNamespace

import comfy.sampler_helpers
import pytest
import torch
from comfy.controlnet import ControlNet
from pictures import FRAME, LEFT, RIGHT, apply, close, miniature, person, prompt, sample

import nodes as host_nodes
from realisid_core.branches.sharing import Sharing
from realisid_core.methods.realisid import global_branch, local_branch
from realisid_core.miniature import networks
from realisid_core.sampling.guidance import IdentityGuidance
from realisid_core.sampling.settings import Settings

NO_NUMBERS = [math.nan, math.inf, -math.inf, True, "1", None, -0.1, 1e9]


@pytest.fixture(scope="module")
def conditionings():
    return prompt("a person wearing a red sweater"), prompt("")


@pytest.mark.parametrize("value", NO_NUMBERS)
@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (lambda value: {"strength": value}, "strength"),
        (lambda value: {"percent_range": (value, 1.0)}, "start"),
        (lambda value: {"percent_range": (0.0, value)}, "end"),
    ],
    ids=["strength", "start", "end"],
)
def test_a_setting_that_is_no_number_of_its_range_is_refused_by_name(settings, name, value):
    with pytest.raises(ValueError, match=rf"^{name} is .*; expected a number from 0 to "):
        Settings(**settings(value))


@pytest.mark.parametrize("value", [0, 101, True, 2.0, math.nan])
def test_a_reuse_that_is_no_whole_number_is_refused(value):
    with pytest.raises(ValueError, match=r"^reuse is .*; expected a whole number from 1 to 100"):
        Settings(reuse=value)


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "5", None, 1e9])
@pytest.mark.parametrize("name", ["identity_guidance", "identity_start", "text_only_start", "text_only_end"])
def test_a_guidance_that_is_no_number_of_its_range_is_refused_by_name(name, value):
    options = {
        "identity_guidance": {"identity_guidance": value},
        "identity_start": {"identity_guidance": 5.0, "identity_start": value},
        "text_only_start": {"identity_guidance": 5.0, "text_only_range": (value, 1.0)},
        "text_only_end": {"identity_guidance": 5.0, "text_only_range": (0.0, value)},
    }
    with pytest.raises(ValueError, match=rf"^{name} is .*; expected a number from "):
        IdentityGuidance(**options[name])


@pytest.mark.parametrize("branch", ["local", "global"])
@pytest.mark.parametrize("value", [math.nan, math.inf, True, -1.0])
def test_a_persons_strength_that_is_no_number_is_refused(conditionings, branch, value):
    wrong = replace(person(2, RIGHT), strengths={branch: value})
    with pytest.raises(ValueError, match=rf"^The {branch} strength of person 2 is .*; expected a number"):
        apply(branch, *conditionings, miniature().realisid, [person(1, LEFT), wrong])


def test_one_pass_that_is_neither_true_nor_false_is_refused(conditionings):
    with pytest.raises(ValueError, match="one_pass is 'false'; expected true or false"):
        apply("global", *conditionings, miniature().realisid, [person(1, LEFT)], one_pass="false")


def of_other_kind(**config) -> ControlNet:
    made = networks.FIRST.branch_config() | config
    from comfy.cldm.cldm import ControlNet as Network
    from comfy.ops import disable_weight_init

    network = Network(**made, dtype=torch.float32, device="cpu", operations=disable_weight_init)
    return ControlNet(network, load_device=torch.device("cpu"))


def test_a_controlnet_for_masks_is_refused_in_place_of_the_local_branch():
    with pytest.raises(
        ValueError, match=r"^control_net takes hints of 1 channels; the local branch shows it a picture"
    ):
        local_branch(miniature().realisid, miniature().realisid.parts["global"])


def test_a_controlnet_for_pictures_serves_in_place_of_the_global_branch(conditionings):
    branch = global_branch(miniature().realisid, miniature().realisid.parts["local"])
    assert branch.hint([person(1, LEFT)], [LEFT], 64, 64).shape == (1, 3, 64, 64)


def test_a_controlnet_of_another_width_of_context_is_refused():
    with pytest.raises(ValueError, match=r"^control_net reads tokens of width 40; those of the ID embedding have "):
        local_branch(miniature().realisid, of_other_kind(hint_channels=3, context_dim=40))


# A second time in a chain


@pytest.mark.parametrize("branch", ["local", "global"])
def test_one_apply_for_each_person_is_one_apply_for_all(conditionings, branch):
    """And neither the other branch nor a ControlNet of the host in between is lost."""
    model, people = miniature().realisid, [person(1, LEFT), person(2, RIGHT)]
    other = "global" if branch == "local" else "local"
    hint = torch.rand(1, *FRAME, 3)

    def between(conds):
        conds = apply(other, *conds, model, people)
        return host_nodes.ControlNetApplyAdvanced().apply_controlnet(*conds, model.parts["local"], hint, 0.4, 0.0, 1.0)

    together = between(apply(branch, *conditionings, model, people))
    apart = between(apply(branch, *conditionings, model, people[:1]))
    first_as_it_was = sample(*apart, steps=1)
    apart_then = apply(branch, *apart, model, people[1:])
    assert close(sample(*apart_then), sample(*together), 1e-5)
    assert apart_then[0][0][1]["control"] is apart_then[1][0][1]["control"], "rows of both prompts share a batch"
    assert torch.equal(sample(*apart, steps=1), first_as_it_was), "what was applied to stays as it was"


@pytest.mark.parametrize(
    ("branch", "options", "found"),
    [
        ("local", {"strength": 0.5}, r"with strength 1 \(here 0\.5\)\."),
        ("local", {"percent_range": (0.2, 0.9)}, r"with start 0 \(here 0\.2\), end 1 \(here 0\.9\)\."),
        ("global", {"reuse": 3}, r"with reuse 1 \(here 3\)\."),
        ("global", {"one_pass": True}, "another way of sharing it"),
        ("global", {"sharing": Sharing.AVERAGE}, "another way of sharing it"),
    ],
)
def test_a_second_apply_with_other_settings_is_refused(conditionings, branch, options, found):
    once = apply(branch, *conditionings, miniature().realisid, [person(1, LEFT)])
    with pytest.raises(ValueError, match=rf"have a {branch} branch already, .*{found}.*Combine Persons"):
        apply(branch, *once, miniature().realisid, [person(2, RIGHT)], **options)


def test_a_second_apply_of_another_network_is_refused(conditionings):
    realisid = miniature().realisid
    once = apply("global", *conditionings, realisid, [person(1, LEFT)])
    other = replace(realisid, parts={**realisid.parts, "global": of_other_kind(hint_channels=1)})
    with pytest.raises(ValueError, match="have a global branch already, of another model"):
        apply("global", *once, other, [person(2, RIGHT)])


def test_a_second_apply_for_boxes_of_another_picture_is_refused(conditionings):
    once = apply("local", *conditionings, miniature().realisid, [person(1, LEFT)])
    with pytest.raises(ValueError, match="for different pictures: 256×256 and 512×512"):
        apply("local", *once, miniature().realisid, [replace(person(2, RIGHT), frame=(512, 512))])


# On several devices


@pytest.mark.parametrize("branch", ["local", "global"])
def test_a_deep_clone_for_another_device_has_a_network_of_its_own_and_does_the_same(conditionings, branch):
    """As the host asks of every ControlNet since 0.22, for guidance on several GPUs."""
    conds = apply(branch, *conditionings, miniature().realisid, [person(1, LEFT), person(2, RIGHT)])
    control = conds[0][0][1]["control"]
    clone = control.deepclone_multigpu(torch.device("cpu"), autoregister=False)
    (ours,), (theirs,) = control.get_models(), clone.get_models()
    assert theirs.model is not ours.model
    assert all(
        torch.equal(a, b) and a is not b
        for a, b in zip(theirs.model.parameters(), ours.model.parameters(), strict=True)
    )
    cloned = [[[tokens, {**options, "control": clone}] for tokens, options in c] for c in conds]
    assert close(sample(*cloned), sample(*conds), 2e-5)


def test_a_registered_deep_clone_is_among_the_models_of_a_newer_host(conditionings):
    (positive, _) = apply("local", *conditionings, miniature().realisid, [person(1, LEFT)])
    control = positive[0][1]["control"]
    newer = hasattr(control, "multigpu_clones")
    if not newer:
        control.multigpu_clones = {}  # hosts before 0.22 have none
    clone = control.deepclone_multigpu(torch.device("cpu"), autoregister=True)
    assert control.multigpu_clones == {torch.device("cpu"): clone}
    assert not newer or {id(model) for model in control.get_models()} >= {id(model) for model in clone.get_models()}


def test_a_newer_host_relinks_the_clones_of_a_whole_chain(conditionings):
    """What it does before it samples on several devices; here the second one is the CPU again."""
    prepare = getattr(comfy.sampler_helpers, "preprocess_multigpu_conds", None)
    if prepare is None:
        pytest.skip("This host guides on one device.")
    people, cpu = [person(1, LEFT)], torch.device("cpu")
    conds = apply("local", *apply("global", *conditionings, miniature().realisid, people), miniature().realisid, people)
    second = SimpleNamespace(load_device=cpu)
    prepare({"positive": [conds[0][0][1]]}, SimpleNamespace(get_additional_models_with_key=lambda _: [second]), {})
    control = conds[0][0][1]["control"]
    clone = control.get_instance_for_device(cpu)
    assert clone is not control
    assert clone.previous_controlnet is control.previous_controlnet.get_instance_for_device(cpu)
    assert clone.previous_controlnet is not control.previous_controlnet
    cloned = [[[tokens, {**options, "control": clone}] for tokens, options in c] for c in conds]
    assert close(sample(*cloned), sample(*conds), 2e-5)
