"""A branch, for all persons of a picture, as something that the host treats like any other ControlNet."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import comfy.model_base
import comfy.model_management
import torch
from comfy.controlnet import ControlBase, ControlNet
from einops import rearrange
from torch import Tensor

from .branches import Injection, branch_vector, global_branch, local_branch
from .checkpoint import RealisIDConfig
from .geometry import FaceBox
from .perception import pose_expression_image
from .persons import Person
from .resampling import location_mask, relocate
from .rows import KEY, WHOLE_FRAME, Identity, read

LATENT_CELL = 8  # pixels
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
        self, branch: str, control: ControlNet, persons: Sequence[Person], null_tokens: Tensor, config: RealisIDConfig
    ):
        super().__init__()
        self.branch = branch
        self.control = control
        self.persons = [person for person in persons if self._strength_of(person) > 0]
        self.null_tokens = null_tokens
        self.config = config
        self.model = None
        self.hints: dict[tuple, Tensor] = {}

    # What the host asks of a ControlNet

    def copy(self) -> "BranchControl":
        other = BranchControl(self.branch, self.control, self.persons, self.null_tokens, self.config)
        self.copy_to(other)
        return other

    def get_models(self) -> list:
        return [*super().get_models(), self.control.control_model_wrapped]

    def pre_run(self, model, percent_to_timestep_function) -> None:
        super().pre_run(model, percent_to_timestep_function)
        self._refuse_other_architectures(model)
        self.model = model

    def cleanup(self) -> None:
        self.model = None
        self.hints = {}
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
        sums = self._injection(jobs)
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

    def _injection(self, jobs: list[Row]) -> Injection:
        """For each job the combination over persons, [J + 1, b, C, H, W] a feature map; the last one is zero."""
        items = list(product(range(len(jobs)), range(len(self.persons))))
        sums: Injection = {}
        at_once = self._items_at_once(jobs[0].x)
        for group in (items[i : i + at_once] for i in range(0, len(items), at_once)):
            weights = torch.tensor([self._weight(self.persons[person]) for _, person in group])
            job_index = torch.tensor([job for job, _ in group])
            for place, features in self._run(jobs, group).items():
                for i, feature in enumerate(features):
                    feature = rearrange(feature, "(item b) c h w -> item b c h w", item=len(group))
                    if len(sums.setdefault(place, [])) == i:
                        sums[place].append(feature.new_zeros(len(jobs) + 1, *feature.shape[1:]))
                    weight = rearrange(weights.to(feature), "item -> item 1 1 1 1")
                    sums[place][i].index_add_(0, job_index.to(feature.device), feature * weight)
        return sums

    def _run(self, jobs: list[Row], items: Sequence[tuple[int, int]]) -> Injection:
        """The network on a batch of (job, person) pairs, each of b latents."""
        b = len(jobs[0].x)
        rows = [jobs[job] for job, _ in items]
        boxes = [self._box(self.persons[person], jobs[job]) for job, person in items]
        hints = [self._hint(person, box, rows[0].x) for (_, person), box in zip(items, boxes, strict=True)]
        tokens = [
            self.persons[person].tokens if jobs[job].identity == Identity.GIVEN else self.null_tokens
            for job, person in items
        ]
        x = torch.cat([row.x for row in rows])

        def for_each_latent(values: list[Tensor]) -> Tensor:
            return torch.cat(values).to(x).repeat_interleave(b, dim=0)

        arguments = {
            "network": self.control.control_model,
            "x": x,
            "timesteps": torch.cat([row.timesteps for row in rows]),
            "tokens": for_each_latent(tokens),
            "y": None if rows[0].y is None else torch.cat([row.y for row in rows]),
            **self.control.extra_args,
        }
        if self._crops:
            return local_branch(
                boxes=[box for box in boxes for _ in range(b)],
                pose_images=for_each_latent(hints),
                local_size=self.config.local_size,
                **arguments,
            )
        return global_branch(hint=for_each_latent(hints), **arguments)

    @property
    def _crops(self) -> bool:
        return self.branch == "local" and self.config.crop

    def _strength_of(self, person: Person) -> float:
        return person.local_strength if self.branch == "local" else person.global_strength

    def _weight(self, person: Person) -> float:
        return self._strength_of(person) / (1 if self.branch == "local" else len(self.persons))

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

    def _items_at_once(self, x: Tensor) -> int:
        """How many (job, person) pairs fit one batch: the host's own estimate of the UNet serves, and is generous."""
        shape = list(x.shape)
        if self._crops:
            shape[-2:] = [self.config.local_size] * 2
        needed = self.model.memory_required(shape) * 1.5
        return max(1, int(comfy.model_management.get_free_memory(x.device) // needed))

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
