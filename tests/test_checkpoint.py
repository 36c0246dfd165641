"""A checkpoint comes back as it was saved; whatever does not fit is refused by name."""

from dataclasses import replace

import pytest
import torch
from pictures import miniature
from safetensors.torch import save_file

from realisid_core.checkpoint import load_checkpoint, save_checkpoint


def parts():
    realisid = miniature().realisid
    networks = realisid.local.control_model, realisid.global_.control_model, realisid.projector.model
    return [dict(network.state_dict()) for network in networks]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "someone.safetensors"


def test_a_checkpoint_comes_back_as_it_was_saved(path):
    config = replace(miniature().realisid.config, outline=True, keep="face", y_mode="prompt")
    save_checkpoint(path, config, *parts())
    loaded = load_checkpoint(path)
    assert loaded.config == config
    networks = loaded.local.control_model, loaded.global_.control_model, loaded.projector.model
    for saved, network in zip(parts(), networks, strict=True):
        assert all(torch.equal(value, saved[key]) for key, value in network.state_dict().items())
    assert torch.allclose(loaded.null_identity(), miniature().realisid.null_identity())


def test_a_part_may_be_absent(path):
    local, _, projector = parts()
    save_checkpoint(path, miniature().realisid.config, local, None, projector)
    loaded = load_checkpoint(path)
    assert loaded.global_ is None
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
    save_checkpoint(path, miniature().realisid.config, *change(*parts()))
    with pytest.raises(ValueError, match=f"(?s)someone.safetensors: .*{says}"):
        load_checkpoint(path)


def test_a_config_for_another_width_is_refused(path):
    save_checkpoint(path, replace(miniature().realisid.config, context_dim=77), *parts()[:2], None)
    with pytest.raises(ValueError, match="context of width 192; its config says 77"):
        load_checkpoint(path)


def test_a_newer_format_is_refused(path):
    save_checkpoint(path, replace(miniature().realisid.config, format_version=9), *parts())
    with pytest.raises(ValueError, match="version 9 was found; this pack reads version 1"):
        load_checkpoint(path)


def test_a_foreign_file_is_refused(path):
    save_file({"model.diffusion_model.weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"not a RealisID checkpoint.*model\.diffusion_model\.weight"):
        load_checkpoint(path)


def test_a_truncated_file_is_refused(path):
    save_checkpoint(path, miniature().realisid.config, *parts())
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ValueError, match=r"someone\.safetensors cannot be read .* cut short"):
        load_checkpoint(path)


def test_nothing_half_written_is_left(path, monkeypatch):
    save_checkpoint(path, miniature().realisid.config, *parts())
    before = path.read_bytes()
    monkeypatch.setattr("realisid_core.checkpoint.save_file", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_checkpoint(path, miniature().realisid.config, *parts())
    assert path.read_bytes() == before
