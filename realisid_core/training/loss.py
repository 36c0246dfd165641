"""Eq. 7, on the error of the base model's own prediction."""

import torch
from comfy.model_base import BaseModel, ModelType
from einops import rearrange
from torch import Tensor

TRAINABLE_TYPES = (ModelType.EPS, ModelType.V_PREDICTION)


def training_loss(error: Tensor, face: Tensor, face_weight: float = 1.0) -> Tensor:
    """`‖ε_θ − ε‖² + λ ‖(ε_θ − ε) ⊙ c_loc‖²` (Eq. 7), a scalar.

    Both norms are means of squares over all elements, the picture's and not the face's: a small face weighs as much as
    its area, as the equation has it, and a batch's loss is the mean of its samples' whatever their boxes are.

    Args:
        error: `ε_θ − ε`, [B, C, H, W].
        face: `c_loc`, [B, 1, H, W] in 0..1.
        face_weight: λ.
    """
    return error.square().mean() + face_weight * (error * face).square().mean()


def add_noise(model: BaseModel, latents: Tensor, noise: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """`z_t` of the base model's noise schedule, in the sampler's scale: (z [B, C, H, W], sigma [B]).

    Args:
        latents, noise: [B, C, H, W].
        timesteps: [B], whole numbers of the schedule, 0 the least noise.
    """
    sigma = model.model_sampling.sigma(timesteps)
    return model.model_sampling.noise_scaling(sigma, noise, latents), sigma


def prediction_error(model: BaseModel, denoised: Tensor, latents: Tensor, sigma: Tensor) -> Tensor:
    """What the base model's network got wrong, [B, C, H, W], from the denoised latent that the host makes of it.

    A base that predicts ε gives `ε_θ − ε`. One that predicts v gives `v_θ − v`, which is the same error times
    √(1 + σ²): the paper has no such base, and in this form its loss stays the one that the base was trained with
    (Eq. 1) plus the face's term.
    """
    sigma = rearrange(sigma, "b -> b 1 1 1")
    error = (latents - denoised) / sigma
    return error * torch.sqrt(1 + sigma**2) if model.model_type == ModelType.V_PREDICTION else error
