"""What the sampling tests share: the miniature with random weights, people in boxes, one run of the host's sampler."""

from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import comfy.sample
import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP

from realisid_core.geometry import FaceBox
from realisid_core.identity.encoder import IDEmbedding
from realisid_core.methods.realisid import global_branch, local_branch
from realisid_core.miniature.loading import load_miniature
from realisid_core.persons import Person
from realisid_core.sampling.apply import Settings, apply_branch

FRAME = (256, 256)
LATENT = 32
LOUDER = 8
LEFT, RIGHT = FaceBox(0.06, 0.3, 0.36, 0.36), FaceBox(0.56, 0.25, 0.38, 0.38)


@lru_cache(maxsize=1)
def miniature():
    """Random weights from the fixed seed, whatever the pack ships, in float32; the branches loud enough to measure."""
    made = load_miniature(weights=Path("no such folder"))
    for control in (made.realisid.parts[branch] for branch in ("local", "global")):
        network = control.control_model
        for layer in (network.zero_convs, network.middle_block_out, network.input_hint_block[-1]):
            for parameter in layer.parameters():
                parameter.data.mul_(LOUDER)
    return made


def landmarks(seed: int = 0) -> dict:
    """Some landmarks: a face of the host's form with points scattered over a square of 100 pixels."""
    points = torch.rand(478, 2, generator=torch.Generator().manual_seed(seed)).numpy() * 100
    return {"landmarks_xy": points, "bbox_xyxy": [*points.min(0), *points.max(0)]}


def person(seed: int, box: FaceBox, local: float = 1.0, global_: float = 1.0) -> Person:
    config = miniature().realisid.config
    shape = (1, config.clip_tokens, config.context_dim)
    tokens = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return Person(IDEmbedding(tokens), landmarks(seed), box, FRAME, {"local": local, "global": global_})


def apply(branch: str, positive, negative, realisid, persons, sharing=None, one_pass=False, **settings):
    """Both conditionings with the branch of that name."""
    if branch == "local":
        made = local_branch(realisid)
    else:
        made = global_branch(realisid, one_pass=one_pass, **({} if sharing is None else {"sharing": sharing}))
    return apply_branch(made, positive, negative, persons, Settings(**settings))


def prompt(text: str):
    clip = miniature().clip
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def sample(positive, negative, model=None, cfg=7.5, steps=2, size=(LATENT, LATENT), batch=1, seed=1, **options):
    """A latent from the host's own KSampler code."""
    model = model or miniature().model
    channels = model.model.latent_format.latent_channels
    latent = options.pop("latent", torch.zeros(batch, channels, *size))
    noise = comfy.sample.prepare_noise(latent, seed)
    sampler, scheduler = options.pop("sampler", "euler"), options.pop("scheduler", "normal")
    options |= {"disable_pbar": True, "seed": seed}
    return comfy.sample.sample(model, noise, steps, cfg, sampler, scheduler, positive, negative, latent, **options)


@contextmanager
def passes_counted(model):
    """The rows of every call the UNet gets while it samples."""
    rows = []

    def count(executor, x, *args, **kwargs):
        rows.append(len(x))
        return executor(x, *args, **kwargs)

    counted = model.clone()
    counted.add_wrapper(WrappersMP.APPLY_MODEL, count)
    yield counted, rows


def network_of(branch: str):
    realisid = miniature().realisid
    return realisid.parts[branch].control_model


def without_projector(realisid):
    """The model as a file without ID projector gives it."""
    return replace(realisid, parts={name: part for name, part in realisid.parts.items() if name != "id_projector"})


def rows_of(branch: str, monkeypatch) -> list[int]:
    """How many rows each call of a branch's network gets, from now on."""
    rows, network = [], network_of(branch)
    forward = network.forward
    monkeypatch.setattr(network, "forward", lambda **k: (rows.append(len(k["x"])), forward(**k))[1])
    return rows


def close(a, b, tolerance=1e-4) -> bool:
    """Equal to a tolerance relative to the values' own size."""
    return torch.allclose(a, b, rtol=0, atol=tolerance * max(1.0, float(b.abs().max())))
