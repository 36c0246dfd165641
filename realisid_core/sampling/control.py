"""A branch, for all persons of a picture, as something that the host treats like any other ControlNet."""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import comfy.model_base
from comfy.controlnet import ControlBase
from comfy.utils import repeat_to_batch_size
from torch import Tensor

from ..branches.branch import Branch
from ..branches.injection import Injection, map_injection
from ..branches.views import branch_vector
from ..persons import Person
from .batching import Batching, Reuse
from .frames import Frame
from .rows import FRAME_KEY, ROW_KEY, IdentityMode, Row, distinct, read_rows
from .run_cache import RunCache


@dataclass
class Run:
    """What a branch holds while the sampler runs."""

    model: comfy.model_base.BaseModel
    reuse: Reuse
    cache: RunCache = field(default_factory=RunCache)
    frame: Frame = field(default_factory=Frame)


class BranchControl(ControlBase):
    """One branch for all persons.

    Rows of a batch that would get the same are computed once, rows that get nothing not at all.

    Args:
        reuse: compute the features at every `reuse`-th evaluation of the model and use them again in between.
    """

    def __init__(self, branch: Branch, persons: Sequence[Person], reuse: int = 1):
        super().__init__()
        self.branch = branch
        self.persons = list(persons)
        self.reuse = reuse
        self.run: Run | None = None

    def copy(self) -> "BranchControl":
        other = BranchControl(self.branch, self.persons, self.reuse)
        self.copy_to(other)
        return other

    def get_models(self) -> list:
        return [*super().get_models(), self.branch.control.control_model_wrapped]

    def pre_run(self, model, percent_to_timestep_function) -> None:
        super().pre_run(model, percent_to_timestep_function)
        self.branch.refuse_other_models(model)
        self.run = Run(weakref.proxy(model), Reuse(self.reuse))  # the host decides how long the model lives

    def forget(self) -> None:
        """Drop what was held for one run of the sampler."""
        self.run = None

    def cleanup(self) -> None:
        self.forget()
        super().cleanup()

    def acts_at(self, sigma: Tensor) -> bool:
        """Whether the branch has anyone to act for, at this noise level."""
        in_range = self.timestep_range is None or self.timestep_range[0] >= sigma >= self.timestep_range[1]
        return bool(self.branch.passes(self.persons)) and self.strength != 0 and bool(in_range)

    def get_control(self, x_noisy, t, cond, batched_number, transformer_options) -> Injection | None:
        previous = None
        if self.previous_controlnet is not None:
            previous = self.previous_controlnet.get_control(x_noisy, t, cond, batched_number, transformer_options)
        rows = self._rows(x_noisy, t, cond, transformer_options.get(FRAME_KEY)) if self.acts_at(t[0]) else []
        different, numbers = distinct(rows)
        if not different:
            return previous
        batching = Batching(self.branch, self.persons, self.run.cache, self.run.model, x_noisy.shape)
        key = _reuse_key(different, transformer_options)
        sums = self.run.reuse(key, t[0], partial(batching.injection, different))
        per_row = map_injection(lambda feature: feature[numbers], sums)
        return self.control_merge(per_row, previous, output_dtype=None)

    def _rows(self, x_noisy: Tensor, t: Tensor, cond: dict, whole: tuple[int, int] | None) -> list[Row]:
        """Each latent of the batch. `whole` is the size of the picture in cells, where the model's wrapper says it."""
        sampling, dtype = self.run.model.model_sampling, self.branch.dtype
        x = sampling.calculate_input(t, x_noisy).to(dtype).split(1)
        timesteps = sampling.timestep(t).to(dtype).split(1)
        y = branch_vector(cond.get("y"), self.branch.y_mode)
        y = [None] * len(x) if y is None else repeat_to_batch_size(y, len(x)).to(x_noisy.device, dtype).split(1)
        latent = tuple(x_noisy.shape[-2:])
        return [
            Row(identity, self._boxes(identity, area, latent, whole), *values)
            for (identity, area), *values in zip(read_rows(cond.get(ROW_KEY), len(x)), x, timesteps, y, strict=True)
        ]

    def _boxes(self, identity: IdentityMode, area, latent, whole) -> tuple:
        return () if identity == IdentityMode.OFF else self.run.frame.boxes_in(area, latent, whole, self.persons)


def _reuse_key(rows: Sequence[Row], options: dict) -> tuple:
    """What tells batches of one noise level apart: prompts, the host's context window, identities, boxes and shape."""
    window = getattr(options.get("context_window"), "index_list", ())
    return (*options.get("uuids", ()), *window, *((row.identity, row.boxes, row.x.shape) for row in rows))
