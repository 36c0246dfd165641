"""Adding a method: a toy one, written here in a few lines, goes all the way from its file to the sampler."""

from dataclasses import dataclass, replace

import pytest
import torch
from comfy.patcher_extension import WrappersMP
from photos import photo
from pictures import LEFT, apply, miniature, person, prompt, sample

from realisid_core.checkpoint import load_checkpoint, save_checkpoint
from realisid_core.config import Config, whole
from realisid_core.geometry import FaceBoxes
from realisid_core.host import core_patcher
from realisid_core.identity.encoder import Encoded
from realisid_core.methods import METHODS
from realisid_core.model import Method, Part, same_keys
from realisid_core.perception import detect_faces
from realisid_core.persons import embed_person, place

# The toy method: a person is the mean colour of their photos, and MODEL's prediction is shifted by it.


@dataclass(frozen=True)
class ToyConfig(Config):
    width: int = whole(3, 1, 64)


def build_shift(name, state, width):
    shift = torch.nn.Linear(width, 12, bias=False)
    same_keys(name, state, shift.state_dict())
    shift.load_state_dict(state)
    return core_patcher(shift, torch.device("cpu"), torch.device("cpu"))


class MeanColour:
    digest = "the mean of the pixels"

    def embed(self, image_encoder, faces):
        return Encoded(faces.image.mean((0, 1, 2))[None, None], faces.image, {"brightness": faces.image.mean()})

    def null(self):
        return torch.zeros(1, 1, 3)


def apply_toy(realisid, persons, model, positive, negative, likeness=1.0, any_size=False):
    shift = realisid.part("shift", type(model)).model(persons[0].tokens[0, 0])[:, None, None]
    patched = model.clone()
    patched.add_wrapper(WrappersMP.APPLY_MODEL, lambda executor, *args, **kwargs: executor(*args, **kwargs) + shift)
    return patched, positive, negative


TOY = Method("toy", ToyConfig, {"shift": Part("shift", build_shift, ("width",))}, lambda _: MeanColour(), apply_toy)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "toy", TOY)
    save_checkpoint(tmp_path / "toy.safetensors", ToyConfig("toy"), {"shift": {"weight": torch.ones(12, 3)}})
    return load_checkpoint(tmp_path / "toy.safetensors")


@pytest.fixture
def somebody(toy):
    embedding, encoded = embed_person(toy, None, detect_faces(photo("astronaut"), maximum=1))
    assert torch.equal(encoded.seen, photo("astronaut"))
    assert embedding.extra["brightness"] == encoded.seen.mean()
    return place(embedding, FaceBoxes((LEFT,), 256, 256))


@torch.no_grad()
def test_a_method_of_a_few_lines_goes_from_its_file_to_the_sampler(toy, somebody):
    conds = prompt("a person"), prompt("")
    plain = sample(*conds)
    model, *applied = toy.method.apply(toy, [somebody], miniature().model, *conds)
    shifted = sample(*applied, model=model)
    assert not torch.allclose(shifted, plain)
    assert torch.equal(sample(*conds), plain), "the model that was given stays as it was"


def test_a_methods_own_fields_are_checked_like_the_others(tmp_path, toy):
    save_checkpoint(tmp_path / "wide.safetensors", ToyConfig("toy", width=65), {"shift": {"weight": torch.ones(1)}})
    with pytest.raises(ValueError, match=r"wide\.safetensors: the config's width is 65; expected a whole number"):
        load_checkpoint(tmp_path / "wide.safetensors")


def test_a_person_of_another_method_is_refused(somebody):
    with pytest.raises(ValueError, match=r"Person 2 was embedded for the method toy; miniature is of realisid\. Make"):
        conds = prompt("a person"), prompt("")
        apply("local", *conds, miniature().realisid, [person(1, LEFT), somebody])


def test_a_person_of_another_model_is_refused(somebody):
    realisid = miniature().realisid
    known = replace(person(1, LEFT).embedding, digest=realisid.encoder.digest)
    other = replace(known, digest="0" * 16)
    conds = prompt("a person"), prompt("")
    apply("local", *conds, realisid, [replace(person(1, LEFT), embedding=known)])
    with pytest.raises(ValueError, match="Person 1 was embedded with another RealisID model than miniature"):
        apply("local", *conds, realisid, [replace(person(1, LEFT), embedding=other)])
