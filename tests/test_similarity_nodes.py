"""ID Similarity and Best of Batch: whom they compare with whom, and what they say."""

import json
from dataclasses import replace

import numpy as np
import photos
import pytest
import torch
from pictures import miniature
from realisid_pack.nodes.from_photo import PersonFromPhoto
from realisid_pack.nodes.similarity import BestOfBatch, IDSimilarity

from realisid_core.geometry import FaceBox, FaceBoxes
from realisid_core.metrics.drawn_people import DrawnPeople
from realisid_core.metrics.scoring import Wanted, likeness, score_pictures, wanted_people
from realisid_core.perception import Faces, detect_faces

WIDE = (1024, 512)
LEFT, RIGHT = FaceBox(0.17, 0.12, 0.11, 0.22, "Ada"), FaceBox(0.62, 0.2, 0.2, 0.4)


def faces(name: str) -> Faces:
    return detect_faces(photos.photo(name), maximum=1)


@pytest.fixture(scope="module")
def group():
    """The astronaut on the left and the admiral on the right, and boxes where their faces are."""
    image = photos.side_by_side()
    height, width = image.shape[1:3]
    squares = [face.square for face in detect_faces(image, order="left to right").faces[0]]
    boxes = [FaceBox(x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height) for x0, y0, x1, y1 in squares]
    return image, FaceBoxes((replace(boxes[0], name="Ada"), boxes[1]), width, height)


def both_faces() -> Faces:
    image = torch.cat([photos.photo("astronaut"), photos.photo("grace_hopper")[:, 44:556]])
    return detect_faces(image, maximum=1)


def test_each_person_is_compared_with_the_face_in_their_box(group):
    image, boxes = group
    output = IDSimilarity.execute(image, "miniature", references=both_faces(), boxes=boxes)
    picture, mean, details = output.result
    said = json.loads(details)
    ada, other = said["pictures"][0]["people"]
    assert said["judge"] == "the miniature's judge"
    assert (ada["name"], other["name"]) == ("Ada", "person 2")
    assert min(ada["similarity"], other["similarity"]) > 0.95, "the very same faces"
    assert mean == pytest.approx((ada["similarity"] + other["similarity"]) / 2, abs=1e-4)
    assert picture.shape[0] == 1 and not torch.equal(picture[:, : image.shape[1], : image.shape[2]], image)
    assert "knows drawn people only" in output.ui["text"][0] and "Ada" in output.ui["text"][0]

    swapped = FaceBoxes(boxes.boxes[::-1], boxes.width, boxes.height)
    exchanged = IDSimilarity.execute(image, "miniature", references=both_faces(), boxes=swapped).result[1]
    assert exchanged < mean - 0.2


def test_persons_bring_their_own_photos_and_boxes(group):
    image, boxes = group
    realisid = miniature().realisid
    first = PersonFromPhoto.execute(photos.photo("astronaut"), boxes, realisid, "Ada").result[0]
    both = PersonFromPhoto.execute(photos.photo("grace_hopper"), boxes, realisid, "2", persons=first).result[0]
    _, mean, details = IDSimilarity.execute(image, "miniature", persons=both).result
    people = json.loads(details)["pictures"][0]["people"]
    assert [one["name"] for one in people] == ["Ada", "person 2"] and mean > 0.9


def test_without_a_box_the_most_alike_face_counts(group):
    image, _ = group
    for name in ("astronaut", "grace_hopper"):
        assert IDSimilarity.execute(image, "miniature", references=faces(name)).result[1] > 0.9


def test_a_person_who_is_not_there_counts_as_nothing(group):
    image, boxes = group
    empty = FaceBoxes((FaceBox(0.4, 0.7, 0.1, 0.2, "Nobody"),), boxes.width, boxes.height)
    _, mean, details = IDSimilarity.execute(image, "miniature", references=faces("astronaut"), boxes=empty).result
    assert mean == 0 and json.loads(details)["pictures"][0]["people"][0]["found"] is False
    grey = torch.full((1, 128, 128, 3), 0.5)
    assert IDSimilarity.execute(grey, "miniature", references=faces("astronaut")).result[1] == 0


def test_the_best_of_a_batch_is_first_and_the_rest_follow_in_order():
    astronaut, admiral = photos.photo("astronaut"), photos.photo("grace_hopper")[:, 44:556]
    grey = torch.full_like(astronaut, 0.5)
    batch = torch.cat([grey, admiral, astronaut])
    images, best, details = BestOfBatch.execute(batch, "miniature", references=faces("astronaut")).result
    assert torch.equal(images[0], astronaut[0]) and best > 0.95
    order = [one["picture"] for one in json.loads(details)["pictures"]]
    values = [one["likeness"] for one in json.loads(details)["pictures"]]
    assert order[0] == 3 and values == sorted(values, reverse=True)
    assert len(BestOfBatch.execute(batch, "miniature", keep=2, references=faces("astronaut")).result[0]) == 2


def test_scores_are_the_judges_own_cosines(group):
    """By the judge's vectors of the two faces, multiplied here."""
    image, _ = group
    found = detect_faces(image, order="left to right")
    own, there = (DrawnPeople().vectors(one).numpy() for one in (faces("astronaut"), found))
    (score,) = score_pictures(image, [Wanted("she", faces("astronaut"))], DrawnPeople())[0]
    assert score.similarity == pytest.approx(float(np.max(there @ own[0])), abs=1e-5)
    assert likeness([score, replace(score, similarity=0.0)]) == pytest.approx(score.similarity / 2)


def test_what_does_not_fit_together_is_said(group):
    image, boxes = group
    with pytest.raises(ValueError, match="Neither persons nor references is connected"):
        wanted_people()
    with pytest.raises(ValueError, match="references has 1 faces and boxes has 2 boxes; expected one face for each"):
        wanted_people(references=faces("astronaut"), boxes=boxes)
    with pytest.raises(ValueError, match=r"image is 512×512, but the face boxes were drawn for 1024×512"):
        IDSimilarity.execute(photos.photo(), "miniature", references=both_faces(), boxes=boxes)
    with pytest.raises(ValueError, match=r"judge is 'zz'; expected one of auto, sface"):
        IDSimilarity.execute(image, "zz", references=faces("astronaut"))
    from pictures import prompt

    from realisid_core.attention.own_words import words_of
    from realisid_core.persons import place

    nobody = place(None, boxes, 1, words=words_of(prompt("a man")))
    with pytest.raises(ValueError, match="persons has nobody with a reference photo"):
        wanted_people((nobody,))
