"""Guidance by text and by identity, and delayed subject conditioning, as wrappers on a MODEL.

RealisID, Eq. 8: `ε = ε_∅ + λ_t (ε_t − ε_∅) + λ_i (ε_t&i − ε_t)`. The sampler's own `cfg` is λ_t. The wrapper evaluates
the three predictions in one `calc_cond_batch` of the host, which then guides as ever. Predictions of ε, of v and of x0
are affine in each other at a given noise level, and the weights of Eq. 8 sum to one, so it holds for whichever of them
the model predicts.
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf

from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ..checks import check_number, check_range
from .control import BranchControl
from .rows import FRAME_KEY, PROMPTS_KEY, IdentityMode, identity_of, prompt_numbers, with_identity

MOST_GUIDANCE = 100.0
TEXT_GUIDANCE_KEY = "realisid_text_guidance"


def needs_text_only(text_guidance: float, identity_guidance: float) -> bool:
    """Whether `ε_t` has a weight in RealisID, Eq. 8: λ_t − λ_i."""
    return text_guidance != identity_guidance


def guided_conditional(text_only: Tensor, identified: Tensor, text_guidance: float, identity_guidance: float) -> Tensor:
    """What the host's line `ε_∅ + λ_t (· − ε_∅)` makes RealisID, Eq. 8 of: `ε_t + (λ_i/λ_t)(ε_t&i − ε_t)`.

    Args:
        text_only, identified: `ε_t` and `ε_t&i`, of one shape; or v, or x0.
        text_guidance, identity_guidance: λ_t, not zero, and λ_i. Where they are equal this is `identified`. Where
            nothing is guided against (no `ε_∅`), λ_t is 1.
    """
    return text_only + (identity_guidance / text_guidance) * (identified - text_only)


@dataclass(frozen=True)
class IdentityGuidance:
    """Three-way guidance.

    Attributes:
        identity_guidance: λ_i. Where it equals the sampler's cfg, the text-only pass cancels and is not run.
        without_identity: what the branches do in ε_∅ and ε_t: NULL (as in training) or OFF (skipped, cheaper).
        identity_start: fraction of the schedule until which the identity is withheld (FastComposer).
        text_only_range: fractions of the schedule between which the text-only pass is run; outside, text and identity
            share one weight, λ_t. A saving that changes the picture.

    Raises:
        ValueError: a number that is none, or out of its range.
    """

    identity_guidance: float
    without_identity: IdentityMode = IdentityMode.NULL
    identity_start: float = 0.0
    text_only_range: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        check_number("identity_guidance", self.identity_guidance, -MOST_GUIDANCE, MOST_GUIDANCE)
        check_number("identity_start", self.identity_start, 0.0, 1.0)
        check_range("text_only_", self.text_only_range)

    def patch(self, model):
        """A clone of the host's MODEL with this guidance; the given one is left as it was."""
        patched = model.clone()
        for kind, wrapper in (
            (WrappersMP.PREDICT_NOISE, tell_text_guidance),
            (WrappersMP.CALC_COND_BATCH, self.calc_cond_batch),
        ):
            patched.remove_wrappers_with_key(kind, "realisid")
            patched.add_wrapper_with_key(kind, "realisid", wrapper)
        return patched

    def calc_cond_batch(self, executor, model, conds, x_in, timestep, model_options) -> list[Tensor]:
        """The host's `calc_cond_batch`, with Eq. 8 in place of every conditional that has an identity."""
        sigma = timestep[0]
        withheld = sigma > model.model_sampling.percent_to_sigma(self.identity_start)
        shown = IdentityMode.NULL if withheld else IdentityMode.GIVEN
        options = model_options.get("transformer_options", {})
        model_options = {**model_options, "transformer_options": {**options, FRAME_KEY: tuple(x_in.shape[-2:])}}
        alone = len(conds) == 2 and conds[1] is None  # no negative: nothing weighs the conditional
        text_guidance = 1.0 if alone else options.get(TEXT_GUIDANCE_KEY, 1.0)

        guided = [i for i, cond in enumerate(conds) if cond and any(carries_identity(c, sigma) for c in cond)]
        if guided and text_guidance == 0:
            raise ValueError(
                "cfg is 0, which leaves text guidance no weight to carry identity guidance. Set the sampler's cfg to 1 "
                "(no negative prompt) or more."
            )
        identified = [cond and [_as(c, shown, self.without_identity) for c in cond] for cond in conds]
        first, last = (model.model_sampling.percent_to_sigma(at) for at in self.text_only_range)
        apart = needs_text_only(text_guidance, self.identity_guidance) and shown != self.without_identity
        if not apart or not first >= sigma >= last:
            return executor(model, identified, x_in, timestep, model_options)

        text_only = [[self._text_only(c, model) for c in conds[i]] for i in guided]
        options = model_options["transformer_options"]
        options[PROMPTS_KEY] = [*range(len(conds)), *guided]
        if "model_function_wrapper" in model_options:
            model_options["model_function_wrapper"] = with_prompts(model_options["model_function_wrapper"], options)
        out = executor(model, identified + text_only, x_in, timestep, model_options)
        for i, prediction in zip(guided, out[len(conds) :], strict=True):
            out[i] = guided_conditional(prediction, out[i], text_guidance, self.identity_guidance)
        return out[: len(conds)]

    def _text_only(self, conditioning: dict, model) -> dict:
        """The conditioning without its identity.

        The host caches rows by uuid. The text-only row gets its own uuid, except where these rows begin in the midst of
        a run: such a cache fails on rows that it has not seen from the start.
        """
        row = _as(conditioning, self.without_identity)
        from_the_start = self.identity_start == self.text_only_range[0] == 0
        if "uuid" in row and from_the_start and carries_identity(conditioning, model.model_sampling.sigma_max):
            row = {**row, "uuid": uuid.uuid5(row["uuid"], "text only")}
        return row


def carries_identity(conditioning: dict, sigma: Tensor) -> bool:
    """Whether a conditioning is to show a person, and it and a branch act at this noise level."""
    in_range = conditioning.get("timestep_start", inf) >= sigma >= conditioning.get("timestep_end", 0)
    shown = identity_of(conditioning) == IdentityMode.GIVEN
    return shown and bool(in_range) and any(branch.acts_at(sigma) for branch in branches(conditioning))


def branches(conditioning: dict) -> Iterator[BranchControl]:
    """Our branches among the ControlNets of a conditioning."""
    control = conditioning.get("control")
    while control is not None:
        if isinstance(control, BranchControl):
            yield control
        control = control.previous_controlnet


def _as(conditioning: dict, shown: IdentityMode, otherwise: IdentityMode | None = None) -> dict:
    """The conditioning with `shown` if it is to show a person, else with `otherwise`; untouched without a branch."""
    identity = identity_of(conditioning)
    if identity is None:
        return conditioning
    return with_identity(conditioning, shown if identity == IdentityMode.GIVEN or otherwise is None else otherwise)


def tell_text_guidance(executor, x, timestep, model_options=None, seed=None):
    """λ_t for `calc_cond_batch`, which is not told the sampler's cfg: that of the positive in a two-prompt guider."""
    guider = executor.class_obj
    weight = getattr(guider, "cfg1", guider.cfg)
    if getattr(guider, "nested", False):
        weight *= guider.cfg2
    if not isinstance(weight, int | float):
        raise ValueError(
            f"Identity Guidance needs one number for the sampler's cfg; {type(guider).__name__} has a "
            f"{type(weight).__name__}. Use CFGGuider, or a KSampler."
        )
    options = dict(model_options or {})
    options["transformer_options"] = {**options.get("transformer_options", {}), TEXT_GUIDANCE_KEY: weight}
    return executor(x, timestep, options, seed)


def with_prompts(function: Callable, options: dict) -> Callable:
    """A `model_function_wrapper` of another pack, shown a text-only row as one of its prompt."""

    def wrapped(apply_model, given: dict):
        return function(apply_model, {**given, "cond_or_uncond": prompt_numbers(options, given["cond_or_uncond"])})

    return wrapped
