"""The patches of one call of the UNet: words behind the prompts, and attention by region round other packs' patches."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from comfy.ldm.modules.attention import optimized_attention
from torch import Tensor

from ..attention.decoupled import Identities
from ..attention.regional import joint_attention, joint_bias, level_regions
from ..attention.unet_layers import Place
from ..geometry import FaceBox
from .rows import IdentityMode


@dataclass(frozen=True)
class Row:
    """What one latent of a call is given: the persons' boxes in it, whether it reads words, and which identity."""

    boxes: tuple[FaceBox, ...]
    words: bool
    identity: IdentityMode


class UnetCall:
    """The patches of one call.

    Args:
        rows: one a latent of the batch x.
        words: for each person their own, [1, T, D], or None.
        share: weight of the prompt's tokens where somebody has words.
        identities: what is read beside the prompt, with weight `weight`; None for nothing.
        x: [B, C, H, W], the noisy latents.
        made: what has been made for this run of the sampler, and is kept for its next call.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        words: Sequence[Tensor | None],
        share: float,
        identities: Identities | None,
        weight: float,
        x: Tensor,
        made: dict,
    ):
        self.words, self.share = words, share
        self.identities, self.weight, self.made = identities, weight, made
        self.latent = tuple(x.shape[-2:])
        self.prompt_tokens = 0  # of each row, while the words stand behind them
        speaks = any(own is not None for own in words)
        shows = identities is not None
        self.reading = _numbers((row.boxes if speaks and row.words else None for row in rows), x.device)
        self.others = torch.tensor([i for i, row in enumerate(rows) if not (speaks and row.words)], device=x.device)
        identity = ((row.identity, row.boxes) if shows and row.identity != IdentityMode.OFF else None for row in rows)
        self.shown = _numbers(identity, x.device)

    @property
    def acts(self) -> bool:
        return bool(self.reading or self.shown)

    def added_to(self, options: dict, places: Iterable[Place]) -> dict:
        """`transformer_options` with the patches: the words last of all, the attentions round what is there."""
        patches = dict(options.get("patches", {}))
        if self.reading:
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
        if self.reading:
            (k, own_k), (v, own_v) = (self._unpacked(packed, len(q)) for packed in (k, v))
            words = own_k, own_v

        def plain(rows: Tensor | slice) -> Tensor:
            options = {"attn_precision": extra.get("attn_precision"), "transformer_options": extra}
            return optimized_attention(q[rows], k[rows], v[rows], heads, **options)

        if other is not None:
            out = other(q, k, v, extra)
        elif words is None:
            out = plain(slice(None))
        else:
            out = torch.empty_like(q)
            if len(self.others):
                out[self.others] = plain(self.others)
        for boxes, rows in self.reading.items():
            assert words is not None
            joint = self._joint(q[rows], k[rows], v[rows], words, heads, boxes, extra)
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

    def _joint(self, q, k, v, words: tuple[Tensor, Tensor], heads: int, boxes: tuple, extra: dict) -> Tensor:
        level = self._level(q.shape[1], extra)

        def make() -> Tensor:
            tokens = [0 if own is None else own.shape[1] for own in self.words]
            return joint_bias(level_regions(boxes, level, self.latent), tokens, k.shape[1], self.share).to(q)

        bias = self._once(("bias", boxes, level, k.shape[1], q.dtype, q.device), make)
        k, v = (torch.cat([a, b.expand(len(q), -1, -1)], dim=1) for a, b in zip((k, v), words, strict=True))
        return joint_attention(q, k, v, heads, bias)

    def _decoupled(self, place, q: Tensor, heads: int, identity: IdentityMode, boxes: tuple, extra: dict) -> Tensor:
        """w Σ_n m_n ⊙ softmax(q K_nᵀ/√d) V_n over the persons with an identity; of the null one, K_∅ for every K_n."""
        assert self.identities is not None
        identities = self.identities
        level = self._level(q.shape[1], extra)
        regions = self._once(
            ("regions", boxes, level, q.dtype, q.device), lambda: level_regions(boxes, level, self.latent).to(q)
        )

        def read(who: int | None) -> Tensor:
            def make() -> tuple[Tensor, ...]:
                return tuple(value.to(q) for value in identities.of(place, who))

            known = self._once(("identity", place, who, q.dtype, q.device), make)
            k, v = (value.expand(len(q), -1, -1) for value in known)
            return optimized_attention(q, k, v, heads, attn_precision=extra.get("attn_precision"))

        persons = [n for n, known in enumerate(identities.persons) if known is not None]
        if identity == IdentityMode.NULL:
            return self.weight * regions[persons].sum(0)[:, None] * read(None)
        terms = (regions[n, :, None] * read(n) for n in persons)
        return self.weight * sum(terms, start=q.new_zeros(()))

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
