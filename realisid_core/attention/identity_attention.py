"""Each person's own words and identity in the UNet's cross-attentions, within the person's own region.

    out = softmax([q K_tᵀ; q K_w1ᵀ; …]/√d + log M) [V_t; V_w1; …]  +  w Σ_n m_n ⊙ softmax(q K_nᵀ/√d) V_n

The first term reads the prompt and, where m_n is not 0, the words of person n (InstantFamily, Eq. 6 and 7). The second
is decoupled cross-attention (IP-Adapter) to the identity of person n. m_n is the person's own region.

Nothing is placed on the model but wrappers: at every call of the UNet the patches are laid round whatever other packs
have put at the same places by then, so the order of nodes does not matter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.model_base import SDXL
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ..persons import Person
from ..sampling.rows import FRAME_KEY, ROW_KEY, WHOLE_FRAME, IdentityMode, RowCondition
from .decoupled import Identities
from .regional import box_seen, joint_attention, joint_bias, level_regions
from .unet_layers import Place, cross_attentions

KEY = "realisid_attention"
PROMPT_KEY = "realisid_prompt"  # a model condition: GIVEN for the rows of a prompt, NULL for those of a negative one


@dataclass(frozen=True)
class Row:
    """What one latent of a call is given: the persons' boxes in it, whether it reads words, and which identity."""

    boxes: tuple
    words: bool
    identity: IdentityMode


@dataclass
class IdentityAttention:
    """The patch of a MODEL.

    Attributes:
        persons: who is in the picture, and where.
        words: for each person their own prompt, [1, T, context_dim], or None.
        identities: keys and values of every person and of the null identity, or None.
        weight: w. Own words take no weight: they are text, and share the prompt's softmax.
        percent_range: fractions of the noise schedule between which it acts.
    """

    persons: Sequence[Person]
    words: Sequence[Tensor | None]
    identities: Identities | None = None
    weight: float = 1.0
    percent_range: tuple[float, float] = (0.0, 1.0)
    made: dict = field(default_factory=dict, repr=False)  # during a run: biases, regions, keys and values on the device

    def patch(self, model):
        """A clone of the host's MODEL with this attention; the model itself where there is nothing to do.

        Raises:
            ValueError: a model that is no SDXL, one that has such a patch already, or words of another width.
        """
        start, end = self.percent_range
        if not 0 <= start < end or not (self._has_words or self._has_identities):
            return model
        self._refuse_what_does_not_fit(model)
        patched = model.clone()
        for kind, wrapper in (
            (WrappersMP.OUTER_SAMPLE, self.run),
            (WrappersMP.CALC_COND_BATCH, tell_frame),
            (WrappersMP.APPLY_MODEL, self.apply_model),
        ):
            patched.add_wrapper_with_key(kind, KEY, wrapper)
        return patched

    @property
    def _has_words(self) -> bool:
        return any(words is not None for words in self.words)

    @property
    def _has_identities(self) -> bool:
        return self.identities is not None and self.weight != 0

    def _refuse_what_does_not_fit(self, model) -> None:
        if not isinstance(model.model, SDXL):
            kind = type(model.model).__name__
            raise ValueError(f"model is of type {kind}; Identity Attention works on SDXL and its fine-tunes. Load one.")
        if model.wrappers.get(WrappersMP.APPLY_MODEL, {}).get(KEY):
            raise ValueError(
                "model has passed through Identity Attention already. Use one such node, with everyone in its persons: "
                "join them with Combine Persons."
            )
        layers = cross_attentions(model.model.diffusion_model)
        width = next(iter(layers.values())).to_k.in_features
        for number, words in enumerate(self.words, 1):
            if words is not None and words.shape[-1] != width:
                raise ValueError(
                    f"The prompt of person {number} has width {words.shape[-1]}; this model reads width {width}. "
                    "Encode it with the CLIP that belongs to the model."
                )
        if self.identities is not None:
            self.identities.refuse_other_layers(layers)

    # Wrappers, from the outside in

    def run(self, executor, *args, **kwargs):
        """One run of the sampler: mark the rows of its prompts, and forget afterwards what was made for it."""
        guider = executor.class_obj
        guider.conds = {name: _marked(name, conds) for name, conds in guider.conds.items()}
        try:
            return executor(*args, **kwargs)
        finally:
            self.made.clear()

    def apply_model(self, executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **c):
        """One call of the UNet, with the patches laid round those that are there."""
        options = transformer_options or {}
        if self._acts_at(executor.class_obj.model_sampling, float(t.max())):
            rows = self._rows(x, options, c)
            call = Call(self, rows, tuple(x.shape[-2:]), x.device)
            if call.acts:
                options = call.added_to(options, cross_attentions(executor.class_obj.diffusion_model))
        return executor(x, t, c_concat, c_crossattn, control, options, **c)

    def _acts_at(self, sampling, sigma: float) -> bool:
        first, last = (float(sampling.percent_to_sigma(at)) for at in self.percent_range)
        return first >= sigma >= last

    def _rows(self, x: Tensor, options: dict, c: dict) -> list[Row]:
        """What each of the B latents of a call is given. Unmarked rows of prompt 0 are given everything."""
        prompts, count = options.get("cond_or_uncond") or [0], len(x)
        unmarked = [
            (IdentityMode.GIVEN if prompts[i * len(prompts) // count] == 0 else IdentityMode.NULL, *WHOLE_FRAME)
            for i in range(count)
        ]
        sides = c[PROMPT_KEY].tolist() if PROMPT_KEY in c else unmarked
        marks = c[ROW_KEY].tolist() if ROW_KEY in c else sides
        whole = tuple(x.shape[-2:])
        rows = []
        for (side, *area), (identity, *_) in zip(sides, marks, strict=True):
            frame = whole if tuple(area) == WHOLE_FRAME else options.get(FRAME_KEY, whole)
            boxes = tuple(box_seen(person, tuple(area), frame) for person in self.persons)
            rows.append(Row(boxes, side == IdentityMode.GIVEN, IdentityMode(int(identity))))
        return rows


def _marked(name: str, conds: list[dict] | None) -> list[dict] | None:
    """Conditionings whose rows say whether they are of a prompt or of a negative one, in whatever call they end up."""
    if conds is None:
        return None
    side = IdentityMode.NULL if "negative" in name else IdentityMode.GIVEN
    mark = {PROMPT_KEY: RowCondition.of(side)}
    return [{**cond, "model_conds": {**cond.get("model_conds", {}), **mark}} for cond in conds]


def tell_frame(executor, model, conds, x_in, timestep, model_options):
    """Areas are parts of this frame."""
    options = {**model_options.get("transformer_options", {}), FRAME_KEY: tuple(x_in.shape[-2:])}
    return executor(model, conds, x_in, timestep, {**model_options, "transformer_options": options})


class Call:
    """The patches of one call of the UNet.

    Args:
        rows: one a latent of the batch.
        latent: (height, width).
    """

    def __init__(self, attention: IdentityAttention, rows: Sequence[Row], latent: tuple[int, int], device):
        self.attention = attention
        self.latent = latent
        self.prompt_tokens: int | None = None  # of each row, while the words stand behind them
        words = attention._has_words
        self.reading = _groups(rows, lambda row: row.boxes if words and row.words else None, device)
        self.shown = _groups(
            rows,
            lambda row: (row.identity, row.boxes) if attention._has_identities and row.identity else None,
            device,
        )
        reading = {i for indices in self.reading.values() for i in indices.tolist()}
        others = [i for i in range(len(rows)) if i not in reading]
        self.others = torch.tensor(others, device=device)

    @property
    def acts(self) -> bool:
        return bool(self.reading or self.shown)

    def added_to(self, options: dict, layers: dict[Place, object]) -> dict:
        """`transformer_options` with the patches: the words last of all, the attentions round what is there."""
        patches = dict(options.get("patches", {}))
        if self.reading:
            patches["attn2_patch"] = [*patches.get("attn2_patch", []), self.append_words]
        replace = dict(options.get("patches_replace", {}))
        there = replace.get("attn2", {})
        replace["attn2"] = {
            **there,
            **{place: partial(self.attend, place, there.get(place, there.get(place[:2]))) for place in layers},
        }
        return {**options, "patches": patches, "patches_replace": replace}

    def append_words(self, x: Tensor, context: Tensor, value: Tensor, extra: dict) -> tuple[Tensor, Tensor, Tensor]:
        """An `attn2_patch`: everyone's words, once, behind the prompts of all rows: [1, B · L + Σ T, D].

        The layer's own `to_k` and `to_v` come next, so whatever acts on them (LoRA, fp8, offloading) acts on the words.
        """
        self.prompt_tokens = context.shape[1]
        words = self.attention.made.get("words")
        if words is None or words.device != context.device or words.dtype != context.dtype:
            every = [words for words in self.attention.words if words is not None]
            words = self.attention.made["words"] = torch.cat(every, dim=1).to(context)

        def behind(prompts: Tensor) -> Tensor:
            return torch.cat([prompts.reshape(1, -1, prompts.shape[-1]), words], dim=1)

        packed = behind(context)
        return x, packed, packed if value is None or value is context else behind(value)

    def attend(self, place: Place, other: Callable | None, q: Tensor, k: Tensor, v: Tensor, extra: dict) -> Tensor:
        """An `attn2_replace`. `other` is what another pack has put there, which sees the prompt alone."""
        heads = extra["n_heads"]
        words = None
        if self.prompt_tokens is not None:
            (k, words_k), (v, words_v) = (self._unpack(packed, len(q)) for packed in (k, v))
            words, self.prompt_tokens = (words_k, words_v), None

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
            own = self._joint(q[rows], k[rows], v[rows], words, heads, boxes, extra)
            if other is None:
                out[rows] = own
            else:
                out = out.index_add(0, rows, own - plain(rows))
        for (identity, boxes), rows in self.shown.items():
            out = out.index_add(0, rows, self._decoupled(place, q[rows], heads, identity, boxes, extra))
        return out

    def _unpack(self, packed: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        prompts = rows * self.prompt_tokens
        return packed[0, :prompts].reshape(rows, self.prompt_tokens, -1), packed[:, prompts:]

    def _joint(self, q, k, v, words: tuple[Tensor, Tensor], heads: int, boxes: tuple, extra: dict) -> Tensor:
        level = self._level(q.shape[1], extra)
        key = ("bias", boxes, level, k.shape[1], q.dtype, q.device)
        made = self.attention.made
        if key not in made:
            tokens = [0 if own is None else own.shape[1] for own in self.attention.words]
            made[key] = joint_bias(level_regions(boxes, level, self.latent), tokens, k.shape[1]).to(q)
        k, v = (torch.cat([a, b.expand(len(q), -1, -1)], dim=1) for a, b in zip((k, v), words, strict=True))
        return joint_attention(q, k, v, heads, made[key])

    def _decoupled(self, place, q: Tensor, heads: int, identity: IdentityMode, boxes: tuple, extra: dict) -> Tensor:
        """w Σ_n m_n ⊙ softmax(q K_nᵀ/√d) V_n; of the null identity, which is everyone's, w softmax(q K_∅ᵀ/√d) V_∅."""
        made, identities = self.attention.made, self.attention.identities

        def read(who: int | None) -> Tensor:
            key = ("identity", place, who, q.dtype, q.device)
            if key not in made:
                made[key] = tuple(value.to(q) for value in identities.of(place, who))
            k, v = (value.expand(len(q), -1, -1) for value in made[key])
            return optimized_attention(q, k, v, heads, attn_precision=extra.get("attn_precision"))

        if identity == IdentityMode.NULL:
            return self.attention.weight * read(None)
        level = self._level(q.shape[1], extra)
        key = ("regions", boxes, level, q.dtype, q.device)
        if key not in made:
            made[key] = level_regions(boxes, level, self.latent).to(q)
        return self.attention.weight * sum(m[:, None] * read(n) for n, m in enumerate(made[key]))

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


def _groups(rows: Sequence[Row], key: Callable[[Row], object], device) -> dict:
    """The numbers of the rows that have the same key; rows whose key is None are in no group."""
    groups: dict = {}
    for number, row in enumerate(rows):
        if key(row) is not None:
            groups.setdefault(key(row), []).append(number)
    return {key: torch.tensor(numbers, device=device) for key, numbers in groups.items()}
