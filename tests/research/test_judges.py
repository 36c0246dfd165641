"""The second world's judges: how they are trained and measured, and what MediaPipe's geometry tells by itself."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from research.evaluation import judges_training as training
from research.evaluation import shape
from research.evaluation.judges import CROP, SHAPES, FaceRecogniser, load_judge, recognise, weights_file
from research.recipe.ahead import Ahead
from research.world import portrait, render, sample_family, sample_person
from research.world.identity import GEOMETRY

FRESH = 30 << 33  # seeds that nothing else uses


@pytest.mark.parametrize("name", list(SHAPES))
def test_a_recogniser_gives_unit_vectors_of_any_faces(name):
    network = FaceRecogniser(SHAPES[name]).eval()
    drawn = [render(portrait(sample_person(FRESH + who), side=side), 128) for who, side in ((1, 0.5), (2, 0.3))]
    vectors = recognise(network, [one.image for one in drawn], [one.boxes[0] for one in drawn])
    assert vectors.shape == (2, 128)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    sides = [map_.shape[-1] for map_ in network.maps(torch.zeros(1, 3, CROP, CROP))]
    assert sides == [56, 28, 14, 7]


def test_the_two_recognisers_differ_in_shape_and_people():
    judge, trainer = (FaceRecogniser(SHAPES[name]).state_dict() for name in ("judge", "trainer"))
    assert {tuple(value.shape) for value in judge.values()} != {tuple(value.shape) for value in trainer.values()}
    assert len(set(training.FIRST.values())) == 3
    assert min(abs(a - b) for a in training.FIRST.values() for b in training.FIRST.values() if a != b) >= 1 << 33


def test_a_batch_is_the_same_in_every_run():
    def drawn(workers):
        families = Ahead(training.draw_family, training.KEPT, workers)
        try:
            return training.batch(families, FRESH, 1, torch.Generator().manual_seed(3))
        finally:
            families.close()

    (images, points, targets), (again, _, same) = drawn(0), drawn(1)
    assert images.shape == (training.FAMILIES * 4, 3, CROP, CROP)
    torch.testing.assert_close(images, again, rtol=0, atol=0)
    torch.testing.assert_close(targets, same, rtol=0, atol=0)
    assert points.abs().max() < 1.5 and points.abs().mean() > 0.2  # in the crop's own frame
    members = targets.unflatten(0, (training.FAMILIES, 2, 2))
    assert (members == members[:, :, :1]).all()  # all pictures of somebody are of the same person
    colours = members[:, :, 0, len(GEOMETRY) :]
    assert (colours == colours[:, :1]).all()  # a family shares its colours
    assert (members[:, 0, 0, : len(GEOMETRY)] != members[:, 1, 0, : len(GEOMETRY)]).any(1).all()


def test_contrast_wants_a_persons_pictures_together():
    spread = F.normalize(torch.randn(16, 32, generator=torch.Generator().manual_seed(0)), dim=1)
    gathered = spread[::4].repeat_interleave(4, 0)
    assert training.contrast(gathered, 4) < 0.1 + torch.tensor(3.0).log()  # three others are as close as one can be
    assert training.contrast(spread, 4) > training.contrast(gathered, 4) + 0.5


def test_family_strangers_are_the_others_of_the_family():
    assert training.family_strangers(2, 3).tolist() == [[1, 2], [0, 2], [0, 1], [4, 5], [3, 5], [3, 4]]


def test_verification_of_noise_is_chance_and_of_clear_people_is_right():
    random = torch.Generator().manual_seed(0)
    noise = F.normalize(torch.randn(60, 4, 16, generator=random), dim=2)
    strangers = (torch.arange(60)[:, None] + torch.arange(1, 4)) % 60
    assert abs(training.verification(noise, strangers).accuracy - 0.5) < 0.08
    clear = F.normalize(noise[:, :1] + 0.05 * noise, dim=2)
    found = training.verification(clear, strangers)
    assert found.accuracy > 0.99 and found.same > 0.95


@pytest.mark.skipif(not shape.FILE.is_file(), reason="SKIPPED: run python -m research.evaluation.shape fit.")
def test_shapes_tell_a_family_apart():
    vectors = []
    for member, who in enumerate(sample_family(FRESH + 7, 4)):
        faces = shape.drawn_faces(who, 3, FRESH + member)
        assert len(faces) == 3
        vectors.append(np.stack([shape.shape_vector(face) for face in faces]))
    vectors = torch.from_numpy(np.stack(vectors))
    found = shape.alike(vectors[:, None, :, None], vectors[None, :, None, :])  # [4, 4, 3, 3]
    own = torch.eye(4, dtype=torch.bool)
    pairs = ~torch.eye(3, dtype=torch.bool)
    within, between = found[own][:, pairs], found[~own]
    assert within.mean() > between.mean() + 1
    assert (within > 0).float().mean() > 0.6 and (between < 0).float().mean() > 0.6


@pytest.mark.skipif(not weights_file("judge").is_file(), reason="SKIPPED: the judge has not been shipped yet.")
def test_the_judge_tells_people_and_families_apart():
    judge = load_judge("judge")
    assert training.check_people(judge, 30, first=FRESH).accuracy > 0.95
    assert training.check_families(judge, 10, first=FRESH).accuracy > 0.8
