"""A part of the picture is an area: tiles and crops get the boxes as they lie in them, or are refused in a sentence.

The tilers here do what public ones do to ControlNets, by what those read and write of one: they copy the chain and crop
`cond_hint_original` (Ultimate SD Upscale), or set `cond_hint` tile by tile in a `model_function_wrapper` (Tiled
Diffusion, whose SpotDiffusion rolls it first).
"""

from dataclasses import replace

import comfy.sample
import comfy.samplers
import pytest
import torch
from comfy.utils import common_upscale
from pictures import FRAME, LATENT, LEFT, RIGHT, apply, close, miniature, person, prompt, rows_of, sample
from torch.nn.functional import interpolate

import nodes as host_nodes
from realisid_core.geometry import FaceBox
from realisid_core.sampling.frames import Frame, frame_map, part_of_frame
from realisid_core.sampling.guidance import IdentityGuidance
from realisid_core.sampling.rows import WHOLE_FRAME

CELLS, PIXELS = LATENT, FRAME[0]


@pytest.mark.parametrize("size", [(512, 512), (96, 128), (37, 41)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_piece_of_the_map_says_where_it_is(size, dtype):
    piece = frame_map(640, 512)[:, :, 100:356, 40:296]
    for mode in ("nearest-exact", "bilinear"):
        y, x, height, width = part_of_frame(interpolate(piece, size=size, mode=mode)[0].to(dtype))
        expected = torch.tensor([100 / 512, 40 / 640, 256 / 512, 256 / 640])
        assert torch.allclose(torch.tensor([y, x, height, width]), expected, atol=3e-3)


def test_a_piece_across_the_edge_of_a_rolled_map_goes_on_past_it():
    piece = frame_map(640, 512).roll(shifts=64, dims=-1)[0, :, :, :320]
    y, x, height, width = part_of_frame(piece)
    assert torch.allclose(torch.tensor([y, x, height, width]), torch.tensor([0, 576 / 640, 1, 0.5]), atol=1e-4)


@pytest.mark.parametrize("hint", [torch.rand(3, 64, 64), torch.zeros(3, 64, 64), torch.full((3, 64, 64), torch.nan)])
def test_another_picture_is_no_piece_of_the_map(hint):
    assert part_of_frame(hint) is None


def conds(*people, branch="local", **settings):
    return apply(branch, prompt("a person"), prompt(""), miniature().realisid, people, **settings)


def crop_conditioning(conditioning, region, tile):
    """As Ultimate SD Upscale: `region` (x0, y0, x1, y1) in pixels of the picture, `tile` (width, height)."""
    cropped = []
    for tokens, options in conditioning:
        chain = options["control"]
        control = chain.copy()
        options = {**options, "control": control}
        while chain is not None:
            hint = control.cond_hint_original
            width, height = hint.shape[:-3:-1]
            x0, y0, x1, y1 = (round(at * side / PIXELS) for at, side in zip(region, (width, height) * 2, strict=True))
            control.cond_hint_original = interpolate(hint[:, :, y0:y1, x0:x1], size=tile[::-1], mode="nearest-exact")
            chain = chain.previous_controlnet
            control.set_previous_controlnet(None if chain is None else chain.copy())
            control = control.previous_controlnet
        cropped.append([tokens, options])
    return cropped


@pytest.mark.parametrize("branch", ["local", "global"])
@pytest.mark.parametrize("scale", [1, 2])
def test_a_tile_of_a_cropped_hint_shows_the_face_where_the_picture_has_it(branch, scale):
    """The tile's own picture, with the box as it lies there, is what the tile gets: here the right half."""
    size = (CELLS * scale, CELLS * scale // 2)
    region, tile = (PIXELS // 2, 0, PIXELS, PIXELS), (size[1] * 8, size[0] * 8)
    positive, negative = (crop_conditioning(c, region, tile) for c in conds(person(1, RIGHT), branch=branch))
    ours = sample(positive, negative, size=size)
    there = replace(person(1, RIGHT), box=RIGHT.seen_from((0, 0.5, 1, 0.5), 1, 1), frame=tile)
    assert close(ours, sample(*conds(there, branch=branch), size=size), 1e-3)
    assert not close(ours, sample(*conds(replace(there, box=LEFT), branch=branch, any_size=True), size=size), 1e-3)


def test_both_branches_of_a_chain_are_cropped():
    both = apply("global", *conds(person(1, RIGHT)), miniature().realisid, [person(1, RIGHT)])
    region, tile = (PIXELS // 2, 0, PIXELS, PIXELS), (PIXELS // 2, PIXELS)
    ours = sample(*(crop_conditioning(c, region, tile) for c in both), size=(CELLS, CELLS // 2))
    there = replace(person(1, RIGHT), box=RIGHT.seen_from((0, 0.5, 1, 0.5), 1, 1), frame=tile)
    expected = apply("global", *conds(there), miniature().realisid, [there])
    assert close(ours, sample(*expected, size=(CELLS, CELLS // 2)), 1e-3)


def test_a_tile_that_shows_no_face_gets_no_local_branch_at_no_cost(monkeypatch):
    region, tile = (PIXELS // 2, 0, PIXELS, PIXELS), (PIXELS // 2, PIXELS)
    someone = person(1, FaceBox(0.05, 0.3, 0.3, 0.3))
    cropped = [crop_conditioning(c, region, tile) for c in conds(someone)]
    rows = rows_of("local", monkeypatch)
    ours = sample(*cropped, size=(CELLS, CELLS // 2))
    assert rows == []
    assert close(ours, sample(prompt("a person"), prompt(""), size=(CELLS, CELLS // 2)), 1e-5)


class Tiler:
    """As Tiled Diffusion: tiles in a batch, the hint resized to the latent, sliced and set on each control."""

    def __init__(self, tiles, shift=0):
        self.tiles, self.shift = tiles, shift
        self.control = None

    def patch(self, model, *conditionings):
        for conditioning in conditionings:
            for _, options in conditioning:
                control = options["control"]
                if not hasattr(control, "get_control_orig"):
                    control.get_control_orig = control.get_control
                control.get_control = lambda *_, control=control: control
        model = model.clone()
        model.set_model_unet_function_wrapper(self)
        return model

    def __call__(self, apply_model, given):
        x, c, numbers = given["input"], given["c"], given["cond_or_uncond"]
        height, width = (side * 8 for side in x.shape[-2:])
        out, count = torch.zeros_like(x), torch.zeros_like(x)
        x = x.roll(self.shift, -1)
        control = c["control"]
        while control is not None:
            hint = common_upscale(control.cond_hint_original, width, height, control.upscale_algorithm, "center")
            hint = hint.roll(self.shift * 8, -1).expand(len(x), -1, -1, -1)
            slices = [hint[..., 8 * y0 : 8 * y1, 8 * x0 : 8 * x1] for y0, x0, y1, x1 in self.tiles]
            control.cond_hint = torch.cat(slices)
            control = control.previous_controlnet
        tiles = torch.cat([x[..., y0:y1, x0:x1] for y0, x0, y1, x1 in self.tiles])
        times = given["timestep"].repeat(len(self.tiles))
        cut = {k: v.repeat(len(self.tiles), *[1] * (v.ndim - 1)) if torch.is_tensor(v) else v for k, v in c.items()}
        cut["control"] = c["control"].get_control_orig(tiles, times, cut, len(numbers), c["transformer_options"])
        for (y0, x0, y1, x1), part in zip(
            self.tiles, apply_model(tiles, times, **cut).chunk(len(self.tiles)), strict=True
        ):
            out[..., y0:y1, x0:x1] += part
            count[..., y0:y1, x0:x1] += 1
        return (out / count).roll(-self.shift, -1)


def one_step(positive, negative, model=None, size=(CELLS, CELLS)):
    return sample(positive, negative, model, 4.0, sigmas=torch.tensor([3.0, 0.0]), size=size)


@pytest.mark.parametrize("branch", ["local", "global"])
def test_a_tiler_of_one_tile_changes_nothing(branch):
    someone = person(1, RIGHT)
    expected = one_step(*conds(someone, branch=branch))
    tiled = conds(someone, branch=branch)
    model = Tiler([(0, 0, CELLS, CELLS)]).patch(miniature().model, *tiled)
    assert close(one_step(*tiled, model), expected, 1e-3)


@pytest.mark.parametrize("branch", ["local", "global"])
@pytest.mark.parametrize("shift", [0, 8], ids=["tiles", "rolled"])
def test_tiles_of_one_batch_each_show_the_face_where_the_picture_has_it(branch, shift):
    """Each half alone, as a picture with the box as it lies there; rolled, the face lies across the edge."""
    half = CELLS // 2
    someone = person(1, RIGHT)
    tiled = conds(someone, branch=branch)
    model = Tiler([(0, 0, CELLS, half), (0, half, CELLS, CELLS)], shift).patch(miniature().model, *tiled)
    ours = one_step(*tiled, model).roll(shift, -1)

    turned = -1 if shift else 0
    for number, turn in enumerate((turned, 0)):
        box = replace(RIGHT, x=RIGHT.x + shift / CELLS + turn).seen_from((0, number / 2, 1, 0.5), 1, 1)
        alone = Tiler([(0, number * half, CELLS, (number + 1) * half)], shift)
        there = conds(replace(someone, box=box, frame=(PIXELS // 2, PIXELS)), branch=branch)
        expected = _half(there, alone, number)
        assert close(ours[..., number * half : (number + 1) * half], expected, 2e-3)


def _half(there, tiler, number):
    """What the network makes of one half of the same noise, as a picture of its own."""
    half = CELLS // 2
    noise = comfy.sample.prepare_noise(torch.zeros(1, 12, CELLS, CELLS), 1).roll(tiler.shift, -1)
    noise = noise[..., number * half : (number + 1) * half]
    sampler, sigmas = comfy.samplers.sampler_object("euler"), torch.tensor([3.0, 0.0])
    model = miniature().model
    sizes = {"width": PIXELS, "height": PIXELS}  # SDXL's size conditioning is the whole picture's
    positive, negative = ([[t, {**o, **sizes}] for t, o in c] for c in there)
    options = {"latent_image": torch.zeros_like(noise), "seed": 1}
    return comfy.samplers.sample(model, noise, positive, negative, 4.0, model.load_device, sampler, sigmas, **options)


@pytest.mark.parametrize("cells", [CELLS // 2, CELLS * 2])
@pytest.mark.parametrize("guided", [False, True])
def test_a_latent_of_another_size_is_refused_unless_it_is_said_to_be_the_whole_picture(cells, guided):
    """It could be a face detailer's crop."""
    model = IdentityGuidance(5.0).patch(miniature().model) if guided else miniature().model
    with pytest.raises(ValueError, match=rf"{cells * 8}×{cells * 8} pixels, not of the 256×256 .* turn on any_size"):
        sample(*conds(person(1, RIGHT)), model, size=(cells, cells))
    picture = sample(*conds(person(1, RIGHT), any_size=True), model, size=(cells, cells), steps=1)
    assert torch.isfinite(picture).all()


@pytest.mark.parametrize("size", [(CELLS // 2, CELLS), (CELLS, CELLS // 2)])
def test_a_crop_of_another_shape_is_refused_either_way(size):
    for any_size in (False, True):
        with pytest.raises(ValueError, match="they would not be square"):
            sample(*conds(person(1, RIGHT), any_size=any_size), size=size)


def test_rounding_to_whole_cells_is_no_other_size():
    someone = replace(person(1, RIGHT), frame=(259, 263))
    assert torch.isfinite(sample(*conds(someone), size=(CELLS, CELLS), steps=1)).all()


def test_a_hint_that_is_no_piece_of_the_frame_is_refused():
    positive, negative = conds(person(1, RIGHT))
    positive[0][1]["control"].cond_hint_original = torch.rand(1, 3, 64, 64)
    with pytest.raises(ValueError, match="replaced the hint of a RealisID branch"):
        sample(positive, negative)


def test_a_regional_prompt_in_a_tile_is_an_area_of_the_tile():
    boxes = Frame(PIXELS, PIXELS).boxes_in(
        (0, 8, 16, 8), (16, 8), (16, 16), frame_map(PIXELS, PIXELS)[..., 128:, 128:], None, [person(1, RIGHT)]
    )
    expected = RIGHT.seen_from((0.5, 0.5, 0.5, 0.5), 1, 1).seen_from((0, 0.5, 1, 0.5), 1, 1)
    ours = boxes[0]
    assert (ours.x, ours.y, ours.width) == pytest.approx((expected.x, expected.y, expected.width), abs=1e-5)


def test_boxes_of_the_whole_picture_are_as_drawn():
    frame = Frame(PIXELS, PIXELS)
    assert frame.boxes_in(WHOLE_FRAME, (CELLS, CELLS), None, frame.hint(), None, [person(1, LEFT)]) == (LEFT,)


@pytest.mark.parametrize("sides", [(0.5, 0.5, 1.0, 0.5), (0.01, 1.0, 0.999, 0.0)])
def test_a_regional_prompt_without_a_cell_is_refused_in_a_sentence(sides):
    """The host's own error would be one of a convolution."""
    (nowhere,) = host_nodes.ConditioningSetAreaPercentage().append(prompt("a person"), *sides, 1.0)
    conditionings = nowhere + prompt("a garden"), prompt("")
    applied = apply("global", *conditionings, miniature().realisid, [person(1, RIGHT)])
    with pytest.raises(ValueError, match="regional prompt's area has no cell in this picture"):
        sample(*applied, steps=1)
