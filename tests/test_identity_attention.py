"""Own words and identities in the UNet's cross-attention, against the formula computed position by position."""

from contextlib import contextmanager
from dataclasses import replace

import comfy.samplers
import pytest
import torch
from comfy.ldm.modules.attention import CrossAttention, optimized_attention
from comfy.patcher_extension import WrappersMP
from pictures import LEFT, RIGHT, apply, close, miniature, passes_counted, person, prompt, sample

from realisid_core.attention.decoupled import Identities
from realisid_core.attention.regional import level_regions
from realisid_core.attention.unet_layers import cross_attentions
from realisid_core.geometry import FaceBox
from realisid_core.resampling import own_regions
from realisid_core.sampling.guidance import IdentityGuidance
from realisid_core.sampling.identity_attention import IdentityAttention
from realisid_core.sampling.rows import IdentityMode, with_identity

PROMPTS = "two persons, with a gray background", "blurry"
LOUD = 4.0


@pytest.fixture(scope="module")
def conditionings():
    return tuple(prompt(text) for text in PROMPTS)


def words(text: str) -> torch.Tensor:
    return prompt(text)[0][0] * LOUD


PEOPLE = [person(1, LEFT), person(2, RIGHT)]
WORDS = [words("a person wearing a red sweater"), words("a person wearing a black suit")]


def speaking(people=PEOPLE, own=WORDS):
    return [replace(one, words=words) for one, words in zip(people, own, strict=True)]


def own_words(people=PEOPLE, own=WORDS, **options):
    return IdentityAttention(speaking(people, own), **options).patch(miniature().model)


def unet():
    return miniature().model.model.diffusion_model


def identities(count: int) -> Identities:
    """Random keys and values of six tokens."""

    def one(seed):
        generator = torch.Generator().manual_seed(seed)
        layers = cross_attentions(unet()).items()
        return {
            place: tuple(torch.randn(1, 6, layer.to_k.out_features, generator=generator) for _ in range(2))
            for place, layer in layers
        }

    return Identities([one(seed) for seed in range(count)], one(99))


@contextmanager
def computed_by_hand(attend):
    """Every cross-attention's `forward` replaced by `attend(place, layer, x, context, options)` before `to_out`."""
    layers = cross_attentions(unet())
    try:
        for place, layer in layers.items():

            def forward(x, context=None, value=None, mask=None, transformer_options=None, place=place, layer=layer):
                return layer.to_out(attend(place, layer, x, context, transformer_options))

            layer.forward = forward
        yield
    finally:
        for layer in layers.values():
            del layer.forward


def softmax_attention(layer: CrossAttention, q, k, v, weights=1.0):
    """[P, C] from q [P, C], k and v [L, C], head by head in float64; each of the L counts so much."""
    heads = layer.heads
    q, k, v = (t.double().unflatten(-1, (heads, -1)).movedim(1, 0) for t in (q, k, v))
    shares = weights * torch.exp(q @ k.mT / q.shape[-1] ** 0.5)
    return (shares / shares.sum(-1, keepdim=True) @ v).movedim(0, 1).flatten(1).float()


def nearest(people, height: int, width: int, size: tuple[int, int]) -> list[int]:
    """The number of the person whose face is the nearest to each position, row by row."""
    halved = round((size[0] * size[1] / (height * width)) ** 0.5)
    frame_height, frame_width = size[0] / halved, size[1] / halved
    found = []
    for i in range(height):
        for j in range(width):
            away = []
            for one in people:
                box = one.box
                y = (i + 0.5) / frame_height - box.y - box.height / 2
                x = (j + 0.5) / frame_width - box.x - box.width / 2
                away.append(((y / box.height) ** 2 + (x / box.width) ** 2) ** 0.5)
            found.append(away.index(min(away)))
    return found


def grid(positions: int, size: tuple[int, int]) -> tuple[int, int]:
    height, width = size
    while height * width > positions:
        height, width = (height + 1) // 2, (width + 1) // 2
    return height, width


@pytest.mark.parametrize(("size", "batch"), [((32, 32), 1), ((33, 34), 1), ((32, 32), 2)])
def test_a_position_reads_the_prompt_and_the_words_of_the_person_it_belongs_to(conditionings, size, batch):
    def attend(place, layer, x, context, options):
        prompts = options["cond_or_uncond"]
        out = []
        for row in range(len(x)):
            q = layer.to_q(x[row])
            if prompts[row * len(prompts) // len(x)] != 0:
                out.append(softmax_attention(layer, q, layer.to_k(context[row]), layer.to_v(context[row])))
                continue
            owner = torch.tensor(nearest(PEOPLE, *grid(len(q), size), size))
            result = torch.zeros_like(q)
            for number, own in enumerate(WORDS):
                both = torch.cat([context[row], own[0]])
                counts = torch.cat([torch.full((len(context[row]),), 0.05), torch.ones(len(own[0]))])
                read = softmax_attention(layer, q, layer.to_k(both), layer.to_v(both), counts)
                result[owner == number] = read[owner == number]
            out.append(result)
        return torch.stack(out)

    ours = sample(*conditionings, own_words(any_size=True), size=size, batch=batch)
    with computed_by_hand(attend):
        assert close(ours, sample(*conditionings, size=size, batch=batch), 1e-5)
    assert not close(ours, sample(*conditionings, size=size, batch=batch), 1e-2)


def test_identities_are_read_apart_from_the_prompt_each_in_its_own_region(conditionings):
    known = identities(2)

    def attend(place, layer, x, context, options):
        prompts, size = options["cond_or_uncond"], options["original_shape"][-2:]
        out = []
        for row in range(len(x)):
            q = layer.to_q(x[row])
            base = softmax_attention(layer, q, layer.to_k(context[row]), layer.to_v(context[row]))
            owner = torch.tensor(nearest(PEOPLE, *grid(len(q), size), size))
            for number in range(2):
                given = prompts[row] == 0
                k, v = known.of(place, number if given else None)
                base[owner == number] += 0.8 * softmax_attention(layer, q, k[0], v[0])[owner == number]
            out.append(base)
        return torch.stack(out)

    ours = sample(*conditionings, own_words(own=[None, None], identities=known, weight=0.8))
    with computed_by_hand(attend):
        assert close(ours, sample(*conditionings), 1e-5)
    assert not close(ours, sample(*conditionings), 1e-2)


@pytest.mark.parametrize(
    "options",
    [
        {"own": [None, None]},
        {"percent_range": (0.5, 0.5)},
        {"percent_range": (0.9, 0.1)},
        {"own": [None, None], "identities": True, "weight": 0.0},
        {"people": [], "own": []},
    ],
    ids=["no words", "empty range", "reversed range", "weight 0", "nobody"],
)
def test_with_nothing_to_do_the_model_is_the_one_that_was_given(options):
    if "identities" in options:
        options = {**options, "identities": identities(2)}
    assert own_words(**options) is miniature().model


def test_outside_of_its_range_it_changes_not_one_bit(conditionings):
    """A run with denoise 0.4 begins after the first half of the schedule."""
    late = sample(*conditionings, own_words(percent_range=(0.0, 0.4)), denoise=0.4)
    assert torch.equal(late, sample(*conditionings, denoise=0.4))
    assert not torch.equal(sample(*conditionings, own_words(percent_range=(0.6, 1.0)), denoise=0.4), late)


def test_one_person_drawn_twice_is_one_person_also_where_both_are_as_near(conditionings):
    once = own_words([PEOPLE[0], PEOPLE[1]], WORDS, identities=identities(2))
    known = identities(2)
    twice = own_words(
        [PEOPLE[0], PEOPLE[1], PEOPLE[0]],
        [*WORDS, WORDS[0]],
        identities=Identities([*known.persons, known.persons[0]], known.null),
    )
    assert close(sample(*conditionings, once), sample(*conditionings, twice), 1e-5)


def test_the_order_of_persons_changes_nothing(conditionings):
    known = identities(2)
    turned = Identities(known.persons[::-1], known.null)
    one = sample(*conditionings, own_words(identities=known))
    assert close(one, sample(*conditionings, own_words(PEOPLE[::-1], WORDS[::-1], identities=turned)), 1e-5)
    assert not close(one, sample(*conditionings, own_words(PEOPLE, WORDS[::-1], identities=known)), 1e-2)


def test_the_region_of_a_person_without_words_reads_the_prompt_alone(conditionings):
    """At the first cross-attention, before features mix."""
    outputs = {}
    for name, own in (("none", None), ("left", WORDS[0])):
        model = own_words(own=[own, None]) if own is not None else miniature().model.clone()

        def first(out, extra, name=name):
            outputs.setdefault(name, (out.clone(), list(extra["cond_or_uncond"])))
            return out

        model = model.clone()
        model.set_model_attn2_output_patch(first)
        sample(*conditionings, model, steps=1)
    (plain, prompts), (left, _) = outputs["none"], outputs["left"]
    row, side = prompts.index(0), int(plain.shape[1] ** 0.5)
    regions = level_regions([LEFT, RIGHT], (side, side), (32, 32))
    changed = (plain[row] - left[row]).abs().amax(-1)
    assert changed[regions[1] == 1].max() < 1e-5
    assert changed[regions[0] == 1].min() > 1e-4
    assert torch.equal(plain[1 - row], left[1 - row])


def test_the_regions_of_an_area_are_the_area_of_the_regions():
    boxes = [LEFT, RIGHT, FaceBox(0.3, 0.7, 0.2, 0.2)]
    whole = level_regions(boxes, (16, 16), (32, 32)).unflatten(-1, (16, 16))
    area = (4, 8, 20, 16)  # y, x, height, width in cells of the latent
    seen = [box.seen_from(area, 32, 32) for box in boxes]
    assert torch.equal(level_regions(seen, (10, 8), (20, 16)).unflatten(-1, (10, 8)), whole[:, 2:12, 4:12])


@pytest.mark.parametrize("side", [31, 33, 35])
def test_a_halved_odd_side_leaves_people_where_they_are(side):
    """The level of 17 cells for 33 is 16.5 of them: a face at the right edge is at 16.5, not at 17."""
    halved = (side + 1) // 2
    regions = level_regions([LEFT, RIGHT], (halved, halved), (side, side)).unflatten(-1, (halved, halved))
    corners = own_regions([LEFT, RIGHT], halved, halved, frame=(side / 2, side / 2))
    assert torch.equal(regions, corners)
    assert torch.allclose(regions.sum(0), torch.ones(halved, halved))


def test_a_regional_prompt_reads_the_words_of_who_is_there(conditionings):
    """The right half alone, all of it in the right person's region, reads their words only."""
    positive, negative = conditionings
    people = [
        replace(PEOPLE[0], box=FaceBox(0.05, 0.3, 0.2, 0.2)),
        replace(PEOPLE[1], box=FaceBox(0.6, 0.3, 0.35, 0.35)),
    ]
    half = [[positive[0][0], {**positive[0][1], "area": (32, 16, 0, 16), "strength": 1.0}]]
    ours = sample(half, negative, own_words(people))
    assert close(ours, sample(half, negative, own_words(people, [None, WORDS[1]])), 1e-5)
    assert not close(ours, sample(half, negative, own_words(people, [WORDS[0], None])), 1e-3)
    assert not close(ours, sample(half, negative), 1e-3)


def ipadapter(scale: float):
    """A patch as IPAdapter and PuLID packs set theirs: an object at the key, joined by `add` where one is there."""

    class Attn2Replace:
        def __init__(self, callback):
            self.callbacks = [callback]

        def add(self, callback):
            self.callbacks.append(callback)

        def __call__(self, q, k, v, extra):
            out = optimized_attention(q, k, v, extra["n_heads"])
            for callback in self.callbacks:
                out = out + callback(q, k, v, extra)
            return out

    def callback(q, k, v, extra):
        assert len(k) == len(q) and k.shape[1] == 77
        return scale * optimized_attention(q, k.flip(1)[:, :16], v[:, :16], extra["n_heads"])

    def patch(model):
        model = model.clone()
        options = model.model_options["transformer_options"]
        replaced = options.setdefault("patches_replace", {}).setdefault("attn2", {})
        for place in cross_attentions(unet()):
            if place in replaced:
                replaced[place].add(callback)
            else:
                replaced[place] = Attn2Replace(callback)
        return model

    return patch


def test_another_packs_patch_at_the_same_place_acts_before_as_after(conditionings):
    add = ipadapter(0.5)
    attention = IdentityAttention(speaking())
    before = sample(*conditionings, attention.patch(add(miniature().model)))
    after = sample(*conditionings, add(attention.patch(miniature().model)))
    assert torch.equal(before, after)
    assert not close(before, sample(*conditionings, own_words()), 1e-2)
    assert not close(before, sample(*conditionings, add(miniature().model)), 1e-2)


def test_beside_another_packs_patch_both_terms_are_added(conditionings):
    """One layer: with words, with the other patch and with both; what each adds to plain attention adds up."""
    place = next(iter(cross_attentions(unet())))
    outputs = {}
    for name, patch in (
        ("plain", lambda model: model.clone()),
        ("words", IdentityAttention(speaking()).patch),
        ("other", ipadapter(0.5)),
        ("both", lambda model: ipadapter(0.5)(IdentityAttention(speaking()).patch(model))),
    ):
        model = patch(miniature().model)

        def note(out, extra, name=name):
            if (*extra["block"], extra["block_index"]) == place:
                outputs.setdefault(name, out.clone())
            return out

        model.set_model_attn2_output_patch(note)
        sample(*conditionings, model, steps=1)
    expected = outputs["words"] + outputs["other"] - outputs["plain"]
    assert close(outputs["both"], expected, 1e-4)


def test_a_lora_acts_on_the_words_whether_it_was_loaded_before_or_after(conditionings):
    key = next(key for key in miniature().model.model.state_dict() if key.endswith("attn2.to_k.weight"))
    weight = miniature().model.model.state_dict()[key]
    difference = torch.randn(weight.shape, generator=torch.Generator().manual_seed(3)) * weight.std() * 4

    def with_lora(model):
        model = model.clone()
        assert model.add_patches({key: ("diff", (difference,))}, 1.0)
        return model

    attention = IdentityAttention(speaking(PEOPLE[:1], WORDS[:1]))
    before = sample(*conditionings, attention.patch(with_lora(miniature().model)))
    after = sample(*conditionings, with_lora(attention.patch(miniature().model)))
    assert torch.equal(before, after)
    assert not close(after, sample(*conditionings, attention.patch(miniature().model)), 1e-3)


def test_the_given_model_is_left_as_it_was(conditionings):
    plain = sample(*conditionings)
    model = miniature().model
    options, wrappers = str(model.model_options), str(model.wrappers)
    sample(*conditionings, own_words())
    assert (str(model.model_options), str(model.wrappers)) == (options, wrappers)
    assert torch.equal(sample(*conditionings), plain)


def test_what_was_made_for_a_run_is_forgotten_also_after_an_interrupt(conditionings):
    attention = IdentityAttention(speaking())
    model = attention.patch(miniature().model)

    def stop(*_):
        assert attention.made
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(*conditionings, model, callback=stop)
    assert not attention.made


def test_words_act_in_both_predictions_with_text_and_not_in_the_one_without(conditionings):
    """Eq. 8 with Identity Guidance, whichever of the two nodes comes first."""
    someone = PEOPLE[0]
    conds = apply("global", *conditionings, miniature().realisid, [someone])
    attention = IdentityAttention(speaking([someone], WORDS[:1]), share=1.0)
    guidance = IdentityGuidance(5.0, IdentityMode.OFF)
    one = sample(*conds, guidance.patch(attention.patch(miniature().model)))
    assert torch.equal(one, sample(*conds, attention.patch(guidance.patch(miniature().model))))

    extended = [[torch.cat([conds[0][0][0], WORDS[0]], dim=1), conds[0][0][1]]]
    with_longer_prompt = sample(extended, conds[1], guidance.patch(miniature().model))
    assert close(one, with_longer_prompt, 1e-4)


def test_a_guider_whose_first_prompt_is_the_negative_gives_the_words_to_the_others(conditionings):
    from comfy_extras.nodes_custom_sampler import Guider_DualCFG

    positive, negative = conditionings
    latent = torch.zeros(1, miniature().model.model.latent_format.latent_channels, 32, 32)
    noise = comfy.sample.prepare_noise(latent, 1)

    def run(model, prompts):
        guider = Guider_DualCFG(model)
        guider.set_conds(*prompts)
        guider.set_cfg(3.0, 2.0)
        sampler = comfy.samplers.sampler_object("euler")
        sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", 2)
        return guider.sample(noise, latent, sampler, sigmas, disable_pbar=True, seed=1)

    middle = prompt("a person")
    longer = [[[torch.cat([one[0][0], WORDS[0]], dim=1), one[0][1]]] for one in (positive, middle)]
    ours = run(own_words([PEOPLE[0]], [WORDS[0]], share=1.0), (positive, middle, negative))
    assert close(ours, run(miniature().model, (*longer, negative)), 1e-4)


def test_without_an_identity_the_row_gets_none_and_the_null_row_the_null_tokens(conditionings):
    known = identities(1)
    positive, negative = conditionings
    rows = [[[c, with_identity(o, mode)] for c, o in positive] for mode in IdentityMode]
    off, null, given = (
        sample(row, negative, own_words([PEOPLE[0]], [None], identities=known), cfg=1.0) for row in rows
    )
    assert torch.equal(off, sample(positive, negative, cfg=1.0))
    only_null = Identities([known.null], known.null)
    assert close(null, sample(rows[2], negative, own_words([PEOPLE[0]], [None], identities=only_null), cfg=1.0), 1e-5)
    assert not close(null, given, 1e-3)


def test_a_call_is_not_split_by_the_marks(conditionings):
    with passes_counted(own_words()) as (model, rows):
        sample(*conditionings, model)
    assert rows == [2, 2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: own_words(own=[WORDS[0][..., :100], None]), "person 1 has width 100; this model reads width 192"),
        (lambda: IdentityAttention(speaking()).patch(own_words()), "already"),
        (lambda: own_words(own=[None] * 2, identities=Identities([{}, {}], {})), "nothing for the cross-attention"),
    ],
    ids=["another width", "twice", "another architecture"],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_boxes_of_another_shape_than_the_picture_are_refused(conditionings):
    with pytest.raises(ValueError, match="drawn for 256×256 pixels"):
        sample(*conditionings, own_words(), size=(32, 48))


def test_wrappers_are_the_only_thing_on_the_model():
    model = own_words()
    assert "patches_replace" not in model.model_options["transformer_options"]
    assert set(model.wrappers) == {WrappersMP.OUTER_SAMPLE, WrappersMP.CALC_COND_BATCH, WrappersMP.APPLY_MODEL}


def test_a_share_of_nothing_leaves_the_prompt_to_where_nobody_has_words(conditionings):
    positive, negative = conditionings
    other = prompt("three persons, outdoors with a beach in the background, watercolor style")
    everyone = own_words(share=0.0)
    ours = sample(positive, negative, everyone)
    same_vector = [[other[0][0], positive[0][1]]]
    assert close(ours, sample(same_vector, negative, everyone), 1e-5)
    one = own_words(own=[WORDS[0], None], share=0.0)
    assert torch.isfinite(sample(positive, negative, one)).all()
    assert not close(sample(positive, negative, one), sample(same_vector, negative, one), 1e-3)
