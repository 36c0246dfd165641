"""The autoencoder: sharp small faces, and latents that may be resized."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from realisid_core.miniature import initial, networks
from realisid_core.training.ema import averaged_model

from .data import Pictures
from .run import Plan, Run, device, generator, learning_rate, take_step

CROP = 128
SHARDS = 8
KL_WEIGHT = 3e-4
SQUARES_WEIGHT = 8.0
SCALES = (0.5, 0.75)
Window = tuple[slice, slice]
WHOLE = slice(None), slice(None)
WHOLE_EVERY = 4  # alone, the decoder sees whole pictures in one step of so many


def train(pictures: Path, folder: Path, plan: Plan, decoder_only: bool = False) -> None:
    """Train on crops of 128 pixels, half of them round a face. Resumes where `folder` holds a state.

    `decoder_only` leaves the encoder's averaged weights as they are, so that latents made with them stay true. It sees
    whole pictures too: a decoder that knows crops alone paints a speck into a corner of the four times larger picture.
    """
    data = Pictures(pictures, SHARDS)
    model = initial.vae_module()
    model.load_state_dict(initial.zero_init_residuals(initial.seeded(model, plan.seed)))
    with torch.no_grad():  # little noise on the latents to begin with, or nothing gets through for hundreds of steps
        model.quant_conv.bias[len(model.quant_conv.bias) // 2 :] -= 6
    model.to(device()).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.rate, betas=(0.9, 0.99), weight_decay=0.0)
    average = averaged_model(model, 0.999)
    run = Run(folder, {"model": model, "optimizer": optimizer, "average": average})
    if decoder_only:
        freeze_encoder(model, average)
    for step in run.steps(plan.steps, plan.save_minutes):
        random = generator(plan.seed, step)
        whole = decoder_only and step % WHOLE_EVERY == 1
        count = max(1, plan.batch * CROP**2 // networks.FIRST.image_size**2) if whole else plan.batch
        chosen = torch.randint(len(data), (count,), generator=random).tolist()
        seen = [_weighted(data, index, WHOLE if whole else _window(data, index, random)) for index in chosen]
        images, weights = (torch.stack(values).to(device()) for values in zip(*seen, strict=True))
        loss = _loss(model, images, weights, random, run, plan)
        take_step(loss, model, optimizer, learning_rate(step, plan.steps, plan.rate))
        average.update_parameters(model)


def freeze_encoder(model: nn.Module, average: AveragedModel) -> None:
    """What is frozen is the average, which is what gets exported."""
    for name in ("encoder", "quant_conv"):
        part = getattr(model, name)
        part.load_state_dict(getattr(average.module, name).state_dict())
        part.requires_grad_(False)


def _weighted(data: Pictures, index: int, window: Window) -> tuple[Tensor, Tensor]:
    """Part of a picture, [3, h, w] in -1..1, and the weights [1, h, w] of its pixels."""
    picture = data[index]
    image = torch.from_numpy(picture[window].copy()).permute(2, 0, 1).float() / 127.5 - 1
    return image, face_weights(data.notes[index]["boxes"], len(picture))[window][None]


def _window(data: Pictures, index: int, random: torch.Generator) -> Window:
    """(rows, columns) of a crop of 128 pixels."""
    boxes = data.notes[index]["boxes"]
    room = len(data[index]) - CROP
    chance, which, *place = torch.rand(4, generator=random).tolist()
    if chance < 0.5:
        x0, y0, x1, y1 = boxes[int(which * len(boxes))]
        centre = ((x0 + x1 - CROP) / 2 + 40 * (place[0] - 0.5), (y0 + y1 - CROP) / 2 + 40 * (place[1] - 0.5))
        left, top = (int(min(max(value, 0), room)) for value in centre)
    else:
        left, top = (int(value * (room + 1)) for value in place)
    return slice(top, top + CROP), slice(left, left + CROP)


def face_weights(boxes: list, size: int, own: float = 64.0) -> Tensor:
    """[size, size]: 1, and more in each face box, so that every face adds what a square of `own` pixels has."""
    weight = torch.ones(size, size)
    for x0, y0, x1, y1 in boxes:
        rows, columns = (slice(max(0, round(low)), max(0, round(high))) for low, high in ((y0, y1), (x0, x1)))
        weight[rows, columns] += min((own / (x1 - x0)) ** 2, 4.0)
    return weight


def shrinks(step: int) -> bool:
    """Whether a step shrinks the latents before decoding."""
    return step % 4 == 3


def there_and_back(
    model: nn.Module, images: Tensor, weights: Tensor, random: torch.Generator, shrunk: bool, plan: Plan
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The decoded pictures, what they are compared with, the weights of its pixels, and the latents' KL, a scalar.

    Where `shrunk`, the latents, the pictures and the weights are shrunk by one factor of `SCALES`.
    """
    with plan.autocast():
        mean, log_variance = model.quant_conv(model.encoder(images)).float().chunk(2, dim=1)
        log_variance = log_variance.clamp(-20, 10)
        noise = torch.randn(mean.shape, generator=random).to(mean.device)
        latents = mean + (0.5 * log_variance).exp() * noise
        if shrunk:
            scale = SCALES[int(torch.randint(len(SCALES), (), generator=random))]
            latents, images, weights = (
                F.interpolate(value, scale_factor=scale, mode="bilinear", antialias=True)
                for value in (latents, images, weights)
            )
        decoded = model.decoder(model.post_quant_conv(latents)).float()
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return decoded, images, weights, kl


def _loss(model: nn.Module, images: Tensor, weights: Tensor, random: torch.Generator, run: Run, plan: Plan) -> Tensor:
    """Weighted L1 and squares on pixels (the flat parts clean, the eyes there at all), and a light KL.

    In every fourth step the latents are shrunk before decoding and compared with the shrunk picture (EQ-VAE,
    Kouzelis et al. 2025): the local branch crops and enlarges noisy latents, so their resizing has to mean something.
    """
    shrunk = shrinks(run.step)
    decoded, images, weights, kl = there_and_back(model, images, weights, random, shrunk, plan)
    weights = weights / weights.mean()
    errors = decoded - images
    pixels, squares = (weights * errors.abs()).mean(), (weights * errors.square()).mean()
    run.note(**({"shrunk_pixels": pixels} if shrunk else {"pixels": pixels}), squares=squares, kl=kl)
    return pixels + SQUARES_WEIGHT * squares + KL_WEIGHT * kl
