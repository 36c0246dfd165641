"""InstantFamily: everybody's face tokens in one softmax with the text, against Eq. 6 computed position by position."""

import logging
from dataclasses import replace
from functools import lru_cache

import comfy.model_base
import pytest
import torch
from pictures import FRAME, LEFT, RIGHT, apply, close, landmarks, miniature, person, prompt, sample
from realisid_pack.nodes.attention import IdentityAttentionNode
from test_identity_attention import computed_by_hand, grid, ipadapter, unet, words

from realisid_core.attention.decoupled import STACKED, Identities, IdentityAdapter
from realisid_core.attention.regional import Region, level_regions
from realisid_core.attention.stacked import Mask
from realisid_core.attention.unet_layers import cross_attentions
from realisid_core.checkpoint import load_checkpoint, save_checkpoint
from realisid_core.config import InstantFamilyConfig
from realisid_core.geometry import FaceBox
from realisid_core.identity.encoder import IDEmbedding
from realisid_core.identity.stack import STACK, StackProjector
from realisid_core.model import module_of
from realisid_core.persons import Person
from realisid_core.sampling.apply_attention import apply_attention
from realisid_core.sampling.identity_attention import IdentityAttention
from realisid_core.sampling.rows import IdentityMode, with_identity

TOKENS = 5
PEOPLE = [person(1, LEFT), person(2, RIGHT)]


@pytest.fixture(scope="module")
def conditionings():
    return prompt("two persons, with a gray background"), prompt("blurry")


@lru_cache
def faces(count: int) -> Identities:
    """Random keys and values, loud enough that a wrong mask shows."""

    def one(seed):
        generator = torch.Generator().manual_seed(seed)
        layers = cross_attentions(unet()).items()
        return {
            place: tuple(torch.randn(1, TOKENS, layer.to_k.out_features, generator=generator) * 2 for _ in range(2))
            for place, layer in layers
        }

    return Identities([one(seed) for seed in range(count)], one(99), stacked=True)


def stacked(people=PEOPLE, known=None, **options):
    attention = IdentityAttention(people, known or faces(len(people)), **options)
    return attention.patch(miniature().model)


@pytest.mark.parametrize("kind", [Region.FACE, Region.HEAD])
def test_a_region_covers_exactly_its_box_at_each_level(kind):
    apart = [FaceBox(0.1, 0.3, 0.13, 0.13), FaceBox(0.6, 0.21, 0.19, 0.19)]
    for side in (32, 16, 8):
        found = level_regions(apart, (side, side), (32, 32), kind)
        scale = 1.25 if kind == Region.FACE else 1.8
        assert torch.allclose(found.sum(-1), torch.tensor([(scale * box.width * side) ** 2 for box in apart]))


def test_where_boxes_overlap_the_nearest_face_takes_the_place():
    boxes = [FaceBox(0.2, 0.3, 0.3, 0.3), FaceBox(0.45, 0.3, 0.3, 0.3)]
    left, right = level_regions(boxes, (32, 32), (32, 32), Region.HEAD).unflatten(-1, (32, 32))
    assert torch.equal(left * right, torch.zeros(32, 32))
    assert left[14, 11] == 1 and right[14, 19] == 1
    assert ((left + right) <= 1).all()


@pytest.mark.parametrize("kind", [Region.FACE, Region.HEAD])
def test_the_regions_of_an_area_are_the_area_of_the_regions(kind):
    boxes, area = [LEFT, RIGHT, FaceBox(0.3, 0.7, 0.2, 0.2)], (4, 8, 20, 16)
    whole = level_regions(boxes, (16, 16), (32, 32), kind).unflatten(-1, (16, 16))
    seen = [box.seen_from(area, 32, 32) for box in boxes]
    part = level_regions(seen, (10, 8), (20, 16), kind).unflatten(-1, (10, 8))
    assert torch.allclose(part, whole[:, 2:12, 4:12], atol=1e-6)


@pytest.mark.parametrize(
    ("mask", "kind"),
    [
        (Mask.EXCLUDE, Region.OWN),
        (Mask.EXCLUDE, Region.FACE),
        (Mask.SOFT, Region.HEAD),
        (Mask.LITERAL, Region.OWN),
        (Mask.LITERAL, Region.FACE),
    ],
)
def test_each_mask_is_equation_6_computed_position_by_position(conditionings, mask, kind):
    known, w = faces(2), 0.8

    def attend(place, layer, x, context, options):
        prompts, size, out = options["cond_or_uncond"], options["original_shape"][-2:], []
        for row in range(len(x)):
            who = [n if prompts[row] == 0 else None for n in range(2)]
            q, d = layer.to_q(x[row]).double(), layer.to_q.out_features // layer.heads
            height, width = grid(len(q), size)
            m = level_regions([LEFT, RIGHT], (height, width), size, kind).double()
            result = torch.zeros_like(q)
            for head in range(layer.heads):
                part = slice(head * d, (head + 1) * d)
                text = layer.to_k(context[row]).double()[:, part], layer.to_v(context[row]).double()[:, part]
                weights, values = [torch.exp(q[:, part] @ text[0].T / d**0.5)], [text[1]]
                for n in range(2):
                    k, v = (each[0].double()[:, part] for each in known.of(place, who[n]))
                    logits = q[:, part] @ k.T / d**0.5
                    if mask == Mask.LITERAL:
                        weights.append(w * torch.exp(m[n, :, None] * logits))
                    else:
                        least = 1e-4 if mask == Mask.SOFT else 0.0
                        weights.append(w * m[n, :, None].clamp(min=least) * torch.exp(logits))
                    values.append(v)
                shares = torch.cat(weights, 1)
                result[:, part] = shares / shares.sum(1, keepdim=True) @ torch.cat(values)
            out.append(result.float())
        return torch.stack(out)

    ours = sample(*conditionings, stacked(mask=mask, region=kind, weight=w))
    with computed_by_hand(attend):
        assert close(ours, sample(*conditionings), 1e-5)
    assert not close(ours, sample(*conditionings), 1e-2)


def test_alone_in_the_picture_all_masks_are_one(conditionings):
    """M = 1 everywhere."""
    exclude, soft, literal = (sample(*conditionings, stacked(PEOPLE[:1], mask=mask)) for mask in Mask)
    assert close(soft, exclude, 1e-5)
    assert close(literal, exclude, 1e-5)


def test_without_faces_not_one_bit_changes(conditionings):
    nobody = Identities([None, None], faces(1).null, stacked=True)
    assert stacked(known=nobody) is miniature().model
    positive, negative = conditionings
    off = [[tokens, with_identity(options, IdentityMode.OFF)] for tokens, options in positive]
    assert torch.equal(sample(off, negative, stacked(), cfg=1.0), sample(positive, negative, cfg=1.0))


def test_the_null_row_reads_null_tokens_for_everyone(conditionings):
    positive, negative = conditionings
    null = [[tokens, with_identity(options, IdentityMode.NULL)] for tokens, options in positive]
    only_null = Identities([faces(2).null] * 2, faces(2).null, stacked=True)
    ours = sample(null, negative, stacked(), cfg=1.0)
    assert close(ours, sample(positive, negative, stacked(known=only_null), cfg=1.0), 1e-5)
    assert not close(ours, sample(positive, negative, stacked(), cfg=1.0), 1e-3)


def test_two_copies_of_a_person_are_one_also_where_both_are_as_near(conditionings):
    known = faces(2)
    twice = Identities([*known.persons, known.persons[0]], known.null, stacked=True)
    three = stacked([*PEOPLE, PEOPLE[0]], twice)
    assert close(sample(*conditionings, three), sample(*conditionings, stacked()), 1e-5)


def test_the_order_of_persons_changes_nothing(conditionings):
    known = faces(2)
    turned = Identities(known.persons[::-1], known.null, stacked=True)
    one = sample(*conditionings, stacked())
    assert close(one, sample(*conditionings, stacked(PEOPLE[::-1], turned)), 1e-5)
    assert not close(one, sample(*conditionings, stacked(PEOPLE, turned)), 1e-2)


def first_output(model, conditionings) -> torch.Tensor:
    """Of the first cross-attention, before features mix: the row of the prompt, [P, C]."""
    noted, model = [], model.clone()

    def note(out, extra):
        if not noted:
            noted.append(out[list(extra["cond_or_uncond"]).index(0)].clone())
        return out

    model.set_model_attn2_output_patch(note)
    sample(*conditionings, model, steps=1)
    return noted[0]


@pytest.mark.parametrize("kind", list(Region))
def test_another_face_of_one_person_leaves_places_outside_of_theirs_alone(conditionings, kind):
    known = faces(3)
    other = Identities([known.persons[0], known.persons[2]], known.null, stacked=True)
    before, after = (first_output(stacked(known=each, region=kind), conditionings) for each in (faces(2), other))
    side = int(len(before) ** 0.5)
    theirs = level_regions([LEFT, RIGHT], (side, side), (32, 32), kind)[1]
    changed = (before - after).abs().amax(-1)
    assert changed[theirs == 0].max() < 1e-6
    assert changed[theirs == 1].min() > 1e-4


def test_the_papers_product_leaks(conditionings):
    """A hidden token keeps the weight e⁰: why it is not offered."""
    known = faces(3)
    other = Identities([known.persons[0], known.persons[2]], known.null, stacked=True)
    before, after = (first_output(stacked(known=each, mask=Mask.LITERAL), conditionings) for each in (faces(2), other))
    side = int(len(before) ** 0.5)
    theirs = level_regions([LEFT, RIGHT], (side, side), (32, 32))[1]
    assert (before - after).abs().amax(-1)[theirs == 0].min() > 1e-4
    assert Mask.LITERAL.value not in Mask.offered()


def test_words_and_faces_share_one_softmax(conditionings):
    own = words("a person wearing a red sweater")
    speaking = [replace(PEOPLE[0], words=own), PEOPLE[1]]
    both = sample(*conditionings, stacked(speaking))
    assert not close(both, sample(*conditionings, stacked()), 1e-2)
    alone = sample(*conditionings, IdentityAttention(speaking).patch(miniature().model))
    assert not close(both, alone, 1e-2)


def test_another_packs_patch_at_the_same_place_acts_before_as_after_and_is_added(conditionings):
    add, model = ipadapter(0.5), miniature().model
    attention = IdentityAttention(PEOPLE, faces(2))
    before, after = attention.patch(add(model)), add(attention.patch(model))
    assert torch.equal(sample(*conditionings, before), sample(*conditionings, after))
    outputs = [first_output(each, conditionings) for each in (before, stacked(), add(model), model)]
    assert close(outputs[0], outputs[1] + outputs[2] - outputs[3], 1e-4)


def test_a_lora_acts_before_as_after_and_not_on_the_faces(conditionings):
    key = next(key for key in miniature().model.model.state_dict() if key.endswith("attn2.to_k.weight"))
    weight = miniature().model.model.state_dict()[key]
    difference = torch.randn(weight.shape, generator=torch.Generator().manual_seed(3)) * weight.std() * 4

    def with_lora(model):
        model = model.clone()
        assert model.add_patches({key: ("diff", (difference,))}, 1.0)
        return model

    attention = IdentityAttention(PEOPLE, faces(2))
    before = sample(*conditionings, attention.patch(with_lora(miniature().model)))
    assert torch.equal(before, sample(*conditionings, with_lora(attention.patch(miniature().model))))
    assert not close(before, sample(*conditionings, stacked()), 1e-3)


def test_the_given_model_is_left_as_it_was(conditionings):
    model, plain = miniature().model, sample(*conditionings)
    said = str(model.model_options), str(model.wrappers)
    sample(*conditionings, stacked())
    assert (str(model.model_options), str(model.wrappers)) == said
    assert torch.equal(sample(*conditionings), plain)


# From a checkpoint

CONFIG = {"stack_grid": 4}


def family_parts() -> dict:
    """RealisID's parts of the miniature, with a stack projector and adapter begun as a training begins."""
    realisid = miniature().realisid
    parts = {name: dict(module_of(part).state_dict()) for name, part in realisid.parts.items()}
    stack = StackProjector(realisid.config.clip_width, realisid.config.context_dim, 4, device="cpu")
    stack.start_from(module_of(realisid.parts["id_projector"]))
    layers = cross_attentions(unet()).values()
    adapter = IdentityAdapter([layer.to_k.out_features for layer in layers], realisid.config.context_dim, names=STACKED)
    adapter.start_from(layers)
    return {**parts, "stack_projector": stack.state_dict(), "adapter": adapter.layers.state_dict()}


def config(**changes) -> InstantFamilyConfig:
    theirs = {**vars(miniature().realisid.config), "method": "instant_family"}
    return InstantFamilyConfig(**{**theirs, **CONFIG, **changes})


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    path = tmp_path_factory.mktemp("family") / "family.safetensors"
    save_checkpoint(path, config(), family_parts())
    return load_checkpoint(path)


def member(family, seed: int, box: FaceBox) -> Person:
    shape = 1, *family.encoder.shape
    features = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    tokens = module_of(family.parts["id_projector"])(features)
    with torch.no_grad():
        extra = family.encoder.extra(features)
    embedding = IDEmbedding(tokens.detach(), method="instant_family", digest=family.encoder.digest, extra=extra)
    return Person(embedding, landmarks(seed), box, FRAME)


def row_of(family, count: int) -> list[Person]:
    return [member(family, n, FaceBox(0.02 + n / count, 0.3, 0.9 / count, 0.9 / count)) for n in range(count)]


def test_a_checkpoint_comes_back_with_all_its_parts(family):
    assert list(family.parts) == ["local", "global", "id_projector", "stack_projector", "adapter"]
    assert (family.config.stack_grid, family.config.family_ids, family.config.mask) == (4, 4, "exclude")
    assert list(family_parts()["adapter"])[:2] == ["1.to_k.weight", "1.to_v.weight"]
    for name, state in family_parts().items():
        loaded = module_of(family.parts[name]).state_dict()
        for key, value in state.items():
            assert torch.equal(value, loaded[key if name != "adapter" else f"layers.{key}"]), (name, key)


def test_a_face_is_one_token_and_a_grid_of_averages(family):
    tokens = member(family, 1, LEFT).embedding.extra[STACK]
    assert tokens.shape == (1, 17, family.config.context_dim)
    features = torch.randn((1, *family.encoder.shape), generator=torch.Generator().manual_seed(1))
    projector = module_of(family.parts["id_projector"])
    by_hand = [features[:, 0]]
    for row in range(4):
        for column in range(4):
            cells = [1 + (2 * row + i) * 8 + 2 * column + j for i in range(2) for j in range(2)]
            by_hand.append(features[:, cells].mean(1))
    with torch.no_grad():
        assert close(tokens, projector(torch.stack(by_hand, dim=1)), 1e-5)


def test_begun_as_the_layers_own_it_is_the_unet_on_a_longer_prompt(family, conditionings):
    positive, negative = conditionings
    someone = member(family, 1, LEFT)
    model = apply_attention(miniature().model, [someone], family, weight=1.0)
    longer = [[torch.cat([positive[0][0], someone.embedding.extra[STACK]], dim=1), positive[0][1]]]
    ours = sample(positive, negative, model, cfg=1.0)
    assert close(ours, sample(longer, negative, cfg=1.0), 1e-4)
    assert not close(ours, sample(positive, negative, cfg=1.0), 1e-3)


def test_the_node_takes_a_family_and_its_options(family, conditionings):
    inputs = {"weight": 1.0, "start": 0.0, "end": 1.0, "realisid": family}
    people = tuple(row_of(family, 2))

    def drawn(**options):
        return sample(*conditionings, IdentityAttentionNode.execute(miniature().model, people, **inputs, **options)[0])

    plain = drawn()
    assert torch.equal(plain, drawn(region="own region", margin=0.25, mask="exclude"))
    for options in ({"region": "face"}, {"region": "head"}, {"mask": "soft"}):
        assert not torch.equal(plain, drawn(**options))
    with pytest.raises(ValueError, match="mask is 'literal'; expected one of exclude, soft"):
        drawn(mask="literal")
    with pytest.raises(ValueError, match="region is 'body'; expected one of own region, face, head"):
        drawn(region="body")
    with pytest.raises(ValueError, match="margin"):
        drawn(margin=float("nan"))


def test_six_people_go_through_weights_for_four_which_is_said_once(family, conditionings, caplog):
    people = row_of(family, 6)
    with caplog.at_level(logging.INFO):
        model, *conds = family.method.apply(family, people, miniature().model, *conditionings)
        six = sample(*conds, model)
    assert torch.isfinite(six).all()
    said = [record.message for record in caplog.records if "up to 4" in record.message]
    assert said == ["family was trained with up to 4 people and is given 6. It takes up to 8."]
    turned, *conds = family.method.apply(family, people[::-1], miniature().model, *conditionings)
    assert close(six, sample(*conds, turned), 1e-4)


def test_more_than_eight_are_refused(family):
    with pytest.raises(ValueError, match="persons has 9 people; Identity Attention takes 8"):
        apply_attention(miniature().model, row_of(family, 9), family)


def test_everyone_is_in_one_pass_of_the_global_branch(family):
    people = row_of(family, 3)
    assert family.branch("global", None).passes(people) == [(0, 1, 2)]
    assert len(family.branch("local", None).passes(people)) == 3


def test_a_family_without_identity_attention_is_logged(family, conditionings, caplog):
    conds = apply("local", *conditionings, family, row_of(family, 2))
    with caplog.at_level(logging.INFO):
        sample(*conds)
    assert sum("Put the model through Identity Attention" in record.message for record in caplog.records) == 1
    caplog.clear()
    model = apply_attention(miniature().model, row_of(family, 2), family)
    with caplog.at_level(logging.INFO):
        sample(*conds, model)
    assert "Identity Attention" not in caplog.text


def test_what_does_not_fit_is_refused(family, tmp_path):
    parts = family_parts()
    missing = {**parts, "adapter": {key: value for key, value in parts["adapter"].items() if not key.startswith("3.")}}
    wide = {**parts, "adapter": {**parts["adapter"], "1.to_k.weight": torch.zeros(64, 64)}}
    for changed, fields, message in (
        (missing, {}, "has no place in a adapter"),
        (wide, {}, "adapter.* is made for context 64"),
        (parts, {"stack_grid": 9}, "stack_grid is 9 and its clip_tokens 65"),
        (parts, {"family_ids": 9}, "family_ids is 9; expected a whole number from 1 to 8"),
        (parts, {"mask": "soft"}, 'mask is "soft"; expected one of exclude, literal'),
    ):
        save_checkpoint(tmp_path / "family.safetensors", config(**fields), changed)
        with pytest.raises(ValueError, match=message.replace(".", r"\.").replace("*", r"\*")):
            load_checkpoint(tmp_path / "family.safetensors")
    short = {**parts, "adapter": {key: value for key, value in parts["adapter"].items() if key.startswith("1.")}}
    save_checkpoint(tmp_path / "short.safetensors", config(), short)
    with pytest.raises(ValueError, match="adapter has nothing for the cross-attention"):
        apply_attention(miniature().model, row_of(family, 2), load_checkpoint(tmp_path / "short.safetensors"))
    other = miniature().model.clone()
    other.model = comfy.model_base.BaseModel.__new__(comfy.model_base.BaseModel)
    with pytest.raises(ValueError, match="works on SDXL and its fine-tunes"):
        IdentityAttention(row_of(family, 2), faces(2)).patch(other)


def test_without_an_adapter_it_is_its_branches(family, conditionings, tmp_path):
    """The ablation without UNet."""
    parts = {name: value for name, value in family_parts().items() if name not in ("adapter", "stack_projector")}
    save_checkpoint(tmp_path / "no_unet.safetensors", config(), parts)
    realisid = load_checkpoint(tmp_path / "no_unet.safetensors")
    people = row_of(realisid, 2)
    assert STACK not in people[0].embedding.extra
    model, *conds = realisid.method.apply(realisid, people, miniature().model, *conditionings)
    assert torch.isfinite(sample(*conds, model)).all()
