"""Training with several faces a picture (InstantFamily): which are stacked, and what trainee and UNet read of them.

All faces of a batch lie in one row, picture by picture, so nothing is computed for padding. Faces that are not stacked
are drawn like the others and have the null identity.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import comfy.ops
import numpy as np
import torch
from torch import Tensor

from ..attention.decoupled import STACKED, IdentityAdapter
from ..attention.masked import level_grid, masked_cross_attention
from ..attention.regional import level_regions
from ..attention.stacked import Mask, face_bias, face_factor, stacked_attention
from ..attention.unet_layers import cross_attentions
from ..branches.injection import Injection, add_injections, map_injection
from ..branches.local import local_view
from ..branches.views import Inputs, WholeLatent, branch_vector
from ..conditions.location_mask import location_mask
from ..config import InstantFamilyConfig, RealisIDConfig
from ..geometry import LATENT_CELL, FaceBox
from ..identity.stack import StackProjector
from .base import Base
from .data import Batch, RunSamples, Sample, collate, pose_image, read_faces
from .draws import Draw, draw
from .trainee import PART_NAMES, Trainee

ORDER = 1  # sets the draw of the faces' order apart from the sample's other draws


@dataclass(frozen=True)
class FamilyBatch(Batch):
    """A batch of B pictures with F faces in all.

    Attributes:
        boxes, pose_images, features: of the F faces, picture by picture, the stacked ones of each first.
        counts: how many faces each picture has, and `stacked` how many of them are stacked.
    """

    counts: list[int]
    stacked: list[int]

    def pictures(self) -> tuple:
        return self.counts, self.stacked

    def face_mask(self, height: int, width: int, device: torch.device) -> Tensor:
        """`c_loc` of everyone in a picture together: [B, 1, height, width]."""
        return union_masks(people_of(self.boxes, self.counts), height, width, device)

    def broken(self) -> list[str]:
        features = [part.float().sum() for part in self.features.split(self.counts)]
        sums = self.latents.flatten(1).sum(1) + torch.stack(features)
        return [source for source, good in zip(self.sources, sums.isfinite().tolist(), strict=True) if not good]


class FamilySamples(RunSamples):
    """The samples of a run with all their faces, in random order; at most `family` of them are stacked."""

    def __init__(self, *options, family: int):
        super().__init__(*options)
        self.family = family

    def __getitem__(self, number: int) -> tuple[list[Sample], int, Draw, Tensor]:
        found = read_faces(self.shards, *self.where(number))
        order = np.random.default_rng([self.seed, number, ORDER]).permutation(len(found))
        faces = [found[index] for index in order]
        drawn = draw(self.seed, number, tuple(faces[0].latent.shape), self.timesteps)
        hints = [pose_image(self.hint, face, self.shards.info.image_size) for face in faces]
        return faces, min(self.family, len(faces)), drawn, (torch.stack(hints) * 255 + 0.5).to(torch.uint8)

    @staticmethod
    def collate(items: Sequence[tuple]) -> FamilyBatch:
        """A dropped identity has features of zero for every face of its picture, as faces have that are not stacked."""
        pictures = collate([(faces[0], drawn, hints[0]) for faces, _, drawn, hints in items])
        faces = [face for each, *_ in items for face in each]
        shown = [n < stacked and not drawn.drop_identity for each, stacked, drawn, _ in items for n in range(len(each))]
        features = [face.features * show for face, show in zip(faces, shown, strict=True)]
        own = {
            "boxes": [face.box for face in faces],
            "pose_images": torch.cat([hints for *_, hints in items]),
            "features": torch.stack(features),
        }
        counts, stacked = [len(each) for each, *_ in items], [stacked for _, stacked, *_ in items]
        return FamilyBatch(**{**vars(pictures), **own}, counts=counts, stacked=stacked)


class FamilyTrainee(Trainee):
    """Besides the branches and the ID projector: the stack projector, and the adapter where the UNet has one."""

    names = PART_NAMES | {"stack": "stack_projector", "adapter": "adapter"}

    def __init__(self, base: Base, config: InstantFamilyConfig, unet: bool = True):
        super().__init__(base, config)
        self.mask = Mask(config.mask)
        self.masked = ExitStack()  # the global branch's masks stay until the next batch: its blocks may run again
        self.places = []
        if unet:
            layers = cross_attentions(base.model.diffusion_model)
            self.places = list(layers)
            options = {"device": "cpu", "dtype": torch.float32}
            operations = comfy.ops.disable_weight_init
            self.stack = StackProjector(config.clip_width, config.context_dim, config.stack_grid, **options)
            widths = [layer.to_k.out_features for layer in layers.values()]
            adapter = IdentityAdapter(widths, config.context_dim, operations, STACKED, **options)
            adapter.start_from(layers.values())
            self.adapter = adapter.layers
            self.begin_stack()

    def begin_stack(self) -> None:
        """Let the stack projector begin as the ID projector is."""
        if self.places:
            self.stack.start_from(self.projector)

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        boxes: Sequence[FaceBox],
        pose_images: Tensor,
        features: Tensor,
        y: Tensor | None,
        counts: Sequence[int],
        stacked: Sequence[int],
    ) -> tuple[Injection, dict]:
        """The injection, and `transformer_options` by which the UNet reads the stack.

        Args:
            x, timesteps, y: of the B pictures.
            boxes, pose_images, features: of the F faces.
            counts, stacked: of each picture.
        """
        people = people_of(boxes, counts)
        owner = torch.repeat_interleave(torch.tensor(counts)).to(x.device)
        tokens = self.projector(features)
        y = branch_vector(y, self.config.y_mode)
        faces = Inputs(x[owner], timesteps[owner], boxes, pose_images, tokens, None if y is None else y[owner])
        local = local_view(self.config.crop, self.config.local_size).injection(self.local, faces)
        latent = (x.shape[-2], x.shape[-1])
        hint = union_masks(people, *(side * LATENT_CELL for side in latent), x.device).to(x.dtype)
        self.masked.close()
        self.masked.enter_context(masked_cross_attention(self.global_, people, tokens.shape[1], latent))
        first = [each[0] for each in people]
        whole = Inputs(x, timesteps, first, hint, padded(tokens, counts), y)
        injection = add_injections(
            map_injection(lambda each: each.new_zeros(len(x), *each.shape[1:]).index_add(0, owner, each), local),
            WholeLatent().injection(self.global_, whole),
        )
        return injection, self._read_by_the_unet(features, people, counts, stacked, latent)

    def _read_by_the_unet(self, features: Tensor, people, counts, stacked, latent: tuple[int, int]) -> dict:
        if not self.places:
            return {}
        tokens = self.stack(features)
        slots = FamilySlots(people, stacked, tokens.shape[1], latent, self.mask)
        patches = {}
        for place, pair in zip(self.places, self.adapter.values(), strict=True):
            k, v = (padded(layer(tokens), counts) for layer in (pair["to_k"], pair["to_v"]))
            patches[place] = partial(slots.attend, k, v)
        return {"patches_replace": {"attn2": patches}, "patches": {"input_block_patch_after_skip": [_apart]}}


def _apart(h: Tensor, _) -> Tensor:
    """The next block's input. The host adds an injection to the skip's own tensor, which autograd still needs here."""
    return h.clone()


def new_trainee(base: Base, config: RealisIDConfig, unet: bool) -> Trainee:
    """What learns in a run of this config's method."""
    return FamilyTrainee(base, config, unet) if isinstance(config, InstantFamilyConfig) else Trainee(base, config)


class FamilySlots:
    """The masks of one batch: which of the N · T tokens of each picture its positions read, level by level."""

    def __init__(self, people, stacked: Sequence[int], tokens: int, latent: tuple[int, int], mask: Mask):
        self.people, self.stacked, self.tokens, self.latent, self.mask = people, stacked, tokens, latent, mask
        self.made: dict[tuple, tuple[Tensor, Tensor | None]] = {}

    def attend(self, own_k: Tensor, own_v: Tensor, q: Tensor, k: Tensor, v: Tensor, extra: dict) -> Tensor:
        """An `attn2_replace`: one softmax over text [B, L, C] and faces [B, N · T, C]."""
        bias, factor = self._masks(q, k.shape[1], own_k.shape[1])
        k, v = torch.cat([k, own_k.to(k)], dim=1), torch.cat([v, own_v.to(v)], dim=1)
        return stacked_attention(q, k, v, extra["n_heads"], bias, factor)

    def _masks(self, q: Tensor, text: int, faces: int) -> tuple[Tensor, Tensor | None]:
        key = q.shape[1], text
        if key not in self.made:
            level = level_grid(q.shape[1], self.latent)
            bias = q.new_full((len(self.people), q.shape[1], text + faces), -torch.inf)
            bias[..., :text] = 0
            factor = torch.ones_like(bias)
            for row, (boxes, stacked) in enumerate(zip(self.people, self.stacked, strict=True)):
                regions, known = level_regions(boxes, level, self.latent), range(stacked)
                read = slice(text, text + stacked * self.tokens)
                bias[row, :, read] = face_bias(regions, known, self.tokens, self.mask).to(q)
                factor[row, :, read] = face_factor(regions, known, self.tokens).to(q)
            self.made[key] = bias, factor if self.mask == Mask.LITERAL else None
        return self.made[key]


def people_of(boxes: Sequence[FaceBox], counts: Sequence[int]) -> list[tuple[FaceBox, ...]]:
    """The face boxes of each picture."""
    rest = iter(boxes)
    return [tuple(next(rest) for _ in range(count)) for count in counts]


def padded(values: Tensor, counts: Sequence[int]) -> Tensor:
    """[F, T, C] → [B, N · T, C], zero where a picture has fewer than N faces."""
    parts = [part.flatten(0, 1) for part in values.split(list(counts))]
    return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)


def union_masks(people: Sequence[Sequence[FaceBox]], height: int, width: int, device=None) -> Tensor:
    """`c_loc` of everyone in each picture together: [B, 1, height, width]."""
    return torch.cat([location_mask(boxes, height, width, device).amax(0, keepdim=True) for boxes in people])
