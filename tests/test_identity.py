"""From photos of a person to the ID embedding, with the miniature's networks on real photos."""

from dataclasses import replace

import pytest
import torch
from photos import photo
from pictures import miniature, without_projector
from realisid_pack.nodes.boxes import LocationBoxes
from realisid_pack.nodes.previews import draw_layout

from realisid_core.conditions.location_mask import union_mask
from realisid_core.geometry import FaceBox, FaceBoxes
from realisid_core.identity.encoder import IDEmbedding
from realisid_core.perception import Faces, detect_faces, masked_crops, parse_faces
from realisid_core.perception.layout import boxes_from_faces
from realisid_core.persons import combine, embed_person, place

FRAME = FaceBoxes((FaceBox(0.1, 0.1, 0.3, 0.3), FaceBox(0.5, 0.5, 0.25, 0.25)), 512, 512)


@pytest.fixture(scope="module")
def faces() -> Faces:
    return parse_faces(detect_faces(photo("astronaut"), pick=1), "auto", "face and hair")


def embed(faces, realisid=None) -> IDEmbedding:
    return embed_person(realisid or miniature().realisid, miniature().clip_vision, faces)[0]


def test_the_embedding_is_the_projection_of_clips_penultimate_layer(faces):
    """Against the projector's own two layers, worked out by hand."""
    realisid = miniature().realisid
    features = miniature().clip_vision.encode_image(masked_crops(faces, 512), crop=False).penultimate_hidden_states
    weights = realisid.parts["id_projector"].model.state_dict()
    normal = torch.nn.functional.layer_norm(features, features.shape[-1:], weights["norm.weight"], weights["norm.bias"])
    assert torch.allclose(embed(faces).tokens, normal @ weights["proj.weight"].T + weights["proj.bias"], atol=1e-4)


def test_the_null_identity_is_the_projection_of_zeros():
    realisid = miniature().realisid
    null = realisid.null_identity()
    assert null.shape == (1, realisid.config.clip_tokens, realisid.config.context_dim)
    weights = realisid.parts["id_projector"].model.state_dict()
    expected = weights["norm.bias"] @ weights["proj.weight"].T + weights["proj.bias"]
    assert torch.allclose(null, expected.expand_as(null), atol=1e-5)


def test_several_photos_of_a_person_are_averaged(faces):
    flipped = detect_faces(photo("astronaut").flip(2), pick=1)
    both = detect_faces(torch.cat([photo("astronaut"), photo("astronaut").flip(2)]), pick=1)
    alone = [embed(one).tokens for one in (faces, flipped)]
    assert torch.allclose(embed(both).tokens, sum(alone) / 2, atol=1e-4)


def test_faces_that_nobody_parsed_are_parsed_as_the_checkpoint_was_trained(faces):
    unparsed = detect_faces(photo("astronaut"), pick=1)
    assert torch.equal(embed(unparsed).tokens, embed(faces).tokens)


def test_the_embedding_carries_the_reference_photos_own_pose(faces):
    assert embed(faces).landmarks["landmarks_xy"].shape == (478, 2)


def test_a_clip_vision_model_of_another_kind_is_refused_with_both_sizes(faces):
    realisid = miniature().realisid
    other = replace(realisid, config=replace(realisid.config, clip_width=1280, clip_tokens=257, clip_vision="ViT-H"))
    with pytest.raises(ValueError, match=r"65 tokens of width 160.*needs 257 of width 1280 \(ViT-H\)"):
        embed(faces, other)


def test_no_face_and_no_projector_are_named(faces):
    with pytest.raises(ValueError, match="faces holds no face"):
        embed(Faces(photo("astronaut"), [[]]))
    with pytest.raises(ValueError, match="has no ID projector"):
        embed(faces, without_projector(miniature().realisid))


def test_an_index_without_a_box_says_how_many_there_are(faces):
    embedding = embed(faces)
    with pytest.raises(ValueError, match="index is 2, but there are 2 face boxes, numbered from 0"):
        place(embedding, FRAME, 2)
    assert place(embedding, FRAME, 1).box == FRAME.boxes[1]


def test_landmarks_of_another_photo_replace_the_references_own(faces):
    other = {"frames": [[], [{"landmarks_xy": "other"}]]}
    assert place(embed(faces), FRAME, 0, other).landmarks == {"landmarks_xy": "other"}
    with pytest.raises(ValueError, match="landmarks has no face in it"):
        place(embed(faces), FRAME, 0, {"frames": [[]]})
    with pytest.raises(ValueError, match="No landmarks were found in the reference photo"):
        place(IDEmbedding(torch.zeros(1, 1, 1)), FRAME, 0)


def test_persons_of_different_pictures_cannot_be_combined(faces):
    embedding = embed(faces)
    here, there = place(embedding, FRAME, 0), place(embedding, replace(FRAME, width=1024, height=1024), 0)
    assert combine([(here,), (here,)]) == (here, here)
    with pytest.raises(ValueError, match="512×512 and 1024×1024"):
        combine([(here,), (there,)])


def test_boxes_come_from_the_faces_of_a_layout_photo(faces):
    """The photo is fitted into the frame and centred: a square photo in a wide frame leaves bars at its sides."""
    height, width = faces.image.shape[1:3]
    assert height == width
    x0, y0, x1, y1 = faces.faces[0][0].box
    (box,) = boxes_from_faces(faces, 2 * width, height, scale=0.5).boxes
    left, top, right, bottom = box.scaled(2 * width, height)
    assert (left + right) / 2 == pytest.approx((x0 + x1) / 2 + width / 2)
    assert (top + bottom) / 2 == pytest.approx((y0 + y1) / 2)
    assert right - left == pytest.approx((x1 - x0) / 2)
    with pytest.raises(ValueError, match="no box to make"):
        boxes_from_faces([], 512, 512)


def test_the_mask_of_all_boxes_is_one_inside_any_of_them():
    mask = union_mask(FRAME)
    assert mask.shape == (1, 512, 512)
    assert mask[0, 100, 100] == mask[0, 300, 300] == 1
    assert mask[0, 100, 400] == mask[0, 10, 10] == 0
    assert float(mask.sum()) == pytest.approx((0.3**2 + 0.25**2) * 512**2, rel=1e-3)


def test_the_drawing_has_the_pictures_aspect_ratio():
    assert draw_layout(replace(FRAME, boxes=(), width=1024, height=512)).shape == (1, 384, 768, 3)


def test_a_name_of_several_lines_is_drawn_in_one():
    named = [replace(FRAME, boxes=(FaceBox(0.1, 0.1, 0.3, 0.3, name),)) for name in ("Ada\nB", "Ada B")]
    assert torch.equal(*map(draw_layout, named))


@pytest.mark.parametrize(
    "connected", [[{"x": 2000, "y": 0, "width": 9, "height": 9}], [{"x": 0}]], ids=["far", "broken"]
)
def test_connected_boxes_that_cannot_be_used_do_not_matter_where_some_are_drawn(connected):
    drawn = '[{"x": 0.3, "y": 0.2, "size": 0.25}]'
    face_boxes = LocationBoxes.execute(512, 512, drawn, bboxes=connected)[0]
    assert len(face_boxes.boxes) == 1
    with pytest.raises(ValueError, match="bboxes, in pixels of the 512×512 picture: "):
        LocationBoxes.execute(512, 512, "[]", bboxes=connected)


def test_a_background_is_fitted_and_centred_as_boxes_from_its_faces_are():
    red = torch.tensor([1.0, 0.0, 0.0]).expand(1, 100, 100, 3)
    drawn = draw_layout(replace(FRAME, boxes=(), width=1024, height=512), red)[0]
    assert torch.allclose(drawn[192, 384], red[0, 0, 0])
    assert not torch.allclose(drawn[192, 20], red[0, 0, 0])
