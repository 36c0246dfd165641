"""A checkpoint comes back as it was saved; whatever does not fit is refused by name."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from comfy.controlnet import ControlNet
from comfy.model_patcher import ModelPatcher
from pictures import miniature
from safetensors.torch import save_file

from realisid_core.checkpoint import load_checkpoint, read_config, save_checkpoint
from realisid_core.config import RealisIDConfig
from realisid_core.model import module_of

NAMES = "local", "global", "id_projector"


def parts():
    realisid = miniature().realisid
    return [dict(module_of(realisid.parts[name]).state_dict()) for name in NAMES]


def save(path, config, local, global_, projector):
    save_checkpoint(path, config, dict(zip(NAMES, (local, global_, projector), strict=True)))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "someone.safetensors"


def test_a_checkpoint_comes_back_as_it_was_saved(path):
    config = replace(miniature().realisid.config, outline=True, keep="face", y_mode="prompt")
    save(path, config, *parts())
    loaded = load_checkpoint(path)
    assert loaded.config == config
    for saved, name in zip(parts(), NAMES, strict=True):
        state = module_of(loaded.parts[name]).state_dict()
        assert all(torch.equal(value, saved[key]) for key, value in state.items())
    assert torch.allclose(loaded.null_identity(), miniature().realisid.null_identity())


def test_a_part_may_be_absent(path):
    local, _, projector = parts()
    save(path, miniature().realisid.config, local, None, projector)
    loaded = load_checkpoint(path)
    assert "global" not in loaded.parts
    with pytest.raises(ValueError, match="someone has no global branch"):
        loaded.part("global", ControlNet)
    assert "local branch" in loaded.describe()
    assert "global" not in loaded.describe()


def without(state, key):
    return {name: value for name, value in state.items() if name != key}


ZERO = "zero_convs.2.0.weight"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda local, g, p: (without(local, ZERO), g, p), f"local.{ZERO} is missing; expected shape"),
        (lambda local, g, p: (local, {**g, "extra.weight": torch.zeros(1)}, p), "global.extra.weight has no place"),
        (
            lambda local, g, p: (local, g, {**p, "proj.weight": torch.zeros(3, 4)}),
            r"proj.weight has shape \(3, 4\); expected",
        ),
        (lambda local, g, p: (g, local, p), r"local.input_hint_block takes 1 channels; expected 3"),
        (lambda local, g, p: ({"weight": torch.zeros(1)}, g, p), "local.* is not a ControlNet"),
        (lambda local, g, p: ({**local, ZERO: torch.zeros(5, 5, 1, 1)}, g, p), "zero_convs.2.0.weight"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(path, change, says):
    save(path, miniature().realisid.config, *change(*parts()))
    with pytest.raises(ValueError, match=f"(?s)someone.safetensors: .*{says}"):
        load_checkpoint(path)


def test_a_config_for_another_width_is_refused(path):
    save(path, replace(miniature().realisid.config, context_dim=77), *parts()[:2], None)
    with pytest.raises(ValueError, match="context of width 192; its config says 77"):
        load_checkpoint(path)


def test_a_newer_format_is_refused(path):
    save(path, replace(miniature().realisid.config, format_version=9), *parts())
    with pytest.raises(ValueError, match="version 9 was found; this pack reads version 1"):
        load_checkpoint(path)


def test_a_foreign_file_is_refused(path):
    save_file({"model.diffusion_model.weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"not a RealisID checkpoint.*model\.diffusion_model\.weight"):
        load_checkpoint(path)


def test_a_truncated_file_is_refused(path):
    save(path, miniature().realisid.config, *parts())
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ValueError, match=r"someone\.safetensors cannot be read .* cut short"):
        load_checkpoint(path)


def test_nothing_half_written_is_left(path, monkeypatch):
    save(path, miniature().realisid.config, *parts())
    before = path.read_bytes()
    monkeypatch.setattr("realisid_core.checkpoint.save_file", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save(path, miniature().realisid.config, *parts())
    assert path.read_bytes() == before


def config_of(**changes) -> dict:
    return asdict(miniature().realisid.config) | changes


def save_raw(path, metadata: str, change=lambda state: None):
    """A file with this text for its config, and with weights that `change` has had its way with."""
    names = zip(NAMES, parts(), strict=True)
    state = {f"{name}.{key}": value.clone() for name, part in names for key, value in part.items()}
    change(state)
    save_file(state, path, metadata={"realisid": metadata})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("local_size", "abc"),
        ("local_size", 0),
        ("local_size", -8),
        ("local_size", 10**6),
        ("local_size", 66),
        ("local_size", 64.0),
        ("local_size", True),
        ("local_size", None),
        ("clip_width", "a"),
        ("clip_width", -1),
        ("clip_width", 10**9),
        ("clip_tokens", 0),
        ("clip_tokens", [257]),
        ("context_dim", 10**9),
        ("keep", ["face"]),
        ("keep", "hair"),
        ("y_mode", "zz"),
        ("y_mode", {}),
        ("crop", "false"),
        ("crop", 1),
        ("outline", "yes"),
        ("base", 3),
        ("base", "x" * 1000),
        ("clip_vision", None),
        ("clip_fingerprint", 5),
        ("clip_fingerprint", "nonsense"),
        ("clip_fingerprint", "nan " * 16),
        ("clip_fingerprint", "1 " * 15),
        ("face_margin", float("nan")),
        ("face_margin", "0.1"),
        ("face_margin", 100),
        ("parser", "scissors"),
        ("detector", 3),
        ("face_box", ["landmarks"]),
        ("method", "another"),
        ("method", ["realisid"]),
        ("method", None),
        ("format_version", "1"),
        ("format_version", True),
        ("format_version", 1.0),
        ("format_version", None),
        ("unheard_of", 1),
    ],
)
def test_a_field_that_cannot_be_is_refused_by_name_before_anything_is_built(path, field, value, monkeypatch):
    save_raw(path, json.dumps(config_of(**{field: value})))
    monkeypatch.setattr("realisid_core.checkpoint._network", lambda *_: pytest.fail("a network was built"))
    words = "format version" if field == "format_version" else field
    with pytest.raises(ValueError, match=rf"^someone\.safetensors: .*{words}.*\.$"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "metadata",
    ["[1,2]", "null", '"text"', "5", "", "{", "[" * 50_000 + "]" * 50_000, '{"a":' * 5000, " " * 200_000, "NaN"],
    ids=lambda text: text[:8],
)
def test_a_config_that_is_no_object_is_refused(path, metadata):
    save_raw(path, metadata)
    with pytest.raises(ValueError, match=r"^someone\.safetensors: its config "):
        load_checkpoint(path)


def test_a_file_of_before_there_were_methods_is_one_of_the_first(path):
    """And learned from the photos that such files were trained on, prepared as they were then."""
    since = {"method", "clip_fingerprint", "detector", "face_box", "face_margin", "parser"}
    old = {name: value for name, value in config_of(keep="face").items() if name not in since}
    save_raw(path, json.dumps(old))
    assert load_checkpoint(path).config == miniature().realisid.config


@pytest.mark.parametrize(
    ("keep", "parser"), [("face", "landmarks"), ("face and hair", "bisenet"), ("everything", "none")]
)
def test_a_file_of_before_parsers_were_noted_says_what_its_photos_were_cut_with(keep, parser):
    config = RealisIDConfig.read({"base": "sdxl", "keep": keep})
    assert (config.parser, config.keep, config.face_box) == (parser, keep, "detector")


WEIGHTS = "local.zero_convs.0.0.weight", "global.input_blocks.0.0.bias", "id_projector.proj.weight"


@pytest.mark.parametrize("key", WEIGHTS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_a_weight_that_is_no_finite_number_is_refused_by_name(path, key, value):
    def spoil(state):
        state[key] = state[key].float()
        state[key].flatten()[-1] = value

    save_raw(path, json.dumps(config_of()), spoil)
    with pytest.raises(ValueError, match=rf"{key} has values that are NaN, infinite or beyond"):
        load_checkpoint(path)


@pytest.mark.parametrize("key", WEIGHTS)
@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool, torch.uint8])
def test_weights_that_are_no_floating_point_numbers_are_refused_by_name(path, key, dtype):
    save_raw(path, json.dumps(config_of()), lambda state: state.update({key: state[key].to(dtype)}))
    with pytest.raises(ValueError, match=rf"{key} has values of type {str(dtype).removeprefix('torch.')}"):
        load_checkpoint(path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_weights_of_any_floating_point_type_are_read(path, dtype):
    save_raw(path, json.dumps(config_of()), lambda state: state.update({k: v.to(dtype) for k, v in state.items()}))
    assert set(load_checkpoint(path).parts) == set(NAMES)


@pytest.mark.parametrize("base", ["sdxl", "miniature", "unheard of"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("local.input_hint_block.0.weight", torch.tensor(1.0)),
        ("local.input_hint_block.0.weight", torch.zeros(0)),
        ("local.zero_convs.0.0.weight", torch.tensor(1.0)),
        ("local.input_blocks.0.0.weight", torch.tensor(1.0)),
        ("local.input_blocks.0.0.weight", torch.zeros(70_000, 1, 1, 1)),
        ("global.time_embed.0.weight", torch.zeros(3)),
        ("global.label_emb.0.0.weight", torch.zeros(2, 1)),
        ("local.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight", torch.tensor(1.0)),
        ("local.lora_controlnet", torch.zeros(1)),
        ("local.difference", torch.zeros(1)),
        ("local.after_proj_list.18.bias", torch.zeros(1)),
        ("local.controlnet_cond_embedding.conv_in.weight", torch.zeros(1)),
        ("id_projector.norm.weight", torch.tensor(1.0)),
        ("local.", torch.zeros(1)),
        ("local", torch.zeros(1)),
        ("somewhere.else", torch.zeros(1)),
    ],
    ids=str,
)
def test_a_structure_that_is_none_is_refused_in_a_sentence(path, base, key, value):
    save_raw(path, json.dumps(config_of(base=base)), lambda state: state.update({key: value}))
    with pytest.raises(ValueError, match=r"^someone\.safetensors: .+"):
        load_checkpoint(path)


def test_what_a_checkpoint_says_of_itself_is_read_without_its_tensors(path):
    save_raw(path, json.dumps(config_of(terms="research only")))
    assert read_config(path) == load_checkpoint(path).config and read_config(path).terms == "research only"
    save_raw(path, json.dumps(config_of(crop="false")))
    for reader in (read_config, load_checkpoint):
        with pytest.raises(ValueError, match=r"^someone\.safetensors: the config's crop is \"false\""):
            reader(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 64, b"PK\x03\x04" + b"0" * 100, b"\x10\0\0\0\0\0\0\0{}"])
def test_a_file_that_is_no_safetensors_is_refused_in_a_sentence(path, content):
    path.write_bytes(content)
    for reader in (read_config, load_checkpoint):
        with pytest.raises(ValueError, match=r"someone\.safetensors cannot be read as \.safetensors"):
            reader(path)


def test_a_pickle_is_never_read(tmp_path):
    torch.save({"local.weight": torch.zeros(1)}, tmp_path / "someone.ckpt")
    with pytest.raises(ValueError, match=r"someone\.ckpt is not a \.safetensors file"):
        load_checkpoint(tmp_path / "someone.ckpt")


def test_the_host_learns_which_models_belong_to_a_loaded_checkpoint():
    """Newer hosts look for `get_models` on whatever a node returns, to know what the running prompt needs."""
    realisid = miniature().realisid
    expected = [module_of(part) for part in realisid.parts.values()]
    if realisid.image_encoder is not None:
        expected.append(realisid.image_encoder.patcher.model)
    assert [patcher.model for patcher in realisid.get_models()] == expected
    assert all(isinstance(patcher, ModelPatcher) for patcher in realisid.get_models())


def test_a_checkpoint_is_fine_tuned_with_data_of_the_same_image_encoder():
    """Old files do not say which; and rounding changes what is said."""
    numbers = [1.0 + number for number in range(16)]
    plain, rounded, other = (
        " ".join(str(x) for x in values) for values in (numbers, [x * 1.01 for x in numbers], numbers[::-1])
    )
    known = RealisIDConfig(clip_fingerprint=plain)
    for accepted in ("", plain, rounded):
        assert replace(known, clip_fingerprint=accepted).differences(known) == ""
        assert known.differences(replace(known, clip_fingerprint=accepted)) == ""
    assert "clip_fingerprint" in known.differences(replace(known, clip_fingerprint=other))
    assert known.differences(replace(known, crop=False)) == "crop True (here False)"
