"""Each person's own words and identity in the UNet's cross-attentions, within the person's own region.

    out = softmax([q K_tᵀ; q K_w1ᵀ; …]/√d + log M) [V_t; V_w1; …]  +  w Σ_n m_n ⊙ softmax(q K_nᵀ/√d) V_n

The first term reads the prompt and, where m_n is not 0, the words of person n (InstantFamily, Eq. 6 and 7); M gives the
prompt a smaller share there. The second is decoupled cross-attention (IP-Adapter) to the identity of person n. m_n is
the person's own region, or a part of it. Stacked identities (InstantFamily) are read in the first term instead, behind
the words (`attention.stacked`).

Nothing is placed on the model but wrappers: at every call of the UNet the patches are laid round whatever other packs
have put at the same places by then, so the order of nodes does not matter.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from comfy.model_base import SDXL
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ..attention.decoupled import Identities
from ..attention.regional import MARGIN, Region
from ..attention.stacked import Mask
from ..attention.unet_layers import cross_attentions
from ..checks import check_flag, check_number, check_range
from ..persons import Person
from .control import BranchControl
from .frames import Frame
from .rows import ATTENTION_KEY, FRAME_KEY, ROW_KEY, WHOLE_FRAME, IdentityMode, RowCondition, read_rows
from .settings import MOST_STRENGTH
from .unet_call import SHARE, Reading, Row, UnetCall

MOST_MARGIN = 3.0
PROMPT_KEY = "realisid_prompt"  # a model condition: GIVEN for the rows of a prompt, NULL for those of a negative one


@dataclass
class IdentityAttention:
    """The patch of a MODEL.

    Attributes:
        persons: who is in the picture, and where; those with words read them in their own region.
        identities: keys and values of every person and of the null identity; None where nobody has any.
        weight: w.
        share: how much each token of the common prompt counts where somebody has words, beside 1 for each of theirs.
        percent_range: fractions of the noise schedule between which it acts.
        any_size: whether the whole picture may be sampled at another size than the boxes were drawn for.
        region, margin: where an identity is read (`Region`); the margin is a face's, in sides of its box.
        mask: what is made of stacked identities elsewhere (`Mask`).

    Raises:
        ValueError: a number that is none, or out of its range.
    """

    persons: Sequence[Person]
    identities: Identities | None = None
    weight: float = 1.0
    share: float = SHARE
    percent_range: tuple[float, float] = (0.0, 1.0)
    any_size: bool = False
    region: Region = Region.OWN
    margin: float = MARGIN
    mask: Mask = Mask.EXCLUDE
    made: dict = field(default_factory=dict, repr=False)  # during a run: biases, regions, keys and values on the device

    def __post_init__(self) -> None:
        check_number("weight", self.weight, 0.0, MOST_STRENGTH)
        check_number("common_prompt", self.share, 0.0, 1.0)
        check_range("", self.percent_range)
        check_flag("any_size", self.any_size)
        check_number("margin", self.margin, 0.0, MOST_MARGIN)

    def patch(self, model):
        """A clone of the host's MODEL with this attention; the model itself where there is nothing to do.

        Raises:
            ValueError: a model that is no SDXL, one that has such a patch already, or words of another width.
        """
        start, end = self.percent_range
        if start >= end or not (self._has_words or self._has_identities):
            return model
        self._refuse_what_does_not_fit(model)
        patched = model.clone()
        for kind, wrapper in (
            (WrappersMP.OUTER_SAMPLE, self.run),
            (WrappersMP.CALC_COND_BATCH, tell_frame),
            (WrappersMP.APPLY_MODEL, self.apply_model),
        ):
            patched.add_wrapper_with_key(kind, ATTENTION_KEY, wrapper)
        return patched

    @property
    def frame(self) -> Frame:
        """The picture that the boxes were drawn for."""
        return Frame.of(self.persons, self.any_size)

    @property
    def words(self) -> list[Tensor | None]:
        """For each person their own prompt, [1, T, context_dim], or None."""
        return [person.words for person in self.persons]

    @property
    def _has_words(self) -> bool:
        return any(words is not None for words in self.words)

    @property
    def _has_identities(self) -> bool:
        known = self.identities
        return known is not None and self.weight != 0 and any(person is not None for person in known.persons)

    def _refuse_what_does_not_fit(self, model) -> None:
        if not isinstance(model.model, SDXL):
            kind = type(model.model).__name__
            raise ValueError(f"model is of type {kind}; Identity Attention works on SDXL and its fine-tunes. Load one.")
        if model.wrappers.get(WrappersMP.APPLY_MODEL, {}).get(ATTENTION_KEY):
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
        self.made["branch"] = _branch_of(cond for conds in guider.conds.values() for cond in conds or ())
        try:
            return executor(*args, **kwargs)
        finally:
            self.made.clear()

    def apply_model(self, executor, x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **c):
        """One call of the UNet, with the patches laid round those that are there."""
        options = transformer_options or {}
        if self._acts_at(executor.class_obj.model_sampling, float(t.max())):
            rows = self._rows(x, options, c)
            identities = self.identities if self._has_identities else None
            reading = Reading(self.share, self.weight, self.region, self.margin, self.mask)
            call = UnetCall(rows, self.words, reading, identities, x, self.made)
            if call.acts:
                options = call.added_to(options, cross_attentions(executor.class_obj.diffusion_model))
        return executor(x, t, c_concat, c_crossattn, control, options, **c)

    def _acts_at(self, sampling, sigma: float) -> bool:
        first, last = (float(sampling.percent_to_sigma(at)) for at in self.percent_range)
        return first >= sigma >= last

    def _rows(self, x: Tensor, options: dict, c: dict) -> list[Row]:
        """What each of the B latents of a call is given. Unmarked rows of prompt 0 are given everything.

        Where a branch is on the same conditionings, its hint tells which part of the picture a tiler shows.

        Raises:
            ValueError: a part of the picture, of which nobody says where it is.
        """
        prompts, count = options.get("cond_or_uncond") or [0], len(x)
        first = [prompts[i * len(prompts) // count] == 0 for i in range(count)]
        unmarked = [(IdentityMode.GIVEN if given else IdentityMode.NULL, WHOLE_FRAME) for given in first]
        sides = read_rows(c[PROMPT_KEY], count) if PROMPT_KEY in c else unmarked
        marks = read_rows(c[ROW_KEY], count) if ROW_KEY in c else sides
        latent, whole = (x.shape[-2], x.shape[-1]), options.get(FRAME_KEY)
        hint, tiles = self._hints()
        rows = []
        for number, ((side, area), (identity, _)) in enumerate(zip(sides, marks, strict=True)):
            tile = None if tiles is None else tiles[number % len(tiles)]
            if area == WHOLE_FRAME and tile is None and whole not in (None, latent):
                raise ValueError(
                    "A tiled sampler shows the model a part of the picture without saying which, so nobody's region is "
                    "known. Give it the model from before Identity Attention, or apply a branch to its conditionings."
                )
            boxes = self.frame.boxes_in(area, latent, whole, hint, tile, self.persons)
            rows.append(Row(boxes, side == IdentityMode.GIVEN, identity))
        return rows

    def _hints(self) -> tuple[Tensor | None, Tensor | None]:
        """The map of the frame that a branch on the same conditionings bears, and its pieces for each latent."""
        branch = self.made.get("branch")
        return (None, None) if branch is None else (branch.cond_hint_original, branch.cond_hint)


def _branch_of(conds: Iterable[dict]) -> BranchControl | None:
    """The first branch of ours among the ControlNets of some conditionings."""
    for cond in conds:
        control = cond.get("control")
        while control is not None:
            if isinstance(control, BranchControl):
                return control
            control = control.previous_controlnet
    return None


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
