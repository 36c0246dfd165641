"""A person's own prompt, from the node's input to the model."""

from dataclasses import replace

import pytest
import torch
from pictures import LEFT, RIGHT, apply, close, miniature, person, prompt, sample
from realisid_pack.nodes.attention import IdentityAttentionNode
from realisid_pack.nodes.persons import CombinePersons, Person

from realisid_core.attention.own_words import words_of
from realisid_core.geometry import FaceBox, FaceBoxes
from realisid_core.sampling.apply_attention import apply_attention

BOXES = FaceBoxes((LEFT, RIGHT), 256, 256)
RED, BLACK = "a person wearing a red sweater", "a person wearing a black suit"


def spoken(text: str, index: int, **inputs):
    """What the node Person gives for somebody of whom only the words and the place are known."""
    return Person.execute(
        boxes=BOXES, index=index, local_strength=1.0, global_strength=1.0, prompt=prompt(text), **inputs
    ).args[0]


def attention(persons, realisid=None, model=None, **options):
    inputs = {"weight": 0.8, "start": 0.0, "end": 1.0, **options}
    everybody = tuple(persons)
    return IdentityAttentionNode.execute(model or miniature().model, everybody, realisid=realisid, **inputs).args[0]


@pytest.fixture(scope="module")
def conditionings():
    return prompt("two persons, with a gray background"), prompt("")


def test_own_words_need_no_other_model_and_no_identity(conditionings):
    persons = CombinePersons.execute(person_1=spoken(RED, 0), person_2=spoken(BLACK, 1)).args[0]
    assert [one.embedding for one in persons] == [None, None]
    turned = CombinePersons.execute(person_1=spoken(BLACK, 0), person_2=spoken(RED, 1)).args[0]
    one, other, plain = (
        sample(*conditionings, model) for model in (attention(persons), attention(turned), miniature().model)
    )
    assert not close(one, plain, 1e-4)
    assert not close(one, other, 1e-4)


def test_the_branches_leave_out_who_has_no_identity(conditionings):
    """Their region stays their own, as that of a person with no strength does."""
    nobody, someone = spoken(RED, 0)[0], person(2, RIGHT)
    realisid = miniature().realisid
    for branch in ("local", "global"):
        assert apply(branch, *conditionings, realisid, [nobody]) == conditionings
    weak = person(1, LEFT, 0.0, 0.0)
    with_nobody = apply("global", *conditionings, realisid, [nobody, someone])
    assert torch.equal(sample(*with_nobody), sample(*apply("global", *conditionings, realisid, [weak, someone])))


def test_where_there_is_nothing_to_do_the_node_says_so():
    someone = [person(1, LEFT)]
    with pytest.raises(ValueError, match=r"no realisid is connected, so there is nothing to do\. Connect prompt"):
        apply_attention(miniature().model, someone)
    with pytest.raises(ValueError, match="miniature has no identity adapter, so there is nothing to do"):
        apply_attention(miniature().model, someone, miniature().realisid)


def test_a_person_of_whom_nothing_is_known_is_refused():
    with pytest.raises(ValueError, match="Neither id_embedding nor prompt is connected"):
        Person.execute(boxes=BOXES, index=0, local_strength=1.0, global_strength=1.0)


def with_option(**options):
    (tokens, known), *_ = prompt(RED)
    return [[tokens, {**known, **options}]]


@pytest.mark.parametrize(
    ("conditioning", "says"),
    [
        (prompt(RED) + prompt(BLACK), "prompt has 2 texts; a person has one"),
        ([], "prompt has 0 texts"),
        (with_option(start_percent=0.2, end_percent=1.0), "a range of steps"),
        (with_option(end_percent=0.5), "a range of steps"),
        (with_option(area=(8, 8, 0, 0)), "an area"),
        (with_option(mask=torch.ones(1, 8, 8)), "a mask"),
        (with_option(control=object()), "a ControlNet"),
        ([[prompt(RED)[0][0].squeeze(0), {}]], r"tokens of shape \[77, 192\]"),
        ([[torch.full((1, 77, 192), torch.nan), {}]], "NaN or infinite"),
        ([[torch.zeros(1, 10**4, 8), {}]], "expected .1, 77, width."),
        ("a red sweater", "prompt is a str"),
        ([prompt(RED)[0][0]], "prompt is a list"),
        (None, "prompt is a NoneType"),
    ],
)
def test_words_that_cannot_be_a_persons_own_are_refused(conditioning, says):
    with pytest.raises(ValueError, match=says):
        words_of(conditioning)


def test_words_with_the_whole_schedule_are_words():
    assert torch.equal(words_of(with_option(start_percent=0.0, end_percent=1.0)), prompt(RED)[0][0])


def test_a_tile_whose_place_nobody_says_is_refused(conditionings):
    """As tiled samplers call the model: with a part of the latent, and the conditionings of the whole."""
    model = attention(spoken(RED, 0)).clone()

    def tiled(apply_model, call):
        halves = call["input"].chunk(2, dim=-1)
        return torch.cat([apply_model(half, call["timestep"], **call["c"]) for half in halves], dim=-1)

    model.set_model_unet_function_wrapper(tiled)
    with pytest.raises(ValueError, match="a part of the picture without saying which"):
        sample(*conditionings, model)


def test_a_tile_is_known_by_a_branch_on_the_same_conditionings(conditionings):
    """As Ultimate SD Upscale samples: each part by itself, ControlNets' hints cropped to it."""
    left, right = spoken(RED, 0)[0], spoken(BLACK, 1)[0]
    somebody = person(3, FaceBox(0.4, 0.8, 0.1, 0.1))
    conds = apply("global", *conditionings, miniature().realisid, [somebody], strength=1e-6)
    control = conds[0][0][1]["control"]
    control.cond_hint_original = control.cond_hint_original[..., 128:]  # the right half of the map of the frame
    model = attention([left, right])
    tile = sample(*conds, model, size=(32, 16))
    only_right = attention([replace(left, words=None), right])
    only_left = attention([left, replace(right, words=None)])
    assert close(tile, sample(*conds, only_right, size=(32, 16)), 2e-2)
    far = (tile - sample(*conds, only_left, size=(32, 16))).abs().mean()
    assert far > 3 * (tile - sample(*conds, only_right, size=(32, 16))).abs().mean()
