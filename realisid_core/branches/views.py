"""What a branch's network sees of the latent, and where its features go: the face enlarged, or the whole latent.

Sampling and training run the same views. `network` is the host's ControlNet module throughout; all is differentiable.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ..geometry import LATENT_CELL, FaceBox
from ..resampling import crop_and_enlarge, relocate
from .injection import Injection, map_injection

SIZE_EMBEDDING = 6 * 256  # SDXL's vector conditioning ends in six embedded sizes; the pooled prompt comes before


@dataclass(frozen=True)
class Inputs:
    """A batch for a branch's network.

    Attributes:
        x: [B, C, H, W], the noisy latent as the UNet sees it.
        timesteps: [B].
        boxes: one face box for each of the B items; several persons in one pass have the first one's.
        hint: `c_pe` or `c_loc` as an image of what the view shows, [B, 3 or 1, 8 · its height, 8 · its width].
        tokens: `p_id`, [B, T, D].
        y: vector conditioning [B, A], where the network has one.
    """

    x: Tensor
    timesteps: Tensor
    boxes: Sequence[FaceBox]
    hint: Tensor
    tokens: Tensor
    y: Tensor | None

    def shown_to(self, network: nn.Module, x: Tensor, **extra) -> Injection:
        """What the network makes of `x`, with all the rest as it is here."""
        return network(x=x, hint=self.hint, timesteps=self.timesteps, context=self.tokens, y=self.y, **extra)


@dataclass(frozen=True)
class EnlargedFace:
    """The local branch's view: each face enlarged, its features shrunk and put back where the face is.

    Attributes:
        local_size: side of the enlarged face region, in latent cells.
    """

    local_size: int

    def features(self, network: nn.Module, inputs: Inputs, **extra) -> Injection:
        """`i_t_l = Z(F(ẑ_t + Z(c_pe), p_id, t))`, of the enlarged faces (RealisID, Eq. 5)."""
        return inputs.shown_to(network, crop_and_enlarge(inputs.x, inputs.boxes, self.local_size), **extra)

    def on_frame(self, feature: Tensor, boxes: Sequence[FaceBox], latent: tuple[int, ...]) -> Tensor:
        """`î_t_l = R(i_t_l, c_loc)`: one feature map, on the UNet's grid of that level (RealisID, Eq. 4).

        Args:
            feature: [B, C, m, m], `local_size` halved level by level.
            boxes: one for each of the B items.
            latent: (height, width) in cells.
        """
        height, width = latent
        stride = 2 ** round(math.log2(self.local_size / feature.shape[-1]))
        grid = -(-height // stride), -(-width // stride)
        return relocate(feature, boxes, *grid, frame=(height / stride, width / stride))

    def injection(self, network: nn.Module, inputs: Inputs, **extra) -> Injection:
        """RealisID, Eq. 5 and then Eq. 4, of the whole batch at once."""
        to_frame = partial(self.on_frame, boxes=inputs.boxes, latent=tuple(inputs.x.shape[-2:]))
        return map_injection(to_frame, self.features(network, inputs, **extra))

    def face_image(self, draw: Callable[[int], Tensor], box: FaceBox, height: int, width: int, detail: int) -> Tensor:
        """An image of the face's own square, as the network sees it: [1, C, S, S] with S pixels of `local_size` cells.

        Args:
            draw: makes the image at a size in pixels, [1, C, size, size].
            box, height, width, detail: what `WholeLatent` needs.
        """
        return draw(self.local_size * LATENT_CELL)

    def face_image_key(self, box: FaceBox, height: int, width: int) -> Hashable:
        """What a face image depends on besides the face."""
        return ()

    def cells(self, latent: tuple[int, ...]) -> int:
        """Latent cells that one item takes in the network."""
        return self.local_size**2


@dataclass(frozen=True)
class WholeLatent:
    """The global branch's view (RealisID, Eq. 6), and the local one's in the ablation without its crop (Eq. 3)."""

    def features(self, network: nn.Module, inputs: Inputs, **extra) -> Injection:
        """`i_t_g = Z(F(z_t + Z(c_loc), p_id, t))` (RealisID, Eq. 6); with `c_pe` for the hint, Eq. 3."""
        return inputs.shown_to(network, inputs.x, **extra)

    def on_frame(self, feature: Tensor, boxes: Sequence[FaceBox], latent: tuple[int, ...]) -> Tensor:
        """The features as they are: they cover the frame."""
        return feature

    injection = features

    def face_image(self, draw: Callable[[int], Tensor], box: FaceBox, height: int, width: int, detail: int) -> Tensor:
        """An image of the face's own square, put into its box: [1, C, height, width].

        Args:
            draw: makes the image at a size in pixels, [1, C, size, size].
            height, width: of what the network sees, in pixels.
            detail: pixels to draw the image with before it is shrunk.
        """
        return relocate(draw(detail), [box], height, width)

    def face_image_key(self, box: FaceBox, height: int, width: int) -> Hashable:
        """What a face image depends on besides the face."""
        return box, height, width

    def cells(self, latent: tuple[int, ...]) -> int:
        """Latent cells that one item takes in the network."""
        return math.prod(latent)


View = EnlargedFace | WholeLatent


def branch_vector(y: Tensor | None, mode: str) -> Tensor | None:
    """The branches' vector conditioning from the UNet's, [B, A]: all of it ("prompt"), or its sizes alone ("sizes").

    With "sizes" the pooled prompt is zero, so that the branches do not depend on the text and rows can share them.
    """
    if y is None or mode == "prompt":
        return y
    return torch.cat([torch.zeros_like(y[:, :-SIZE_EMBEDDING]), y[:, -SIZE_EMBEDDING:]], dim=1)
