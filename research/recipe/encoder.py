"""The image encoder: its tokens must say who somebody is, whatever pose, light and size the photo has."""

from pathlib import Path

import torch
import torch.nn.functional as F
from comfy.clip_vision import clip_preprocess
from torch import Tensor, nn

from realisid_core.miniature import initial, networks
from realisid_core.training.ema import averaged_model

from ..world.identity import CATEGORIES, MOLE_PLACES, NUMBERS
from .data import Pictures
from .run import Plan, Run, device, generator, learning_rate, take_step

SIZES = [len(NUMBERS), len(MOLE_PLACES), *map(len, CATEGORIES.values())]


class Reader(nn.Module):
    """The encoder with two linear readings of the identity: from the penultimate tokens' mean, and from its output."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.of_tokens = nn.Linear(networks.FIRST.image_encoder_config()["hidden_size"], sum(SIZES))
        self.of_output = nn.Linear(networks.FIRST.image_encoder_config()["hidden_size"], sum(SIZES))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        _, penultimate, output, _ = self.encoder(pixels, intermediate_output=-2)
        return self.of_tokens(penultimate.mean(dim=1)), self.of_output(output)


def train(crops: Path, folder: Path, plan: Plan) -> None:
    """Train on masked crops to read identity vectors. Resumes where `folder` holds a state."""
    data = Pictures(crops)
    targets = torch.tensor(data.notes)
    encoder = initial.image_encoder_module()
    encoder.load_state_dict(initial.seeded(encoder, plan.seed))
    torch.manual_seed(plan.seed)
    model = trainable(Reader(encoder)).to(device())
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.rate, weight_decay=0.05)
    average = averaged_model(model, 0.999)
    run = Run(folder, {"model": model, "optimizer": optimizer, "average": average})
    for step in run.steps(plan.steps, plan.save_minutes):
        random = generator(plan.seed, step)
        chosen = torch.randint(len(data), (plan.batch,), generator=random)
        images = torch.stack([torch.from_numpy(data[index].copy()) for index in chosen.tolist()])
        pixels = clip_preprocess(images.float() / 255, size=images.shape[1]).to(device())
        with plan.autocast():
            readings = model(pixels)
        losses = [identity_loss(reading.float(), targets[chosen].to(device())) for reading in readings]
        run.note(tokens=losses[0], output=losses[1])
        take_step(sum(losses), model, optimizer, learning_rate(step, plan.steps, plan.rate))
        average.update_parameters(model)


def trainable(model: nn.Module) -> nn.Module:
    """The host's transformer layers add in place to what their norms keep for the backward pass: give those a copy."""
    for name, module in model.named_modules():
        if name.endswith(("layer_norm1", "layer_norm2")):
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].clone(),))
    return model.requires_grad_(True)


def identity_loss(reading: Tensor, target: Tensor) -> Tensor:
    """Squares for the numbers, cross entropies for moles and categories; the mean over attributes."""
    numbers, moles, *categories = reading.split(SIZES, dim=1)
    true_numbers, true_moles, *true_categories = target.split(SIZES, dim=1)
    losses = [
        len(NUMBERS) * F.mse_loss(numbers, true_numbers),
        len(MOLE_PLACES) * F.binary_cross_entropy_with_logits(moles, true_moles),
        *(F.cross_entropy(found, true.argmax(1)) for found, true in zip(categories, true_categories, strict=True)),
    ]
    return sum(losses) / (len(NUMBERS) + len(MOLE_PLACES) + len(categories))
