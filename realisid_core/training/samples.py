"""Sample grids while training: what the checkpoint draws for a few people of the data, as a user would draw them."""

import io

import comfy.sample
import torch
from comfy.model_patcher import ModelPatcher
from PIL import Image

from ..geometry import LATENT_CELL
from ..identity.clip_projector import project
from ..identity.encoder import IDEmbedding
from ..miniature.loading import SAMPLER, SCHEDULER
from ..model import RealisIDModel
from ..perception.faces import to_uint8
from ..persons import Person
from ..sampling.guidance import IdentityGuidance
from .base import Base
from .data import RunSamples, Sample, read_sample

PEOPLE = 8
STEPS = 20
GUIDANCE = 5.0  # λ_t and λ_i: equal, so that a step takes two passes


@torch.no_grad()
def sample_grid(base: Base, realisid: RealisIDModel, data: RunSamples) -> Image.Image:
    """Upper row: pictures of the data. Lower row: the same people, poses, boxes and captions, sampled."""
    count = PEOPLE if data.shards.endless else min(PEOPLE, len(data.shards))
    wanted = [read_sample(data.shards, *data.where(number)) for number in range(count)]
    pictures = [sample_picture(base, realisid, sample, seed) for seed, sample in enumerate(wanted)]
    side = data.shards.info.image_size
    grid = Image.new("RGB", (side * len(wanted), side * 2))
    for column, (sample, picture) in enumerate(zip(wanted, pictures, strict=True)):
        original = Image.open(io.BytesIO(sample.thumbnail))
        grid.paste(original.resize((side, side), Image.Resampling.BICUBIC), (column * side, 0))
        grid.paste(picture, (column * side, side))
    return grid


def sample_picture(base: Base, realisid: RealisIDModel, wanted: Sample, seed: int) -> Image.Image:
    """One picture by the host's sampler, with both branches and three-way guidance."""
    side = wanted.latent.shape[-1] * LATENT_CELL
    features = wanted.features[None].float()
    tokens = project(realisid.part("id_projector", ModelPatcher), features)
    extra = realisid.encoder.extra(features)  # pyright: ignore[reportAttributeAccessIssue] -- it reads CLIP's
    embedding = IDEmbedding(tokens, method=realisid.config.method, extra=extra)
    person = Person(embedding, wanted.face, wanted.box, (side, side))
    model, *prompts = realisid.method.apply(
        realisid, [person], base.patcher, base.prompt(wanted.caption), base.prompt("")
    )
    empty = torch.zeros_like(wanted.latent)[None]
    noise = comfy.sample.prepare_noise(empty, seed)
    model = IdentityGuidance(GUIDANCE).patch(model)
    latent = comfy.sample.sample(
        model, noise, STEPS, GUIDANCE, SAMPLER, SCHEDULER, *prompts, empty, disable_pbar=True, seed=seed
    )
    if base.vae is None:
        raise ValueError("The base checkpoint holds no VAE, so there can be no sample grids; set --sample-every 0.")
    image = base.vae.decode(latent)[0]
    return Image.fromarray(to_uint8(image.cpu()))
