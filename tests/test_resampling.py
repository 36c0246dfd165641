"""Crop-and-enlarge and relocation against brute-force integrals and against what must hold of them."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from realisid_core.conditions.location_mask import location_mask
from realisid_core.geometry import FaceBox
from realisid_core.resampling import crop_and_enlarge, crop_matrix, relocate, relocation_matrix

FINE = 4000
spans = st.tuples(st.floats(-6, 20), st.floats(0.3, 24)).map(lambda span: (span[0], span[0] + span[1]))
sizes = st.integers(1, 24)


@settings(max_examples=60, deadline=None)
@given(spans, sizes, sizes)
def test_a_shrinking_relocation_is_the_integral_of_the_piecewise_constant_features(span, n, m):
    (a, b), s = span, m / (span[1] - span[0])
    assume(s >= 1)
    at = (np.arange(n * FINE) + 0.5) / FINE
    local = np.floor((at - a) * s).astype(int)
    inside = (at >= a) & (at < b)
    expected = np.zeros((n, m))
    np.add.at(expected, (np.arange(n * FINE)[inside] // FINE, local[inside].clip(0, m - 1)), 1 / FINE)
    assert np.allclose(relocation_matrix(a, b, n, m).numpy(), expected, atol=3 / FINE)


@settings(max_examples=60, deadline=None)
@given(spans, sizes, sizes)
def test_rows_of_a_relocation_sum_to_the_covered_fraction(span, n, m):
    a, b = span
    covered = [max(0.0, min(i + 1, b) - max(i, a)) for i in range(n)]
    assert np.allclose(relocation_matrix(a, b, n, m).sum(1).numpy(), covered)


@settings(max_examples=60, deadline=None)
@given(spans, sizes, sizes)
def test_cropping_samples_a_ramp_where_it_says(span, n, m):
    """Linear interpolation is exact on a ramp: cell j of the crop reads the coordinate of its own centre."""
    a, b = span
    ramp = torch.arange(n, dtype=torch.float64) + 0.5
    centres = a + (torch.arange(m) + 0.5) * (b - a) / m
    assert torch.allclose(crop_matrix(a, b, n, m) @ ramp, centres.clamp(0.5, n - 0.5).double())


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.5, 1), st.floats(-0.5, 1), st.floats(0.05, 1.5), sizes, sizes)
def test_relocating_a_constant_gives_the_location_mask(x, y, side, n, m):
    box = FaceBox(x, y, side, side)
    ones = torch.ones(1, 2, m, m)
    assert torch.allclose(relocate(ones, [box], n, n), location_mask([box], n, n).expand(-1, 2, -1, -1), atol=1e-6)


def test_the_whole_frame_at_its_own_size_is_left_as_it_is():
    x = torch.randn(2, 3, 16, 16)
    whole = [FaceBox(0, 0, 1, 1)] * 2
    assert torch.equal(crop_and_enlarge(x, whole, 16), x)
    assert torch.equal(relocate(x, whole, 16, 16), x)


@pytest.mark.parametrize("m", [3, 16, 40])
def test_moving_a_box_by_one_cell_moves_the_result_by_one_cell(m):
    features = torch.randn(1, 3, m, m)
    here, there = FaceBox(0.31, 0.2, 0.37, 0.37), FaceBox(0.31 + 1 / 16, 0.2 - 1 / 16, 0.37, 0.37)
    moved = relocate(features, [here], 16, 16).roll((-1, 1), dims=(2, 3))
    assert torch.allclose(relocate(features, [there], 16, 16), moved, atol=1e-5)


def test_a_box_half_outside_the_frame_keeps_its_inside_half():
    features = torch.randn(1, 3, 8, 8)
    wide = relocate(features, [FaceBox(0.25, 0.25, 0.5, 0.5)], 16, 16)
    cut = relocate(features, [FaceBox(-0.25, 0.25, 0.5, 0.5)], 16, 16)
    assert torch.allclose(cut[..., :4], wide[..., 8:12], atol=1e-6)
    assert not cut[..., 4:].any()


def test_each_item_of_a_batch_has_its_own_box():
    x, boxes = (
        torch.randn(3, 2, 12, 20),
        [FaceBox(0.1, 0.1, 0.3, 0.5), FaceBox(0.5, 0, 0.2, 0.33), FaceBox(0, 0, 0.6, 1)],
    )
    together = crop_and_enlarge(x, boxes, 10)
    alone = torch.cat([crop_and_enlarge(x[i : i + 1], [box], 10) for i, box in enumerate(boxes)])
    assert torch.allclose(together, alone, atol=1e-6)


def test_both_are_differentiable():
    x = torch.randn(1, 2, 8, 8, dtype=torch.float64, requires_grad=True)
    box = [FaceBox(0.13, 0.3, 0.5, 0.5)]
    assert torch.autograd.gradcheck(lambda x: relocate(crop_and_enlarge(x, box, 6), box, 8, 8), (x,))
