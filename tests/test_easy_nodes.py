"""Person from Photo and Apply RealisID do what the fine nodes do together."""

import shutil
import sys
from dataclasses import dataclass, replace

import folder_paths
import numpy as np
import pytest
import torch
from comfy_api.latest import io
from photos import photo, side_by_side
from pictures import FRAME, LATENT, LEFT, RIGHT, miniature, person, prompt, sample
from realisid_pack.nodes import NODES, sockets
from realisid_pack.nodes.apply import ApplyGlobalBranch, ApplyLocalBranch
from realisid_pack.nodes.apply_all import ApplyRealisID
from realisid_pack.nodes.attention import IdentityAttentionNode
from realisid_pack.nodes.boxes import LocationBoxes
from realisid_pack.nodes.detect import DetectFaces
from realisid_pack.nodes.from_photo import PersonFromPhoto
from realisid_pack.nodes.guidance import IdentityGuidanceNode
from realisid_pack.nodes.identity import IDEmbeddingNode
from realisid_pack.nodes.landmarks import FaceLandmarks, RetargetFace
from realisid_pack.nodes.model import LoadModel
from realisid_pack.nodes.persons import CombinePersons, Person
from safetensors.torch import save_file

from realisid_core.geometry import FaceBoxes
from realisid_core.miniature.loading import WEIGHTS

BOXES = FaceBoxes((replace(LEFT, name="Ada"), RIGHT), *FRAME)


def fine(image, face: int, box: str, pose=None, words=None):
    """A person by the fine nodes."""
    faces = found(image, face, miniature().realisid.config.face_margin)
    embedding, *_ = IDEmbeddingNode.execute(miniature().realisid, faces, miniature().clip_vision).result
    landmarks = None if pose is None else RetargetFace.execute(embedding, found(pose, 1, 0.0), 512).result[0]
    return Person.execute(BOXES, box, id_embedding=embedding, landmarks=landmarks, prompt=words).result[0]


def found(image, face: int, margin: float):
    return DetectFaces.execute(image, "yunet", 0.6, "largest first", 0, margin, face).result[0]


def from_photo(image, *args, **kwargs):
    return PersonFromPhoto.execute(image, BOXES, miniature().realisid, *args, **kwargs)


def same(ours, theirs) -> bool:
    """The same people: identity, pose, place, words."""
    return len(ours) == len(theirs) and all(
        torch.equal(a.tokens, b.tokens)
        and np.array_equal(a.landmarks["landmarks_xy"], b.landmarks["landmarks_xy"])
        and (a.box, a.frame, a.number) == (b.box, b.frame, b.number)
        and (a.words is b.words is None or torch.equal(a.words, b.words))
        for a, b in zip(ours, theirs, strict=True)
    )


def test_a_person_from_a_photo_is_the_fine_nodes_person():
    words = prompt("a red sweater")
    ours = from_photo(photo(), "Ada", prompt=words, pose=photo("grace_hopper")).result[0]
    assert same(ours, fine(photo(), 1, "1", photo("grace_hopper"), words))
    assert not same(ours, fine(photo(), 1, "1", None, words)), "the pose is the other photo's"


def test_landmarks_serve_as_the_pose_too_and_keep_their_own_shape():
    landmarks = FaceLandmarks.execute(photo("grace_hopper"), 512, False).result[0]
    (taken,) = from_photo(photo(), pose=landmarks).result[0]
    assert taken.landmarks is landmarks["frames"][0][0]
    (retargeted,) = from_photo(photo(), pose=photo("grace_hopper")).result[0]
    shift = np.abs(retargeted.landmarks["landmarks_xy"] - taken.landmarks["landmarks_xy"]).mean()
    side = np.ptp(taken.landmarks["landmarks_xy"], axis=0).max()
    assert 0.005 * side < shift < 0.1 * side


def test_of_several_faces_the_largest_is_taken_and_the_node_shows_the_others_numbers():
    several = from_photo(side_by_side())
    assert same(several.result[0], fine(side_by_side(), 1, "1"))
    assert same(from_photo(side_by_side(), face=2).result[0], fine(side_by_side(), 2, "1"))
    assert len(several.ui["images"]) == 2
    assert len(from_photo(photo()).ui["images"]) == 1


def test_several_faces_without_a_choice_and_numbers_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match=r"There are 2 faces in picture 1 .* set face to the number of theirs"):
        from_photo(side_by_side(), face=0)
    with pytest.raises(ValueError, match=r"^photo: Face 3 was asked for, but picture 1 has 2 faces"):
        from_photo(side_by_side(), face=3)
    assert same(from_photo(photo(), face=0).result[0], from_photo(photo()).result[0])


def test_a_picture_without_a_face_is_named_by_its_input():
    grey = torch.full((1, 64, 64, 3), 0.5)
    with pytest.raises(ValueError, match=r"^photo: No face found"):
        from_photo(grey)
    with pytest.raises(ValueError, match=r"^pose: No face found"):
        from_photo(photo(), pose=grey)


def test_persons_are_handed_on_and_joined():
    first = from_photo(photo()).result[0]
    (both,) = from_photo(photo("grace_hopper"), "2", persons=first).result[:1]
    assert both == CombinePersons.execute(person_1=first, person_2=(both[1],)).result[0]
    by_the_fine_node = Person.execute(BOXES, "2", id_embedding=both[1].embedding, persons=first).result[0]
    assert same(both, by_the_fine_node)
    with pytest.raises(ValueError, match=r"Persons 1 and 2 are both in face box 1 \(Ada\)"):
        from_photo(photo("grace_hopper"), "Ada", persons=first)


def test_a_model_without_its_image_encoder_says_where_to_choose_one():
    bare = replace(miniature().realisid, image_encoder=None)
    with pytest.raises(ValueError, match="Choose the one that it was trained with in Load Model, or connect it"):
        PersonFromPhoto.execute(photo(), BOXES, bare)
    connected = PersonFromPhoto.execute(photo(), BOXES, bare, clip_vision=miniature().clip_vision)
    assert same(connected.result[0], from_photo(photo()).result[0])
    assert miniature().clip_vision.patcher in miniature().realisid.get_models(), "the host has to know of it"


CONDS = "a person wearing a red sweater", "blurry"


def in_one(persons, realisid, likeness=1.0):
    """The latent with everybody put in by Apply RealisID."""
    conds = map(prompt, CONDS)
    model, *conds = ApplyRealisID.execute(miniature().model, *conds, persons, likeness, realisid).result
    return sample(*conds, model, 3.0)


def by_the_fine_nodes(persons, guidance: float, words: bool):
    realisid, model, conds = miniature().realisid, miniature().model, map(prompt, CONDS)
    conds = ApplyGlobalBranch.execute(*conds, realisid, persons, 1.0, 0.0, 1.0).result
    conds = ApplyLocalBranch.execute(*conds, realisid, persons, 1.0, 0.0, 1.0).result
    if words:
        (model,) = IdentityAttentionNode.execute(model, persons, 0.8, 0.0, 1.0).result
    (model,) = IdentityGuidanceNode.execute(model, guidance, "off", 0.0).result
    return sample(*conds, model, 3.0)


@pytest.mark.parametrize("words", [False, True])
def test_apply_realisid_is_the_fine_nodes_with_the_methods_defaults(words):
    own = prompt("a black suit")[0][0] if words else None
    persons = person(1, LEFT), replace(person(2, RIGHT), words=own)
    ours = in_one(persons, miniature().realisid)
    assert torch.equal(ours, by_the_fine_nodes(persons, 3.0, words))
    assert torch.equal(in_one(persons, miniature().realisid, 2.0), by_the_fine_nodes(persons, 6.0, words))
    assert not torch.equal(ours, in_one(persons, miniature().realisid, 2.0))


def test_without_a_model_people_have_their_own_words_and_identities_are_refused():
    somebody = replace(person(1, LEFT), embedding=None, words=prompt("a black suit")[0][0])
    (model,) = IdentityAttentionNode.execute(miniature().model, (somebody,), 0.8, 0.0, 1.0).result
    assert torch.equal(in_one((somebody,), None), sample(*map(prompt, CONDS), model, 3.0))
    assert torch.equal(in_one((somebody,), None), in_one((somebody,), miniature().realisid))
    with pytest.raises(ValueError, match="Person 2 has an ID embedding, but no realisid is connected"):
        in_one((somebody, person(1, RIGHT)), None)


def test_a_second_pass_at_another_size_is_a_choice():
    persons, realisid = (replace(person(1, LEFT), words=prompt("a black suit")[0][0]),), miniature().realisid
    given = miniature().model, *map(prompt, CONDS), persons, 1.0, realisid
    with pytest.raises(ValueError, match="any_size"):
        model, *conds = ApplyRealisID.execute(*given).result
        sample(*conds, model, 3.0, steps=1, size=(LATENT * 2, LATENT * 2))
    model, *conds = ApplyRealisID.execute(*given, any_size=True).result
    assert torch.isfinite(sample(*conds, model, 3.0, steps=1, size=(LATENT * 2, LATENT * 2))).all()


def test_load_model_also_reads_the_clip_vision_model(tmp_path, monkeypatch):
    """A file with the few keys that the host knows a CLIP ViT-L by, and one that is none."""
    for kind in ("realisid", "clip_vision"):
        (tmp_path / kind).mkdir()
        monkeypatch.setitem(folder_paths.folder_names_and_paths, kind, ([str(tmp_path / kind)], {".safetensors"}))
    shutil.copy(WEIGHTS / "realisid.safetensors", tmp_path / "realisid")
    layers = {f"vision_model.encoder.layers.{number}.layer_norm1.weight": torch.zeros(1024) for number in (0, 22)}
    known = {**layers, "vision_model.embeddings.position_embedding.weight": torch.zeros(257, 1024)}
    save_file(known, tmp_path / "clip_vision" / "vit_l.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "clip_vision" / "other.safetensors")
    (realisid,) = LoadModel.execute("realisid.safetensors", "vit_l.safetensors").result
    assert realisid.image_encoder.patcher in realisid.get_models()
    (bare,) = LoadModel.execute("realisid.safetensors").result
    assert bare.image_encoder is None
    with pytest.raises(ValueError, match=r"clip_vision: other\.safetensors is no CLIP vision model"):
        LoadModel.execute("realisid.safetensors", "other.safetensors")
    with pytest.raises(ValueError, match="clip_vision"):
        LoadModel.execute("realisid.safetensors", "gone.safetensors")


@pytest.mark.parametrize("likeness", [float("nan"), -1, 3])
def test_a_likeness_out_of_range_is_refused(likeness):
    with pytest.raises(ValueError, match="likeness"):
        in_one((person(1, LEFT),), miniature().realisid, likeness)


def test_a_box_without_a_person_is_named():
    alone = from_photo(photo()).result[0]
    shown = ApplyRealisID.execute(miniature().model, *map(prompt, CONDS), alone, 1.0, miniature().realisid).ui
    assert "Nobody is in face box 2" in shown["text"][0]


def test_location_boxes_give_the_hosts_empty_latent():
    *_, width, height, latent = LocationBoxes.execute(320, 192, "[]").result
    assert (width, height) == (320, 192)
    assert latent["samples"].shape == (1, 4, 24, 40)
    assert not latent["samples"].any()


def test_search_words_are_given_to_hosts_that_have_them(monkeypatch):
    asked = "search_aliases" in io.Schema.__dataclass_fields__
    assert bool(sockets.aliases("pulid")) == asked

    @dataclass
    class Newer:
        search_aliases: list[str]

    monkeypatch.setattr(io, "Schema", Newer)
    assert sockets.aliases("pulid", "likeness") == {"search_aliases": ["pulid", "likeness"]}


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_every_node_is_found_by_other_words_too(node, monkeypatch):
    words = []
    monkeypatch.setattr(sys.modules[node.__module__], "aliases", lambda *given: words.extend(given) or {})
    node.define_schema()
    assert words
    assert all(word == word.lower() for word in words)
