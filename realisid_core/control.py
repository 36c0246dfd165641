"""A branch, for all persons of a picture, as something that the host treats like any other ControlNet."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import comfy.model_base
import comfy.model_management
import torch
from comfy.controlnet import ControlBase, ControlNet
from einops import rearrange
from torch import Tensor

from .branches import Injection, branch_vector, global_branch, local_branch
from .checkpoint import RealisIDConfig
from .geometry import LATENT_CELL, FaceBox
from .masked_attention import masked_cross_attention
from .perception import pose_expression_image
from .persons import Person
from .resampling import location_mask, relocate
from .rows import KEY, WHOLE_FRAME, Identity, read

ASPECT_TOLERANCE = 0.05


@dataclass(frozen=True)
class Row:
    """One row of a call: a batch of latents that share a conditioning."""

    identity: Identity
    area: tuple[int, int, int, int]
    x: Tensor
    timesteps: Tensor
    y: Tensor | None

    def same_as(self, other: "Row") -> bool:
        """Whether the branches would say the same of both."""
        return (
            (self.identity, self.area) == (other.identity, other.area)
            and torch.equal(self.x, other.x)
            and (self.y is None or torch.equal(self.y, other.y))
        )


@dataclass(frozen=True)
class Savings:
    """What a branch may save at the price of some quality.

    Attributes:
        reuse: compute the features at every `reuse`-th evaluation of the model and use them again in between.
        one_pass: the global branch sees all persons in one pass, each face attending to its own ID tokens
            (InstantFamily), instead of one pass a person.
    """

    reuse: int = 1
    one_pass: bool = False


EXACT = Savings()

Item = tuple[int, tuple[int, ...]]
"""What one pass of a network is for: a job, and the persons it shows."""


class BranchControl(ControlBase):
    """One branch for all persons. Local injections are summed over persons, global ones averaged (paper, Fig. 2c).

    Rows of a call that would get the same are computed once, rows that get nothing not at all, and all persons of all
    remaining rows share one batch, split only where the host reports too little memory.

    Args:
        branch: "local" or "global".
        control: the network, as the host's ControlNet; its wrapper is what the host loads and offloads.
        null_tokens: the null identity, [1, T, D].
    """

    def __init__(
        self,
        branch: str,
        control: ControlNet,
        persons: Sequence[Person],
        null_tokens: Tensor,
        config: RealisIDConfig,
        savings: Savings = EXACT,
    ):
        super().__init__()
        self.branch = branch
        self.control = control
        self.persons = [person for person in persons if self._strength_of(person) > 0]
        self.null_tokens = null_tokens
        self.config = config
        self.savings = savings
        self.forget()

    def forget(self) -> None:
        """Drop what was kept for one run of the sampler."""
        self.model = None
        self.hints: dict[tuple, Tensor] = {}
        self.evaluation, self.sigma = 0, None
        self.kept: dict[tuple, tuple[int, Injection]] = {}

    # What the host asks of a ControlNet

    def copy(self) -> "BranchControl":
        other = BranchControl(self.branch, self.control, self.persons, self.null_tokens, self.config, self.savings)
        self.copy_to(other)
        return other

    def get_models(self) -> list:
        return [*super().get_models(), self.control.control_model_wrapped]

    def pre_run(self, model, percent_to_timestep_function) -> None:
        super().pre_run(model, percent_to_timestep_function)
        self._refuse_other_architectures(model)
        self.forget()
        self.model = model

    def cleanup(self) -> None:
        self.forget()
        super().cleanup()

    def get_control(self, x_noisy, t, cond, batched_number, transformer_options) -> Injection | None:
        previous = None
        if self.previous_controlnet is not None:
            previous = self.previous_controlnet.get_control(x_noisy, t, cond, batched_number, transformer_options)
        rows = self._rows(x_noisy, t, cond, batched_number) if self.acts_at(t[0]) else []
        jobs: list[Row] = []
        job_of_row = []
        for row in rows:
            found = next((i for i, job in enumerate(jobs) if row.same_as(job)), len(jobs))
            job_of_row.append(-1 if row.identity == Identity.OFF else found)
            if found == len(jobs) and row.identity != Identity.OFF:
                jobs.append(row)
        if not jobs:
            return previous
        sums = self._injection(jobs) if self.savings.reuse == 1 else self._reused(jobs, float(t[0]))
        per_row = {place: [feature[job_of_row].flatten(0, 1) for feature in sums[place]] for place in sums}
        return self.control_merge(per_row, previous, output_dtype=None)

    def acts_at(self, sigma: Tensor) -> bool:
        """Whether the branch has anyone to act for, at this noise level."""
        in_range = self.timestep_range is None or self.timestep_range[0] >= sigma >= self.timestep_range[1]
        return bool(self.persons) and self.strength != 0 and bool(in_range)

    # The computation

    def _rows(self, x_noisy: Tensor, t: Tensor, cond: dict, batched_number: int) -> list[Row]:
        network = self.control.control_model
        dtype = self.control.manual_cast_dtype or network.dtype
        sampling = self.model.model_sampling
        x = sampling.calculate_input(t, x_noisy).to(dtype).chunk(batched_number)
        timesteps = sampling.timestep(t).to(dtype).chunk(batched_number)
        y = branch_vector(cond.get("y"), self.config.y_mode)
        y = [None] * batched_number if y is None else y.to(x_noisy.device, dtype).chunk(batched_number)
        marks = read(cond.get(KEY), batched_number)
        return [Row(*mark, *values) for mark, *values in zip(marks, x, timesteps, y, strict=True)]

    def _reused(self, jobs: list[Row], sigma: float) -> Injection:
        """The combination over persons, computed at every `reuse`-th noise level and kept in between."""
        if sigma != self.sigma:
            self.sigma, self.evaluation = sigma, self.evaluation + 1
        key = tuple((job.identity, job.area, job.x.shape) for job in jobs)
        computed, sums = self.kept.get(key, (None, None))
        if computed is None or self.evaluation - computed >= self.savings.reuse:
            sums = self._injection(jobs)
            self.kept[key] = self.evaluation, sums
        return sums

    def _injection(self, jobs: list[Row]) -> Injection:
        """For each job the combination over persons, [J + 1, b, C, H, W] a feature map; the last one is zero."""
        items = self._items(jobs)
        at_once = self._items_at_once(jobs)
        sums: Injection = {}
        for group in (items[i : i + at_once] for i in range(0, len(items), at_once)):
            weights = torch.tensor([self._weight(persons) for _, persons in group])
            job_index = torch.tensor([job for job, _ in group])
            for place, features in self._run(jobs, group).items():
                for i, feature in enumerate(features):
                    feature = rearrange(feature, "(item b) c h w -> item b c h w", item=len(group))
                    if len(sums.setdefault(place, [])) == i:
                        sums[place].append(feature.new_zeros(len(jobs) + 1, *feature.shape[1:]))
                    weight = rearrange(weights.to(feature), "item -> item 1 1 1 1")
                    sums[place][i].index_add_(0, job_index.to(feature.device), feature * weight)
        return sums

    def _items(self, jobs: list[Row]) -> list[Item]:
        everyone = range(len(self.persons))
        shown = [tuple(everyone)] if self._one_pass else [(person,) for person in everyone]
        return [(job, persons) for job in range(len(jobs)) for persons in shown]

    def _run(self, jobs: list[Row], items: Sequence[Item]) -> Injection:
        """The network on a batch of items, each of b latents."""
        b = len(jobs[0].x)
        rows = [jobs[job] for job, _ in items]
        boxes = [[self._box(self.persons[person], jobs[job]) for person in persons] for job, persons in items]
        x = torch.cat([row.x for row in rows])

        def for_each_latent(values: list[Tensor]) -> Tensor:
            return torch.cat(values).to(x).repeat_interleave(b, dim=0)

        hints = [
            torch.stack([self._hint(person, box, x) for person, box in zip(persons, places, strict=True)]).amax(0)
            for (_, persons), places in zip(items, boxes, strict=True)
        ]
        arguments = {
            "network": self.control.control_model,
            "x": x,
            "timesteps": torch.cat([row.timesteps for row in rows]),
            "tokens": for_each_latent([self._tokens(jobs[job], persons) for job, persons in items]),
            "y": None if rows[0].y is None else torch.cat([row.y for row in rows]),
            **self.control.extra_args,
        }
        if self._crops:
            return local_branch(
                boxes=[box for (box,) in boxes for _ in range(b)],
                pose_images=for_each_latent(hints),
                local_size=self.config.local_size,
                **arguments,
            )
        tokens = self.config.clip_tokens
        masked = masked_cross_attention(self.control.control_model, boxes[0], tokens, x.shape[-2:])
        with masked if self._one_pass else nullcontext():
            return global_branch(hint=for_each_latent(hints), **arguments)

    def _tokens(self, row: Row, persons: Sequence[int]) -> Tensor:
        """The ID tokens of a pass, those of several persons one after the other: [1, N · T, D]."""
        given = row.identity == Identity.GIVEN
        return torch.cat([self.persons[p].tokens if given else self.null_tokens for p in persons], dim=1)

    @property
    def _crops(self) -> bool:
        return self.branch == "local" and self.config.crop

    def _strength_of(self, person: Person) -> float:
        return person.local_strength if self.branch == "local" else person.global_strength

    @property
    def _one_pass(self) -> bool:
        return self.branch == "global" and self.savings.one_pass and len(self.persons) > 1

    def _weight(self, persons: Sequence[int]) -> float:
        """The local branch sums over persons, the global branch averages."""
        strength = sum(self._strength_of(self.persons[person]) for person in persons)
        return strength / (1 if self.branch == "local" else len(self.persons))

    def _box(self, person: Person, row: Row) -> FaceBox:
        """The person's face box in fractions of what the row sees."""
        height, width = row.x.shape[-2:]
        if row.area != WHOLE_FRAME:
            return person.box.seen_from(row.area, *(side / LATENT_CELL for side in person.frame))
        drawn = person.frame[0] / person.frame[1]
        if abs(width / height / drawn - 1) > ASPECT_TOLERANCE:
            raise ValueError(
                f"The face boxes were drawn for {person.frame[0]}×{person.frame[1]} pixels, but the picture is "
                f"{width * LATENT_CELL}×{height * LATENT_CELL}: they would not be square. Connect the width and height "
                "of the location boxes to the empty latent, or draw the boxes for that size."
            )
        return person.box

    def _hint(self, person: int, box: FaceBox, x: Tensor) -> Tensor:
        """`c_pe` (local) or `c_loc` (global) of one person, [1, C, h, w]; made once a run."""
        height, width = (side * LATENT_CELL for side in x.shape[-2:])
        key = (person,) if self._crops else (person, box, height, width)
        if key not in self.hints:
            if self._crops:
                hint = self._pose(person, self.config.local_size * LATENT_CELL)
            elif self.branch == "local":
                hint = relocate(self._pose(person, max(height, width)), [box], height, width)
            else:
                hint = location_mask([box], height, width)
            channels = self.control.control_model.input_hint_block[0].weight.shape[1]
            self.hints[key] = hint.expand(-1, channels, -1, -1).to(x)
        return self.hints[key]

    def _pose(self, person: int, size: int) -> Tensor:
        image = pose_expression_image(self.persons[person].landmarks, size, outline=self.config.outline)
        return rearrange(image, "h w c -> 1 c h w")

    def _items_at_once(self, jobs: list[Row]) -> int:
        """How many items fit one batch: the host's own estimate of the UNet serves, and is generous."""
        if self._one_pass and len({job.area for job in jobs}) > 1:
            return 1  # each area sees the boxes elsewhere, and a batch has one mask
        shape = list(jobs[0].x.shape)
        if self._crops:
            shape[-2:] = [self.config.local_size] * 2
        needed = self.model.memory_required(shape) * 1.5
        return max(1, int(comfy.model_management.get_free_memory(jobs[0].x.device) // needed))

    def _refuse_other_architectures(self, model: comfy.model_base.BaseModel) -> None:
        kind = type(model).__name__
        if not isinstance(model, comfy.model_base.SDXL):
            raise ValueError(f"RealisID needs SDXL or a fine-tune of it, but the model is of type {kind}. Load SDXL.")
        network, unet = self.control.control_model, model.diffusion_model
        theirs = len(unet.input_blocks), unet.model_channels, model.latent_format.latent_channels
        ours = len(network.zero_convs), network.model_channels, network.input_blocks[0][0].weight.shape[1]
        if ours != theirs:
            names = "{} blocks of {} channels on {}-channel latents".format
            raise ValueError(
                f"The {self.branch} branch is for a UNet with {names(*ours)}; the model ({kind}) has {names(*theirs)}. "
                f"Load the model this RealisID checkpoint was trained for ({self.config.base})."
            )
