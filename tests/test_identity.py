"""From photos of a person to the ID embedding, with the miniature's networks on real photos."""

import inspect
import json
import re
import sys
import time
from dataclasses import replace

import folder_paths
import pytest
import torch
from photos import photo, side_by_side
from pictures import landmarks, miniature, without_projector
from realisid_pack.nodes.boxes import BoxesFromFaces, LocationBoxes
from realisid_pack.nodes.identity import IDEmbeddingNode
from realisid_pack.nodes.persons import CombinePersons, Person
from realisid_pack.nodes.previews import draw_layout

from realisid_core.conditions.contours import contour_lines
from realisid_core.conditions.location_mask import union_mask
from realisid_core.geometry import FaceBox, FaceBoxes, checked
from realisid_core.identity.clip_projector import fingerprint_of
from realisid_core.identity.encoder import IDEmbedding
from realisid_core.identity.fingerprint import same_fingerprint
from realisid_core.miniature import initial, networks
from realisid_core.perception import Faces, detect_faces, masked_crops, parse_faces
from realisid_core.perception.faces import Parsing
from realisid_core.perception.layout import boxes_from_faces
from realisid_core.persons import combine, embed_person, place, refuse_foreign

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
    with pytest.raises(ValueError, match="no face in the faces input"):
        embed(Faces(photo("astronaut"), [[]]))
    with pytest.raises(ValueError, match="has no ID projector"):
        embed(faces, without_projector(miniature().realisid))


def test_several_faces_in_one_picture_are_refused_with_how_to_choose(faces):
    two = detect_faces(side_by_side())
    with pytest.raises(
        ValueError, match=r"2 faces in picture 1 of faces.*one person.*set face to the number of theirs"
    ):
        embed(two)
    one_each = detect_faces(torch.cat([photo("astronaut"), photo("astronaut").flip(2)]), maximum=1)
    assert embed(one_each).tokens.shape == embed(faces).tokens.shape


ADA, BEA = FaceBox(0.1, 0.1, 0.3, 0.3, "Ada"), FaceBox(0.5, 0.5, 0.25, 0.25, "Bea")


@pytest.fixture(scope="module")
def somebody(faces):
    return embed(faces)


@pytest.mark.parametrize(
    ("box", "chosen"), [("1", 1), (" 2 ", 2), (2, 2), ("Bea", 2), ("  bea ", 2), ("3", 3), ("", None)]
)
def test_a_box_is_chosen_by_number_from_one_or_by_name(somebody, box, chosen):
    boxes = replace(FRAME, boxes=(ADA, BEA, FaceBox(0, 0, 0.1, 0.1)))
    if chosen is None:
        with pytest.raises(ValueError, match=r"no face box ''\. The boxes are 1 \(Ada\), 2 \(Bea\), 3: choose one"):
            place(somebody, boxes, box)
        return
    placed = place(somebody, boxes, box)
    assert (placed.number, placed.box) == (chosen, boxes.boxes[chosen - 1])


@pytest.mark.parametrize("box", ["0", "3", "-1", "Cleo", "1.0", "²", "9" * 5000])
def test_a_box_that_is_not_there_says_which_are(somebody, box):
    with pytest.raises(ValueError, match=r"There is no face box .* The boxes are 1, 2: choose one by its number"):
        place(somebody, FRAME, box)


def test_no_box_at_all_and_two_of_one_name_are_named(somebody):
    with pytest.raises(ValueError, match="No box is drawn: draw one"):
        place(somebody, replace(FRAME, boxes=()))
    with pytest.raises(ValueError, match=r"Face boxes 1 and 3 have the same name 'ada'\. Give the number"):
        place(somebody, replace(FRAME, boxes=(ADA, BEA, replace(ADA, x=0.6))), "ada")


def test_a_name_stays_with_its_box_where_the_order_changes(somebody):
    either = [place(somebody, replace(FRAME, boxes=boxes), "Ada") for boxes in ((ADA, BEA), (BEA, ADA))]
    assert [person.box for person in either] == [ADA, ADA]


def test_an_api_graph_of_before_there_was_box_means_what_it_meant(somebody):
    (((person,),)) = (
        Person.execute(id_embedding=somebody, boxes=FRAME, index=1, local_strength=0.5, global_strength=0)[0],
    )
    assert person.box == FRAME.boxes[1]
    assert (person.strength("local"), person.strength("global")) == (0.5, 0)
    ((first,),) = (Person.execute(id_embedding=somebody, boxes=FRAME)[0],)
    assert first.box == FRAME.boxes[0]
    with pytest.raises(ValueError, match=r"There is no face box '4'\. The boxes are 1, 2"):
        Person.execute(id_embedding=somebody, boxes=FRAME, index=3)


def test_a_person_tells_the_editor_which_box_and_pose_they_have(somebody):
    others = landmarks(3)
    own, posed, worded = (
        Person.execute(boxes=FRAME, box="2", **given).ui["realisid_person"]
        for given in (
            {"id_embedding": somebody},
            {"id_embedding": somebody, "landmarks": {"frames": [[others]]}},
            {"prompt": [[torch.zeros(1, 77, 8), {}]]},
        )
    )
    assert [told["number"] for (told,) in (own, posed, worded)] == [2, 2, 2]
    assert own[0]["pose"] == contour_lines(somebody.landmarks)
    assert posed[0]["pose"] == contour_lines(others) != own[0]["pose"]
    assert worded[0]["pose"] == []
    json.dumps([own, posed])


def test_landmarks_of_another_photo_replace_the_references_own(somebody):
    others = landmarks(3)
    assert place(somebody, FRAME, 1, {"frames": [[], [others]]}).landmarks is others
    with pytest.raises(ValueError, match="landmarks has no face in it"):
        place(somebody, FRAME, 1, {"frames": [[]]})
    with pytest.raises(ValueError, match="No landmarks are known of the reference photo"):
        place(IDEmbedding(torch.zeros(1, 1, 1)), FRAME)


def test_a_person_can_be_embedded_without_mediapipe_where_landmarks_come_from_elsewhere(faces, monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    monkeypatch.setitem(sys.modules, "mediapipe.tasks.python", None)
    unlooked = replace(faces, faces=[[replace(face, landmarks=None) for face in found] for found in faces.faces])
    embedding = embed(unlooked)
    assert embedding.landmarks is None
    assert torch.equal(embedding.tokens, embed(faces).tokens)
    others = landmarks(3)
    assert place(embedding, FRAME, 1, {"frames": [[others]]}).landmarks is others
    with pytest.raises(ValueError, match=r"MediaPipe is not installed\. Connect the landmarks of another photo"):
        place(embedding, FRAME)


def test_persons_of_different_pictures_or_in_one_box_cannot_be_combined(somebody):
    boxes = replace(FRAME, boxes=(ADA, BEA))
    here, there = place(somebody, FRAME, 1), place(somebody, replace(FRAME, width=1024, height=1024), 1)
    ada, bea = place(somebody, boxes, "Ada"), place(somebody, boxes, "Bea")
    assert combine([(ada,), (bea,)]) == (ada, bea)
    with pytest.raises(ValueError, match="512×512 and 1024×1024"):
        combine([(here,), (there,)])
    with pytest.raises(ValueError, match=r"Persons 1 and 3 are both in face box 1 \(Ada\).*Choose another box"):
        combine([(ada,), (bea, place(somebody, boxes, 1))])


def test_a_box_without_a_person_is_said_on_the_node(somebody, caplog):
    boxes = replace(FRAME, boxes=(ADA, BEA, FaceBox(0, 0, 0.1, 0.1)))
    ada, bea = place(somebody, boxes, "Ada"), place(somebody, boxes, "Bea")
    alone = CombinePersons.execute(person_1=(ada,))
    assert alone.ui["text"] == ("Nobody is in face box 2 (Bea) and face box 3. Put a person there, or remove the box.",)
    assert "Nobody is in face box 2 (Bea)" in caplog.text
    full = CombinePersons.execute(person_1=(ada,), person_2=(bea,), person_3=(place(somebody, boxes, 3),))
    assert full.ui is None


def test_values_of_other_packs_are_refused_by_the_name_of_the_input(somebody):
    """Their sockets may have the same names: a list of pictures for faces, a vector for an embedding."""
    realisid, clip_vision = miniature().realisid, miniature().clip_vision
    with pytest.raises(ValueError, match="faces is of type list; expected"):
        IDEmbeddingNode.execute(realisid=realisid, clip_vision=clip_vision, faces=[photo("astronaut")])
    with pytest.raises(ValueError, match="id_embedding is of type Tensor; expected"):
        Person.execute(id_embedding=torch.zeros(1, 512), boxes=FRAME)
    with pytest.raises(ValueError, match="boxes is of type dict; expected"):
        Person.execute(id_embedding=somebody, boxes={})
    for wrong in ("a name", [1], ({"person": 1},)):
        with pytest.raises(ValueError, match=r"persons? ?.*(str|list|dict)"):
            CombinePersons.execute(person_1=wrong)
        with pytest.raises(ValueError, match=r"persons holds a (str|int|dict)\. Connect RealisID's Person"):
            refuse_foreign(wrong, realisid)


@pytest.mark.parametrize("strength", [float("nan"), float("inf")])
def test_a_strength_that_is_no_number_is_refused(somebody, strength):
    with pytest.raises(ValueError, match=r"global_strength is (nan|inf); expected a number"):
        Person.execute(id_embedding=somebody, boxes=FRAME, global_strength=strength)


# The way from the photo to the crop, as in training


def trained(**changes):
    realisid = miniature().realisid
    return replace(realisid, config=replace(realisid.config, **{"face_margin": 0.0} | changes))


@pytest.mark.parametrize(
    ("done", "config", "says"),
    [
        ({}, {"keep": "face and hair", "parser": "person"}, None),
        ({}, {"keep": "face and hair", "parser": "world"}, None),
        ({"margin": 0.1}, {}, None),
        ({"box": "given"}, {}, None),
        ({"parsed": Parsing("none", "everything")}, {"keep": "face"}, "The crops keep everything.*trained with face."),
        ({"parsed": Parsing("person", "face")}, {}, "The crops keep face;.*trained with face and hair.*Parse Faces"),
        ({}, {"parser": "bisenet"}, "cut by MediaPipe's person mask; the model was trained with BiSeNet"),
        ({"margin": 0.5}, {}, "a margin of 0.5; the model was trained with 0. Set margin in Detect Faces"),
        ({}, {"face_margin": 0.3}, "a margin of 0; the model was trained with 0.3"),
        ({}, {"face_box": "detector"}, "squares round the landmarks; the model was trained with the detector's"),
        (
            {"box": "detector", "detector": "mtcnn"},
            {"face_box": "detector", "detector": "yunet"},
            "found by mtcnn; the model was trained with yunet",
        ),
    ],
)
def test_what_a_graph_does_otherwise_than_training_is_named_on_the_node(faces, done, config, says):
    done = {"parsed": Parsing("person", "face and hair"), "box": "landmarks", "detector": "yunet"} | done
    realisid, clip_vision = trained(**{"parser": "world", "keep": "face and hair"} | config), miniature().clip_vision
    shown = IDEmbeddingNode.execute(realisid=realisid, clip_vision=clip_vision, faces=replace(faces, **done)).ui
    assert shown["images"]
    assert ("text" in shown) == (says is not None)
    if says:
        assert re.search(says, shown["text"][0])


def test_an_image_encoder_of_the_same_shape_with_other_weights_is_refused(faces):
    right = fingerprint_of(miniature().clip_vision)
    other = networks.image_encoder(initial.weights("image_encoder", seed=5), networks.FIRST)
    assert embed(faces, trained(clip_fingerprint=right)).tokens.shape[0] == 1
    with pytest.raises(ValueError, match="clip_vision has the shape of miniature, but other weights"):
        embed(faces, trained(clip_fingerprint=fingerprint_of(other)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_fingerprint_does_not_depend_on_the_precision_of_the_weights(dtype):
    encoder = networks.image_encoder(initial.weights("image_encoder", seed=5), networks.FIRST)
    full = fingerprint_of(encoder)
    encoder.model.to(dtype)
    assert same_fingerprint(full, fingerprint_of(encoder))


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
    assert draw_layout(replace(FRAME, boxes=(), width=1024, height=512)).shape == (1, 512, 1024, 3)
    assert draw_layout(replace(FRAME, boxes=(), width=16384, height=16)).shape == (1, 2, 2048, 3)


def test_huge_boxes_are_drawn_as_far_as_they_show():
    boxes = checked([FaceBox(-3.5, -3.5, 8, 8, "a" * 200)] * 8, 16384, 16384)
    start = time.process_time()
    assert draw_layout(boxes).shape == (1, 2048, 2048, 3) and union_mask(boxes).shape == (1, 4096, 4096)
    assert time.process_time() - start < 3  # of many short pieces; a box of 1e6 sides took 23 s in one


@pytest.mark.parametrize("name", ["\U0010fffe", "Ada \U0010fffe"])
def test_a_name_that_no_font_has_leaves_the_number(name):
    drawn = [replace(FRAME, boxes=(FaceBox(0.1, 0.1, 0.3, 0.3, text),)) for text in (name, "")]
    assert torch.equal(*map(draw_layout, drawn))


@pytest.mark.parametrize("channels, dtype", [(1, torch.float32), (4, torch.float32), (3, torch.bfloat16)])
def test_any_picture_may_lie_behind_the_boxes(channels, dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path))
    behind = torch.ones(2, 64, 64, channels, dtype=dtype)
    assert LocationBoxes.execute(64, 64, "[]", background=behind)[2].shape == (1, 64, 64, 3)


@pytest.mark.parametrize("behind, said", [(torch.zeros(0, 64, 64, 3), "no pixel"), ([1], "The background is list")])
def test_what_is_no_picture_is_refused_by_name(behind, said):
    with pytest.raises(ValueError, match=f"background.*{said}|{said}"):
        LocationBoxes.execute(64, 64, "[]", background=behind)


def test_boxes_on_the_wrong_socket_name_the_input():
    with pytest.raises(ValueError, match="Bounding box 1 of faces is"):
        BoxesFromFaces.execute([5], 512, 512, 1.0)
    with pytest.raises(ValueError, match="faces is int"):
        BoxesFromFaces.execute(5, 512, 512, 1.0)
    with pytest.raises(ValueError, match="scale is nan"):
        BoxesFromFaces.execute([{"x": 1, "y": 1, "width": 9, "height": 9}], 512, 512, float("nan"))


@pytest.mark.parametrize("boxes", ["[{]", "[" * 3000, '[{"x": 0.1, "y": 0.1, "size": -1}]'])
def test_a_bad_box_is_reported_once_and_sizes_are_the_hosts_to_check(boxes):
    """The host repeats a validation's sentence for every input that it names, and leaves those inputs unchecked."""
    assert isinstance(LocationBoxes.validate_inputs(boxes=boxes), str)
    assert list(inspect.signature(LocationBoxes.validate_inputs).parameters) == ["boxes"]


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
    assert torch.allclose(drawn[256, 512], red[0, 0, 0])
    assert not torch.allclose(drawn[256, 20], red[0, 0, 0])
