"""The patches of one call of the UNet: words behind the prompts, and attention by region round other packs' patches."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from comfy.ldm.modules.attention import optimized_attention
from torch import Tensor

from ..attention.decoupled import Identities
from ..attention.regional import MARGIN, Region, joint_bias, level_regions
from ..attention.stacked import Mask, face_bias, face_factor, stacked_attention
from ..attention.unet_layers import Place
from ..geometry import FaceBox
from .rows import IdentityMode

SHARE = 0.05  # of 1, 0.37, 0.05 and 0, the one with the most right shirts on people for choosing


@dataclass(frozen=True)
class Row:
    """What one latent of a call is given: the persons' boxes in it, whether it reads words, and which identity."""

    boxes: tuple[FaceBox, ...]
    words: bool
    identity: IdentityMode


@dataclass(frozen=True)
class Reading:
    """How words and identities are read.

    Attributes:
        share: weight of the prompt's tokens where somebody has words.
        weight: of the identities.
        region, margin: where an identity is read; words are read in the own region.
        mask: what is made of stacked identities elsewhere.
    """

    share: float = SHARE
    weight: float = 1.0
    region: Region = Region.OWN
    margin: float = MARGIN
    mask: Mask = Mask.EXCLUDE


@dataclass(frozen=True)
class Joint:
    """What some rows read in one softmax with their prompt.

    Attributes:
        boxes: the persons', in those rows.
        words: whether they read everybody's words.
        faces: which stacked identities they read; None for none.
    """

    boxes: tuple[FaceBox, ...]
    words: bool
    faces: IdentityMode | None


class UnetCall:
    """The patches of one call.

    Args:
        rows: one a latent of the batch x.
        words: for each person their own, [1, T, D], or None.
        identities: what is read beside the prompt or, stacked, with it; None for nothing.
        x: [B, C, H, W], the noisy latents.
        made: what has been made for this run of the sampler, and is kept for its next call.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        words: Sequence[Tensor | None],
        reading: Reading,
        identities: Identities | None,
        x: Tensor,
        made: dict,
    ):
        self.words, self.how = words, reading
        self.identities, self.made = identities, made
        self.latent = tuple(x.shape[-2:])
        self.prompt_tokens = 0  # of each row, while the words stand behind them
        speaks = any(own is not None for own in words)
        shows = identities is not None and bool(identities.known)
        stacked = shows and identities is not None and identities.stacked

        def joint(row: Row) -> Joint | None:
            faces = row.identity if stacked and row.identity != IdentityMode.OFF else None
            reads = speaks and row.words
            return Joint(row.boxes, reads, faces) if reads or faces else None

        joints = [joint(row) for row in rows]
        self.reading = _numbers(joints, x.device)
        self.speaks = any(each.words for each in self.reading)
        self.others = torch.tensor([i for i, each in enumerate(joints) if each is None], device=x.device)
        beside = shows and not stacked
        identity = ((row.identity, row.boxes) if beside and row.identity != IdentityMode.OFF else None for row in rows)
        self.shown = _numbers(identity, x.device)

    @property
    def acts(self) -> bool:
        return bool(self.reading or self.shown)

    def added_to(self, options: dict, places: Iterable[Place]) -> dict:
        """`transformer_options` with the patches: the words last of all, the attentions round what is there."""
        patches = dict(options.get("patches", {}))
        if self.speaks:
            patches["attn2_patch"] = [*patches.get("attn2_patch", []), self.append_words]
        replaced = options.get("patches_replace", {})
        there = replaced.get("attn2", {})
        ours = {place: partial(self.attend, place, there.get(place, there.get(place[:2]))) for place in places}
        return {**options, "patches": patches, "patches_replace": {**replaced, "attn2": {**there, **ours}}}

    def append_words(self, x: Tensor, context: Tensor, value: Tensor, extra: dict) -> tuple[Tensor, Tensor, Tensor]:
        """An `attn2_patch`: everyone's words, once, behind the prompts of all rows: [1, B · L + Σ T, D].

        The layer's own `to_k` and `to_v` come next, so whatever acts on them (LoRA, fp8, offloading) acts on the words.
        """
        self.prompt_tokens = context.shape[1]

        def make() -> Tensor:
            return torch.cat([own for own in self.words if own is not None], dim=1).to(context)

        words = self._once(("words", context.dtype, context.device), make)

        def behind(prompts: Tensor) -> Tensor:
            return torch.cat([prompts.reshape(1, -1, prompts.shape[-1]), words], dim=1)

        packed = behind(context)
        return x, packed, packed if value is None or value is context else behind(value)

    def attend(self, place: Place, other: Callable | None, q: Tensor, k: Tensor, v: Tensor, extra: dict) -> Tensor:
        """An `attn2_replace`. `other` is what another pack has put there; it sees the prompt alone, as it would."""
        heads, words = extra["n_heads"], None
        if self.speaks:
            (k, own_k), (v, own_v) = (self._unpacked(packed, len(q)) for packed in (k, v))
            words = own_k, own_v

        def plain(rows: Tensor | slice) -> Tensor:
            options = {"attn_precision": extra.get("attn_precision"), "transformer_options": extra}
            return optimized_attention(q[rows], k[rows], v[rows], heads, **options)

        if other is not None:
            out = other(q, k, v, extra)
        elif not self.reading:
            out = plain(slice(None))
        else:
            out = torch.empty_like(q)
            if len(self.others):
                out[self.others] = plain(self.others)
        for key, rows in self.reading.items():
            joint = self._joint(place, q[rows], k[rows], v[rows], words, heads, key, extra)
            if other is None:
                out[rows] = joint
            else:
                out = out.index_add(0, rows, joint - plain(rows))
        for (identity, boxes), rows in self.shown.items():
            out = out.index_add(0, rows, self._decoupled(place, q[rows], heads, identity, boxes, extra))
        return out

    def _unpacked(self, packed: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        """Of [1, B · L + Σ T, C] the prompts, [B, L, C], and the words, [1, Σ T, C]."""
        prompts = rows * self.prompt_tokens
        return packed[0, :prompts].reshape(rows, self.prompt_tokens, -1), packed[:, prompts:]

    def _joint(self, place, q, k, v, words: tuple[Tensor, Tensor] | None, heads: int, key: Joint, extra: dict):
        """One softmax over the prompt, everybody's words and everybody's stacked identities: [B, P, C]."""
        level = self._level(q.shape[1], extra)
        made = "bias", key, level, k.shape[1], q.dtype, q.device
        bias, factor = self._once(made, lambda: self._bias(place, key, level, k.shape[1], q))
        read = [(k, v)]
        if key.words:
            assert words is not None
            read.append(words)
        if key.faces:
            made = "faces", place, key.faces, q.dtype, q.device
            read.append(self._once(made, lambda: self._faces(place, key.faces, q)))
        k, v = (torch.cat([each.expand(len(q), -1, -1) for each in part], dim=1) for part in zip(*read, strict=True))
        return stacked_attention(q, k, v, heads, bias, factor)

    def _bias(self, place: Place, key: Joint, level: tuple[int, int], prompt_tokens: int, q: Tensor):
        """β and, for the paper's product, M of all that is read: [P, L] each."""
        bias = [q.new_zeros(q.shape[1], prompt_tokens)]
        if key.words:
            tokens = [0 if own is None else own.shape[1] for own in self.words]
            own = level_regions(key.boxes, level, self.latent)
            bias = [joint_bias(own, tokens, prompt_tokens, self.how.share).to(q)]
        factor = [torch.ones_like(bias[0])]
        if key.faces:
            assert self.identities is not None
            known, tokens = self.identities.known, self.identities.null[place][0].shape[1]
            regions = self._regions(key.boxes, level)
            bias.append(face_bias(regions, known, tokens, self.how.mask, self.how.weight).to(q))
            factor.append(face_factor(regions, known, tokens).to(q))
        literal = bool(key.faces) and self.how.mask == Mask.LITERAL
        return torch.cat(bias, dim=1), torch.cat(factor, dim=1) if literal else None

    def _faces(self, place: Place, identity: IdentityMode | None, q: Tensor) -> tuple[Tensor, Tensor]:
        """K_f and V_f of everybody with an identity, [1, N · T, C] each."""
        assert self.identities is not None
        known = self.identities.known
        each = [self.identities.of(place, None if identity == IdentityMode.NULL else n) for n in known]
        k, v = (torch.cat(part, dim=1).to(q) for part in zip(*each, strict=True))
        return k, v

    def _regions(self, boxes: Sequence[FaceBox], level: tuple[int, int]) -> Tensor:
        return level_regions(boxes, level, self.latent, self.how.region, self.how.margin)

    def _decoupled(self, place, q: Tensor, heads: int, identity: IdentityMode, boxes: tuple, extra: dict) -> Tensor:
        """w Σ_n m_n ⊙ softmax(q K_nᵀ/√d) V_n over the persons with an identity; of the null one, K_∅ for every K_n."""
        assert self.identities is not None
        identities = self.identities
        level = self._level(q.shape[1], extra)
        regions = self._once(("regions", boxes, level, q.dtype, q.device), lambda: self._regions(boxes, level).to(q))

        def read(who: int | None) -> Tensor:
            def make() -> tuple[Tensor, ...]:
                return tuple(value.to(q) for value in identities.of(place, who))

            known = self._once(("identity", place, who, q.dtype, q.device), make)
            k, v = (value.expand(len(q), -1, -1) for value in known)
            return optimized_attention(q, k, v, heads, attn_precision=extra.get("attn_precision"))

        persons, weight = identities.known, self.how.weight
        if identity == IdentityMode.NULL:
            return weight * regions[persons].sum(0)[:, None] * read(None)
        terms = (regions[n, :, None] * read(n) for n in persons)
        return weight * sum(terms, start=q.new_zeros(()))

    def _once(self, key: Hashable, make: Callable):
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def _level(self, positions: int, extra: dict) -> tuple[int, int]:
        """(height, width) of the feature map that the positions are of."""
        height, width = extra.get("activations_shape", self.latent)[-2:]
        while height * width > positions:
            height, width = -(-height // 2), -(-width // 2)
        if height * width != positions:
            raise ValueError(
                f"Another pack's patch changes the number of positions in cross-attention ({positions}; expected "
                f"{height}×{width}), so regions of people cannot be told. Remove that patch, or Identity Attention."
            )
        return height, width


def _numbers(keys: Iterable[Hashable | None], device) -> dict:
    """The numbers of the rows of each key; those whose key is None are left out."""
    groups: dict = {}
    for number, key in enumerate(keys):
        if key is not None:
            groups.setdefault(key, []).append(number)
    return {key: torch.tensor(numbers, device=device) for key, numbers in groups.items()}
