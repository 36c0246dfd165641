"""From a batch to Eq. 7. The UNet and the branches are called as the sampler calls them."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from .base import Base
from .data import Batch
from .loss import add_noise, prediction_error, training_loss


def batch_loss(base: Base, trainee: nn.Module, batch: Batch, face_weight: float, device: torch.device) -> Tensor:
    """Eq. 7 for a batch, a scalar with gradients to the branches and the projector.

    Args:
        trainee: a `Trainee`, as accelerate wrapped it.
    """
    model, dtype = base.model, base.model.get_dtype()
    latents = model.process_latent_in(batch.latents.to(device))
    noise, timesteps = batch.noise.to(device), batch.timesteps.to(device)
    x, sigma = add_noise(model, latents, noise, timesteps)
    context, y = conditioning(base, batch, device)
    made = trainee(
        model.model_sampling.calculate_input(sigma, x),
        model.model_sampling.timestep(sigma),
        batch.boxes,
        batch.pose_images.to(device).float() / 255,
        batch.features.to(device).float(),
        y,
        *batch.pictures(),
    )
    injection, options = made if isinstance(made, tuple) else (made, {})
    control = {place: [feature.to(dtype) for feature in features] for place, features in injection.items()}
    rounded = dtype == torch.float32  # then autocast does what a base in half precision does by itself
    with nullcontext() if rounded else torch.autocast(device.type, enabled=False):
        denoised = model.apply_model(x, sigma, c_crossattn=context, y=y, control=control, transformer_options=options)
    face = batch.face_mask(latents.shape[-2], latents.shape[-1], device)
    return training_loss(prediction_error(model, denoised, latents, sigma), face, face_weight)


def conditioning(base: Base, batch: Batch, device: torch.device) -> tuple[Tensor, Tensor]:
    """`p_text` [B, 77, D] and the UNet's vector conditioning [B, A]; the empty prompt's where the text was dropped."""
    texts = [base.text(caption) for caption in batch.captions]
    context = torch.cat([text.context.float() for text in texts]).to(device)
    pooled = torch.cat([text.pooled.float() for text in texts]).to(device)
    return context, base.vector(pooled, batch.sizes)
