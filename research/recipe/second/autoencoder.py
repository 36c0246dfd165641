"""The autoencoder: faces of 1/7 must keep their likeness and their expression, and latents may be resized."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from realisid_core.miniature import initial
from realisid_core.miniature.networks import SECOND
from realisid_core.training.ema import averaged_model

from ...world import Rendered, render, sample_scene
from ..run import Plan, Run, device, generator, learning_rate, take_step
from ..vae import shrinks, there_and_back

CROPS_PER_PICTURE = 4
PEOPLE = (0.5, 0.3, 0.2)  # how often one, two, three people
SQUARES_WEIGHT, EDGES_WEIGHT, KL_WEIGHT = 8.0, 1.0, 3e-4
OWN_SIDE = 96.0  # px; a smaller face weighs as much as one of this side
Perceptual = Callable[[Tensor, Tensor], Tensor]


def train(folder: Path, plan: Plan, crop: int = 128, perceptual: Perceptual | None = None) -> None:
    """Train on crops of `crop` pixels (a picture's side: on whole pictures). Resumes where `folder` holds a state.

    `perceptual`: a loss of decoded and true crops, both [N, 3, h, w] in -1..1, that is added.
    """
    model = initial.vae_module(SECOND)
    model.load_state_dict(initial.zero_init_residuals(initial.seeded(model, plan.seed)))
    with torch.no_grad():  # little noise on the latents to begin with, or nothing gets through for hundreds of steps
        model.quant_conv.bias[len(model.quant_conv.bias) // 2 :] -= 6
    model.to(device()).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.rate, betas=(0.9, 0.99), weight_decay=0.0)
    average = averaged_model(model, 0.999)
    run = Run(folder, {"model": model, "optimizer": optimizer, "average": average})
    for step in run.steps(plan.steps, plan.save_minutes):
        images, weights = (value.to(device()) for value in batch(plan.seed, step, plan.batch, crop))
        loss = _loss(model, images, weights, generator(plan.seed, step), run, plan, perceptual)
        take_step(loss, model, optimizer, learning_rate(step, plan.steps, plan.rate))
        average.update_parameters(model)


def perceptual_of(network: nn.Module, weight: float = 0.5) -> Perceptual:
    """How far apart the first three maps of a recogniser are, as a share of the true picture's own size.

    The recogniser is the one that only trains; the judge must have no part in this.
    """
    network = network.eval().requires_grad_(False)

    def loss(decoded: Tensor, images: Tensor) -> Tensor:
        with torch.no_grad():
            true = network.maps((images + 1) / 2)[:3]
        drawn = network.maps((decoded + 1) / 2)[:3]
        return weight * sum((a - b).abs().mean() / b.abs().mean() for a, b in zip(drawn, true, strict=True)) / 3

    return loss


def batch(seed: int, step: int, count: int, crop: int) -> tuple[Tensor, Tensor]:
    """Crops [count, 3, crop, crop] in -1..1 of fresh pictures and the weights [count, 1, crop, crop] of their pixels.

    Three crops of four show a face.
    """
    rng = np.random.default_rng([seed, 0xAE, step])
    images, weights = [], []
    while len(images) < count:
        drawn = _picture(rng)
        weight = face_weights(drawn.boxes, SECOND.image_size)
        for number in range(1 if crop >= SECOND.image_size else min(CROPS_PER_PICTURE, count - len(images))):
            window = _window(drawn, crop, number % 4 < 3, rng)
            images.append(torch.from_numpy(drawn.image[window].copy()).permute(2, 0, 1).float() / 127.5 - 1)
            weights.append(weight[window][None])
    return torch.stack(images), torch.stack(weights)


def _picture(rng: np.random.Generator) -> Rendered:
    people = int(rng.choice(len(PEOPLE), p=PEOPLE)) + 1
    scene = sample_scene(rng, people=people, overlap=people > 1 and rng.random() < 0.25, world=2)
    return render(scene, SECOND.image_size)


def _window(drawn: Rendered, crop: int, face: bool, rng: np.random.Generator) -> tuple[slice, slice]:
    """(rows, columns) of a crop, with a face somewhere in it or anywhere."""
    room = SECOND.image_size - crop
    if face:
        x0, y0, x1, y1 = drawn.boxes[rng.integers(len(drawn.boxes))]
        centre = np.array((x0 + x1, y0 + y1)) / 2 + rng.uniform(-0.3, 0.3, 2) * max(crop, x1 - x0)
        left, top = np.clip(centre - crop / 2, 0, room).astype(int)
    else:
        left, top = rng.integers(0, room + 1, 2)
    return slice(int(top), int(top) + crop), slice(int(left), int(left) + crop)


def face_weights(boxes: list, size: int) -> Tensor:
    """[size, size]: 1, and more in each face box, so that every face adds what a square of `OWN_SIDE` pixels has."""
    weight = torch.ones(size, size)
    for x0, y0, x1, y1 in boxes:
        rows, columns = (slice(max(0, round(low)), max(0, round(high))) for low, high in ((y0, y1), (x0, x1)))
        weight[rows, columns] += min((OWN_SIDE / (x1 - x0)) ** 2, 4.0)
    return weight


def _loss(
    model: nn.Module,
    images: Tensor,
    weights: Tensor,
    random: torch.Generator,
    run: Run,
    plan: Plan,
    perceptual: Perceptual | None,
) -> Tensor:
    """Weighted L1 and squares on pixels, L1 on their differences to the right and below (edges), and a light KL.

    In every fourth step the latents are shrunk before decoding and compared with the shrunk picture (EQ-VAE,
    Kouzelis et al. 2025): the local branch crops and enlarges noisy latents, so their resizing has to mean something.
    """
    shrunk = shrinks(run.step)
    decoded, images, weights, kl = there_and_back(model, images, weights, random, shrunk, plan)
    weights = weights / weights.mean()
    errors = decoded - images
    pixels, squares = (weights * errors.abs()).mean(), (weights * errors.square()).mean()
    edges = (weights[..., 1:] * errors.diff(dim=3).abs()).mean() + (
        weights[..., 1:, :] * errors.diff(dim=2).abs()
    ).mean()
    kind = "shrunk_" if shrunk else ""
    run.note(**{f"{kind}pixels": pixels, f"{kind}squares": squares, f"{kind}edges": edges}, kl=kl)
    loss = pixels + SQUARES_WEIGHT * squares + EDGES_WEIGHT * edges + KL_WEIGHT * kl
    if perceptual is not None and not shrunk:
        seen = perceptual(decoded, images)
        run.note(perceptual=seen)
        loss = loss + seen
    return loss
