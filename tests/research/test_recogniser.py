"""The recogniser tells people of the face world apart, whatever they wear and however small they are."""

import numpy as np
import torch

from realisid_core.metrics.drawn_people import WEIGHTS, embed_faces, load_recogniser
from research.evaluation.recogniser_training import held_out, verification
from research.world import Pose, portrait, render, sample_identity

FRESH = 3 << 33  # seeds that neither training nor its own verification used


def similarities(sides=(0.5, 0.2), people=20):
    """[people, people]: large frontal pictures against small turned ones."""
    vectors = []
    for side, pose in zip(sides, (Pose(), Pose(yaw=25, pitch=-8, roll=10, smile=0.8)), strict=True):
        drawn = [render(portrait(sample_identity(FRESH + who), pose, side)) for who in range(people)]
        vectors.append(embed_faces([one.image for one in drawn], [one.boxes[0] for one in drawn]))
    return vectors[0] @ vectors[1].T


def test_vectors_have_unit_length():
    drawn = render(portrait(sample_identity(FRESH)))
    vector = embed_faces([drawn.image], drawn.boxes)
    assert vector.shape == (1, 128)
    torch.testing.assert_close(vector.norm(dim=1), torch.ones(1))


def test_everyone_is_most_like_themselves_when_small_and_turned():
    matrix = similarities()
    assert (matrix.argmax(1) == torch.arange(len(matrix))).float().mean() >= 0.95
    assert matrix.diagonal().mean() > 0.7
    assert (matrix.sum() - matrix.diagonal().sum()) / (matrix.numel() - len(matrix)) < 0.3


def test_verification_of_people_never_seen():
    result = verification(load_recogniser(), held_out(60, workers=1, first=FRESH))
    assert result["accuracy"] >= 0.98


def test_verification_of_noise_is_chance():
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (40, 4, 3, 80, 80), dtype=np.uint8))
    assert abs(verification(load_recogniser(), noise)["accuracy"] - 0.5) < 0.1


def test_the_weights_are_small():
    assert WEIGHTS.stat().st_size < 2_000_000
