"""The local branch (Eq. 4, 5; Eq. 3 without its crop) and the global branch (Eq. 6): what they add to the UNet.

`network` is the host's ControlNet module throughout. Both are differentiable; sampling and training call the same.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ..geometry import FaceBox
from ..resampling import crop_and_enlarge, relocate

SIZE_EMBEDDING = 6 * 256  # SDXL's vector conditioning ends in six embedded sizes; the pooled prompt comes before

Injection = dict[str, list[Tensor]]
"""`i_t`: what is added to the UNet, as the host writes it: {"middle": [one], "output": [one for each input block]}."""


def local_branch(
    network: nn.Module,
    x: Tensor,
    timesteps: Tensor,
    boxes: Sequence[FaceBox],
    pose_images: Tensor,
    tokens: Tensor,
    y: Tensor | None,
    local_size: int,
    **extra,
) -> Injection:
    """`î_t_l = R(Z(F(ẑ_t + Z(c_pe), p_id, t)), c_loc)`: run on the enlarged face, relocate its features (Eq. 4, 5).

    Args:
        x: [B, C, H, W], the noisy latent as the UNet sees it.
        timesteps: [B].
        boxes: one for each of the B items.
        pose_images: `c_pe`, [B, 3, 8·local_size, 8·local_size].
        tokens: `p_id`, [B, T, D].
        y: vector conditioning [B, A], where the network has one.
        local_size: side of the enlarged face region in latent cells.
    """
    features = local_features(network, x, timesteps, boxes, pose_images, tokens, y, local_size, **extra)
    return map_injection(partial(relocate_feature, boxes=boxes, local_size=local_size, latent=x.shape[-2:]), features)


def local_features(
    network: nn.Module,
    x: Tensor,
    timesteps: Tensor,
    boxes: Sequence[FaceBox],
    pose_images: Tensor,
    tokens: Tensor,
    y: Tensor | None,
    local_size: int,
    **extra,
) -> Injection:
    """`i_t_l = Z(F(ẑ_t + Z(c_pe), p_id, t))`: features of the enlarged faces, before relocation (Eq. 5)."""
    enlarged = crop_and_enlarge(x, boxes, local_size)
    return network(x=enlarged, hint=pose_images, timesteps=timesteps, context=tokens, y=y, **extra)


def relocate_feature(feature: Tensor, boxes: Sequence[FaceBox], local_size: int, latent: tuple[int, int]) -> Tensor:
    """One of the local features where its faces are, on the UNet's feature map of that level (Eq. 4).

    Args:
        feature: [B, C, m, m], `local_size` halved level by level.
        latent: (height, width) in cells.
    """
    height, width = latent
    stride = 2 ** round(math.log2(local_size / feature.shape[-1]))
    grid = -(-height // stride), -(-width // stride)
    return relocate(feature, boxes, *grid, frame=(height / stride, width / stride))


def global_branch(
    network: nn.Module,
    x: Tensor,
    timesteps: Tensor,
    hint: Tensor,
    tokens: Tensor,
    y: Tensor | None,
    **extra,
) -> Injection:
    """`i_t_g = Z(F(z_t + Z(c_loc), p_id, t))`: the whole latent, told where the face is (Eq. 6).

    Args:
        x: [B, C, H, W], the noisy latent as the UNet sees it.
        timesteps: [B].
        hint: `c_loc` at the picture's resolution, [B, 1, 8·H, 8·W].
        tokens: `p_id`, [B, T, D].
        y: vector conditioning [B, A], where the network has one.
    """
    return network(x=x, hint=hint, timesteps=timesteps, context=tokens, y=y, **extra)


def map_injection(function: Callable[[Tensor], Tensor], injection: Injection) -> Injection:
    """`function` of every feature map."""
    return {place: [function(feature) for feature in features] for place, features in injection.items()}


def add_injections(a: Injection | None, b: Injection) -> Injection:
    """The sum, feature map by feature map; `b` itself where there is no `a`."""
    if a is None:
        return b
    return {place: [x + y for x, y in zip(a[place], b[place], strict=True)] for place in b}


def branch_vector(y: Tensor | None, mode: str) -> Tensor | None:
    """The branches' vector conditioning from the UNet's, [B, A]: all of it ("prompt"), or its sizes alone ("sizes").

    With "sizes" the pooled prompt is zero, so that the branches do not depend on the text and rows can share them.
    """
    if y is None or mode == "prompt":
        return y
    return torch.cat([torch.zeros_like(y[:, :-SIZE_EMBEDDING]), y[:, -SIZE_EMBEDDING:]], dim=1)
