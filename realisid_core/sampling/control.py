"""A branch, for all persons of a picture, as something that the host treats like any other ControlNet."""

import copy
import logging
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import comfy.model_base
import torch
from comfy.controlnet import ControlBase
from comfy.patcher_extension import CallbacksMP, WrappersMP
from comfy.utils import repeat_to_batch_size
from torch import Tensor

from ..branches.branch import Branch
from ..branches.injection import Injection, map_injection
from ..branches.views import branch_vector
from ..geometry import FaceBox
from ..persons import Person
from .batching import Batching, Reuse
from .frames import Frame, Size
from .rows import ATTENTION_KEY, FRAME_KEY, ROW_KEY, IdentityMode, Row, distinct, read_rows, show_prompts
from .run_cache import RunCache
from .settings import Settings


@dataclass
class Run:
    """What a branch holds while the sampler runs."""

    model: comfy.model_base.BaseModel
    reuse: Reuse
    cache: RunCache = field(default_factory=RunCache)
    begun: bool = False


class BranchControl(ControlBase):
    """One branch for all persons, of whom there is at least one.

    Rows of a batch that would get the same are computed once, rows that get nothing not at all.
    """

    def __init__(self, branch: Branch, persons: Sequence[Person], settings: Settings):
        super().__init__()
        self.branch = branch
        self.persons = tuple(persons)
        self.settings = settings
        self.frame = Frame.of(persons, settings.any_size)
        self.run: Run | None = None
        self.set_cond_hint(self.frame.hint(), settings.strength, settings.percent_range)

    # What the host asks of a ControlNet

    def copy(self) -> "BranchControl":
        other = BranchControl(self.branch, self.persons, self.settings)
        self.copy_to(other)
        return other

    def deepclone_multigpu(self, load_device: torch.device, autoregister: bool = False) -> "BranchControl":
        """A copy with a network of its own for another device, as the host makes of its ControlNets since 0.22."""
        other = self.copy()
        other.branch = self.branch.with_network(copy.deepcopy(self.branch.network), load_device)
        if autoregister:
            self.multigpu_clones[load_device] = other
        return other

    def get_models(self) -> list:
        return [*super().get_models(), self.branch.control.control_model_wrapped]

    def pre_run(self, model, percent_to_timestep_function) -> None:
        super().pre_run(model, percent_to_timestep_function)
        self.branch.refuse_other_models(model)
        self.run = Run(weakref.proxy(model), Reuse(self.settings.reuse))  # the host decides how long the model lives
        self._forget_after_the_run_of(model.current_patcher)

    def _forget_after_the_run_of(self, patcher) -> None:
        """However it ends: the host cleans ControlNets up only after a run that was not interrupted."""
        key = f"realisid {id(self)}"

        def forget(ended) -> None:
            self.forget()
            ended.remove_callbacks_with_key(CallbacksMP.ON_CLEANUP, key)

        if patcher is not None:
            patcher.remove_callbacks_with_key(CallbacksMP.ON_CLEANUP, key)
            patcher.add_callback_with_key(CallbacksMP.ON_CLEANUP, key, forget)

    def forget(self) -> None:
        """Drop what was held for one run of the sampler."""
        self.run = self.cond_hint = None

    def cleanup(self) -> None:
        self.forget()
        super().cleanup()

    def acts_at(self, sigma: Tensor) -> bool:
        """Whether the branch has anyone to act for, at this noise level."""
        in_range = self.timestep_range is None or self.timestep_range[0] >= sigma >= self.timestep_range[1]
        return bool(self.branch.passes(self.persons)) and self.strength != 0 and bool(in_range)

    def get_control(self, x_noisy, t, cond, batched_number, transformer_options) -> Injection | None:
        assert self.run is not None, "the host calls pre_run first"
        show_prompts(transformer_options)
        self._say_what_is_not_used(transformer_options)
        previous = None
        if self.previous_controlnet is not None:
            previous = self.previous_controlnet.get_control(x_noisy, t, cond, batched_number, transformer_options)
        whole, sampling = transformer_options.get(FRAME_KEY), self.run.model.model_sampling
        rows = self._rows(sampling, x_noisy, t, cond, whole) if self.acts_at(t[0]) else []
        different, numbers = distinct(rows)
        if not different:
            return previous
        batching = Batching(self.branch, self.persons, self.run.cache, self.run.model, x_noisy.shape)
        key = _reuse_key(different, transformer_options)
        sums = self.run.reuse(key, t[0], partial(batching.injection, different))
        if not sums:
            return previous
        per_row = map_injection(lambda feature: feature[numbers], sums)
        return self.control_merge(per_row, previous, output_dtype=None)

    def _say_what_is_not_used(self, transformer_options: dict) -> None:
        """Once a run: the checkpoint has a part for the UNet, and MODEL does not have it on."""
        assert self.run is not None
        on_model = transformer_options.get("wrappers", {}).get(WrappersMP.APPLY_MODEL, {})
        if not self.run.begun and "adapter" in self.branch.realisid.parts and ATTENTION_KEY not in on_model:
            logging.info(
                "%s has an identity adapter, which this model has not: identities act through the branches only. "
                "Put the model through Identity Attention.",
                self.branch.realisid.name,
            )
        self.run.begun = True

    def _rows(self, sampling, x_noisy: Tensor, t: Tensor, cond: dict, whole: Size | None) -> list[Row]:
        """Each latent of the batch. `whole` is the size of the picture in cells, where the model's wrapper says it."""
        dtype = self.branch.dtype
        x = sampling.calculate_input(t, x_noisy).to(dtype).split(1)
        timesteps = sampling.timestep(t).to(dtype).split(1)
        y = branch_vector(cond.get("y"), self.branch.y_mode)
        y = [None] * len(x) if y is None else repeat_to_batch_size(y, len(x)).to(x_noisy.device, dtype).split(1)
        marks = read_rows(cond.get(ROW_KEY), len(x))
        boxes = [
            self._boxes(number, *mark, (x_noisy.shape[-2], x_noisy.shape[-1]), whole)
            for number, mark in enumerate(marks)
        ]
        identities = [identity for identity, _ in marks]
        return [Row(*values) for values in zip(identities, boxes, x, timesteps, y, strict=True)]

    def _boxes(self, number: int, identity: IdentityMode, area, latent: Size, whole) -> tuple[FaceBox, ...]:
        """Everyone's face box in fractions of a latent; a tiler has set `cond_hint` to what each latent shows."""
        if identity == IdentityMode.OFF:
            return ()
        tile = None if self.cond_hint is None else self.cond_hint[number % len(self.cond_hint)]
        return self.frame.boxes_in(area, latent, whole, self.cond_hint_original, tile, self.persons)


def _reuse_key(rows: Sequence[Row], options: dict) -> tuple:
    """What tells batches of one noise level apart: prompts, the host's context window, identities, boxes and shape."""
    window = getattr(options.get("context_window"), "index_list", ())
    return (*options.get("uuids", ()), *window, *((row.identity, row.boxes, row.x.shape) for row in rows))
