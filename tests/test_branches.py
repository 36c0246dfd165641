"""The branches against what any reader can trust: the stock ControlNet node, plain sampling, and symmetry."""

import math
from dataclasses import replace

import pytest
import torch
from comfy.controlnet import ControlNet
from comfy.patcher_extension import WrappersMP
from pictures import FRAME, LATENT, apply, close, miniature, person, prompt, sample, without_projector

import nodes as host_nodes
from realisid_core.branches.sharing import Sharing
from realisid_core.branches.views import EnlargedFace, Inputs
from realisid_core.conditions.contours import pose_expression_image
from realisid_core.conditions.location_mask import location_mask
from realisid_core.geometry import FaceBox
from realisid_core.identity.encoder import IDEmbedding
from realisid_core.sampling import batching

WHOLE = FaceBox(0, 0, 1, 1)
LEFT = FaceBox(0.07, 0.21, 0.33, 0.33)
RIGHT = FaceBox(0.52, 0.3, 0.41, 0.41)


@pytest.fixture(scope="module")
def conditionings():
    return prompt("a person wearing a red sweater"), prompt("")


def realisid(**config):
    model = miniature().realisid
    return replace(model, config=replace(model.config, **config))


def stock(control: ControlNet, positive, negative, hint, tokens, null):
    """The host's own node, with the ID embedding as the ControlNet's context."""
    with_context = [
        [[text, {**options, "cross_attn_controlnet": context}] for text, options in conditioning]
        for conditioning, context in ((positive, tokens), (negative, null))
    ]
    return host_nodes.ControlNetApplyAdvanced().apply_controlnet(*with_context, control, hint, 1.0, 0.0, 1.0)


@pytest.mark.quick
def test_local_branch_on_the_whole_frame_is_the_stock_controlnet(conditionings):
    model = realisid(local_size=LATENT, y_mode="prompt")
    someone = person(1, WHOLE)
    ours = sample(*apply("local", *conditionings, model, [someone]))
    hint = pose_expression_image(someone.landmarks, LATENT * 8)[None]
    theirs = sample(*stock(model.parts["local"], *conditionings, hint, someone.tokens, model.null_identity()))
    assert close(ours, theirs)
    assert not close(ours, sample(*conditionings), 1e-2)


@pytest.mark.parametrize("box", [WHOLE, LEFT, FaceBox(-0.2, 0.6, 0.7, 0.7)])
def test_global_branch_of_one_person_is_the_stock_controlnet(conditionings, box):
    model = realisid(y_mode="prompt")
    someone = person(1, box)
    ours = sample(*apply("global", *conditionings, model, [someone]))
    hint = location_mask([box], LATENT * 8, LATENT * 8).movedim(1, -1)
    theirs = sample(*stock(model.parts["global"], *conditionings, hint, someone.tokens, model.null_identity()))
    assert close(ours, theirs)


@pytest.mark.parametrize("branch", ["local", "global"])
@pytest.mark.parametrize(
    ("persons", "options"),
    [
        ([person(1, LEFT)], {"strength": 0.0}),
        ([person(1, LEFT)], {"percent_range": (0.5, 0.5)}),
        ([person(1, LEFT)], {"percent_range": (0.9, 0.1)}),
        ([person(1, LEFT, 0.0, 0.0)], {}),
        ([], {}),
    ],
    ids=["strength 0", "empty range", "reversed range", "persons at strength 0", "nobody"],
)
def test_a_branch_with_nothing_to_do_changes_not_one_bit(conditionings, branch, persons, options):
    plain = sample(*conditionings)
    assert torch.equal(sample(*apply(branch, *conditionings, realisid(), persons, **options)), plain)


def test_the_same_person_twice_leaves_the_global_branch_as_it_was(conditionings):
    once = apply("global", *conditionings, realisid(), [person(1, LEFT)])
    twice = apply("global", *conditionings, realisid(), [person(1, LEFT)] * 2)
    assert close(sample(*once), sample(*twice))


def test_the_same_person_twice_doubles_the_local_branch(conditionings):
    doubled = apply("local", *conditionings, realisid(), [person(1, LEFT)], strength=2.0)
    twice = apply("local", *conditionings, realisid(), [person(1, LEFT)] * 2)
    assert close(sample(*doubled), sample(*twice))


@pytest.mark.parametrize("branch", ["local", "global"])
def test_the_order_of_persons_changes_nothing(conditionings, branch):
    people = [person(1, LEFT), person(2, RIGHT), person(3, WHOLE)]
    one = sample(*apply(branch, *conditionings, realisid(), people))
    other = sample(*apply(branch, *conditionings, realisid(), people[::-1]))
    assert close(one, other)
    swapped = [replace(people[0], box=RIGHT), replace(people[1], box=LEFT), people[2]]
    assert not close(one, sample(*apply(branch, *conditionings, realisid(), swapped)), 1e-3)


def injections(positive, negative) -> list[torch.Tensor]:
    """What one call of the UNet is given by the branches, feature map by feature map."""
    given = []

    def note(executor, x, timesteps, context, y, control, *args, **kwargs):
        given.extend(feature for place in ("middle", "output") for feature in control[place])
        return executor(x, timesteps, context, y, control, *args, **kwargs)

    model = miniature().model.clone()
    model.add_wrapper(WrappersMP.DIFFUSION_MODEL, note)
    sample(positive, negative, model, steps=1)
    return given


def regions_by_hand(boxes, cells):
    """[N, cells, cells], cell by cell: whose centre is the nearest, measured in sides of the box."""
    regions = torch.zeros(len(boxes), cells, cells)
    for i in range(cells):
        for j in range(cells):
            x, y = (j + 0.5) / cells, (i + 0.5) / cells
            away = [math.dist((x, y), (b.x + b.width / 2, b.y + b.height / 2)) / b.width for b in boxes]
            regions[away.index(min(away)), i, j] = 1
    return regions


def test_each_place_takes_the_global_features_of_the_person_whose_face_is_the_nearest(conditionings):
    people = [person(1, LEFT), person(2, RIGHT, global_=0.5), person(3, FaceBox(0.3, 0.6, 0.2, 0.2))]
    together = injections(*apply("global", *conditionings, realisid(), people))
    alone = [injections(*apply("global", *conditionings, realisid(), [one])) for one in people]
    for joined, *features in zip(together, *alone, strict=True):
        regions = regions_by_hand([one.box for one in people], joined.shape[-1])
        assert close(joined, sum(map(torch.mul, regions, features)), 1e-5)


@pytest.mark.parametrize("one_pass", [False, True])
def test_who_has_no_global_strength_keeps_their_region_to_themselves(conditionings, one_pass):
    people = [person(1, LEFT), person(2, RIGHT, global_=0.0), person(3, FaceBox(0.3, 0.6, 0.2, 0.2))]
    together = injections(*apply("global", *conditionings, realisid(), people, one_pass=one_pass))
    for joined in together:
        empty = regions_by_hand([one.box for one in people], joined.shape[-1])[1]
        assert (joined * empty).abs().amax() == 0
        assert (joined * (1 - empty)).abs().amax() > 0


def test_as_an_average_every_place_takes_the_global_features_of_everyone(conditionings):
    people = [person(1, LEFT), person(2, RIGHT)]
    together = injections(*apply("global", *conditionings, realisid(), people, sharing=Sharing.AVERAGE))
    alone = [injections(*apply("global", *conditionings, realisid(), [one])) for one in people]
    for joined, *features in zip(together, *alone, strict=True):
        assert close(joined, sum(features) / 2, 1e-5)


@pytest.mark.parametrize("side", [0.5, 1 / 4, 1 / 7])
def test_outside_the_face_box_the_local_injection_is_exactly_zero(side):
    model, box = realisid(), FaceBox(0.3, 0.25, side, side)
    network = model.parts["local"].control_model
    x = torch.randn(1, model.parts["local"].control_model.input_blocks[0][0].weight.shape[1], LATENT, LATENT)
    someone = person(1, box)
    size = model.config.local_size
    pose = pose_expression_image(someone.landmarks, size * 8).movedim(-1, 0)[None]
    y = torch.zeros(1, network.label_emb[0][0].weight.shape[1])
    with torch.no_grad():
        inputs = Inputs(x, torch.tensor([500.0]), [box], pose, someone.tokens, y)
        features = EnlargedFace(size).injection(network, inputs)
    for feature in features["output"] + features["middle"]:
        cells = feature.shape[-1]
        inside = location_mask([box], cells, cells) > 0
        assert feature.abs().amax() > 0
        assert (feature * ~inside).abs().amax() == 0


def test_rows_of_every_chain_meet_other_controlnets(conditionings):
    """A stock ControlNet before and after adds what it adds alone: injections are sums."""
    model = realisid(y_mode="prompt")
    hint = torch.rand(1, 256, 256, 3)
    other = model.parts["local"].copy()

    def with_stock(positive, negative):
        return host_nodes.ControlNetApplyAdvanced().apply_controlnet(positive, negative, other, hint, 0.7, 0.0, 1.0)

    before = apply("global", *with_stock(*conditionings), model, [person(1, LEFT)])
    after = with_stock(*apply("global", *conditionings, model, [person(1, LEFT)]))
    assert close(sample(*before), sample(*after))


@pytest.mark.parametrize("branch", ["local", "global"])
def test_a_split_batch_gives_what_one_batch_gives(conditionings, branch, monkeypatch):
    people = [person(1, LEFT), person(2, RIGHT), person(3, WHOLE)]
    together = sample(*apply(branch, *conditionings, realisid(), people))
    monkeypatch.setattr(batching, "items_at_once", lambda branch, items, unet_batch: 1)
    assert close(sample(*apply(branch, *conditionings, realisid(), people)), together)


@pytest.mark.parametrize("size", [(24, 40), (40, 24), (33, 45), (64, 64)])
def test_any_latent_size_and_batch(conditionings, size):
    frame = (size[1] * 8, size[0] * 8)
    box = FaceBox(0.2, 0.2, 80 / frame[0], 80 / frame[1])
    someone = replace(person(1, box), frame=frame)
    conds = apply("global", *conditionings, realisid(), [someone])
    conds = apply("local", *conds, realisid(), [someone])
    assert torch.isfinite(sample(*conds, size=size, batch=2, steps=1)).all()


def test_boxes_drawn_for_another_aspect_ratio_are_refused(conditionings):
    conds = apply("local", *conditionings, realisid(), [person(1, LEFT)])
    with pytest.raises(ValueError, match=rf"{FRAME[0]}×{FRAME[1]} pixels, but the picture is 320×192"):
        sample(*conds, size=(24, 40), steps=1)


def test_a_checkpoint_of_another_width_is_refused(conditionings):
    narrow = replace(person(1, LEFT), embedding=IDEmbedding(torch.zeros(1, 5, 7)))
    with pytest.raises(ValueError, match="width 7"):
        apply("local", *conditionings, realisid(), [narrow])


def test_a_checkpoint_without_projector_is_named(conditionings):
    with pytest.raises(ValueError, match="has no ID projector"):
        apply("local", *conditionings, without_projector(realisid()), [person(1, LEFT)])
