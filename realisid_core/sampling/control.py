"""A branch, for all persons of a picture, as something that the host treats like any other ControlNet."""

import weakref
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import NamedTuple

import comfy.model_base
import comfy.model_management
import torch
from comfy.controlnet import ControlBase, ControlNet
from einops import rearrange
from torch import Tensor

from ..attention.masked import masked_cross_attention
from ..branches.features import Injection, branch_vector, global_branch, local_features, relocate_feature
from ..conditions.contours import pose_expression_image
from ..conditions.location_mask import location_mask
from ..config import RealisIDConfig
from ..geometry import LATENT_CELL, FaceBox
from ..persons import Person
from ..resampling import own_regions, relocate
from .rows import FRAME_KEY, ROW_KEY, WHOLE_FRAME, IdentityMode, read_rows
from .run_cache import Cache, computed_once, token_projections

ASPECT_TOLERANCE = 0.05
HEADROOM = 1.5  # times its own estimate the host wants free before it batches
KEPT_MAPS = 5  # feature maps of full size: a fifth of what a pass of a branch takes at its peak, or less


@dataclass(frozen=True)
class Row:
    """One row of a call: a batch of latents that share a conditioning.

    Attributes:
        area: (y, x, height, width) in cells of the part of the latent that `x` is.
        frame: (height, width) in cells of the whole latent; None where nobody says.
    """

    identity: IdentityMode
    area: tuple[int, int, int, int]
    frame: tuple[int, int] | None
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
        one_pass: the global branch sees all persons in one pass, each region attending to its person's ID tokens
            (InstantFamily), instead of one pass a person.
    """

    reuse: int = 1
    one_pass: bool = False


EXACT = Savings()


class Sharing(Enum):
    """How the persons of a picture share the global branch."""

    OWN_REGION = "own region"  # each place takes the features of the person whose face is the nearest
    AVERAGE = "average"  # every place takes the mean over the persons (paper, Fig. 2c)


class Item(NamedTuple):
    """What one pass of a network is for: a job (a place in the list of rows to compute), and the persons it shows."""

    job: int
    persons: tuple[int, ...]


class BranchControl(ControlBase):
    """One branch for all persons. Local injections are summed over persons, global ones joined as `sharing` says.

    Rows of a call that would get the same are computed once, rows that get nothing not at all. All persons of all
    remaining rows share one batch, unless it would be larger than the UNet's own, which the host fits to the memory it
    has: so the peak stays the UNet's, however many persons there are.

    Args:
        branch: "local" or "global".
        control: the network, as the host's ControlNet; its wrapper is what the host loads and offloads.
        null_tokens: the null identity, [1, T, D].
        sharing: of the global branch. The paper's average shows everyone's hair the mean of all identities.
    """

    def __init__(
        self,
        branch: str,
        control: ControlNet,
        persons: Sequence[Person],
        null_tokens: Tensor,
        config: RealisIDConfig,
        savings: Savings = EXACT,
        sharing: Sharing = Sharing.OWN_REGION,
    ):
        super().__init__()
        self.branch = branch
        self.control = control
        self.persons = list(persons)
        self.acting = [i for i, person in enumerate(self.persons) if self._strength_of(person) > 0]
        self.null_tokens = null_tokens
        self.config = config
        self.savings = savings
        self.sharing = sharing
        self.forget()

    def forget(self) -> None:
        """Drop what was kept for one run of the sampler."""
        self.model = None
        self.made: dict[tuple, Tensor] = {}  # hints, ID tokens and regions, by their keys
        self.kept: Cache = {}  # what the network's layers computed from them
        self.frame: tuple[int, int] | None = None  # of the last row that saw the whole latent
        self.evaluation, self.sigma = 0, None  # number and noise level of the model's present evaluation
        self.reused: dict[tuple, tuple[int, Injection]] = {}  # for each call: when computed, and what

    # What the host asks of a ControlNet

    def copy(self) -> "BranchControl":
        options = self.config, self.savings, self.sharing
        other = BranchControl(self.branch, self.control, self.persons, self.null_tokens, *options)
        self.copy_to(other)
        return other

    def get_models(self) -> list:
        return [*super().get_models(), self.control.control_model_wrapped]

    def pre_run(self, model, percent_to_timestep_function) -> None:
        super().pre_run(model, percent_to_timestep_function)
        self._refuse_other_architectures(model)
        self.forget()
        self.model = weakref.proxy(model)  # the host decides how long it lives

    def cleanup(self) -> None:
        self.forget()
        super().cleanup()

    def get_control(self, x_noisy, t, cond, batched_number, transformer_options) -> Injection | None:
        previous = None
        if self.previous_controlnet is not None:
            previous = self.previous_controlnet.get_control(x_noisy, t, cond, batched_number, transformer_options)
        frame = transformer_options.get(FRAME_KEY)
        rows = self._rows(x_noisy, t, cond, batched_number, frame) if self.acts_at(t[0]) else []
        jobs: list[Row] = []
        job_of_row = []
        for row in rows:
            found = next((i for i, job in enumerate(jobs) if row.same_as(job)), len(jobs))
            job_of_row.append(-1 if row.identity == IdentityMode.OFF else found)
            if found == len(jobs) and row.identity != IdentityMode.OFF:
                jobs.append(row)
        if not jobs:
            return previous
        compute = partial(self._injection, jobs, x_noisy.shape)
        sums = compute() if self.savings.reuse == 1 else self._reused(jobs, transformer_options, float(t[0]), compute)
        per_row = {place: [feature[job_of_row].flatten(0, 1) for feature in sums[place]] for place in sums}
        return self.control_merge(per_row, previous, output_dtype=None)

    def acts_at(self, sigma: Tensor) -> bool:
        """Whether the branch has anyone to act for, at this noise level."""
        in_range = self.timestep_range is None or self.timestep_range[0] >= sigma >= self.timestep_range[1]
        return bool(self.acting) and self.strength != 0 and bool(in_range)

    # The computation

    def _rows(
        self, x_noisy: Tensor, t: Tensor, cond: dict, batched_number: int, frame: tuple[int, int] | None
    ) -> list[Row]:
        network = self.control.control_model
        dtype = self.control.manual_cast_dtype or network.dtype
        sampling = self.model.model_sampling
        x = sampling.calculate_input(t, x_noisy).to(dtype).chunk(batched_number)
        timesteps = sampling.timestep(t).to(dtype).chunk(batched_number)
        y = branch_vector(cond.get("y"), self.config.y_mode)
        y = [None] * batched_number if y is None else y.to(x_noisy.device, dtype).chunk(batched_number)
        marks = read_rows(cond.get(ROW_KEY), batched_number)
        if any(identity != IdentityMode.OFF and area == WHOLE_FRAME for identity, area in marks):
            self.frame = tuple(x_noisy.shape[-2:])
        return [
            Row(identity, area, tuple(x_noisy.shape[-2:]) if area == WHOLE_FRAME else frame, *values)
            for (identity, area), *values in zip(marks, x, timesteps, y, strict=True)
        ]

    def _reused(self, jobs: list[Row], options: dict, sigma: float, compute: Callable[[], Injection]) -> Injection:
        """The combination over persons, computed at every `reuse`-th noise level and kept in between.

        Calls of one noise level are told apart by the prompts of their rows and, in `options`, by the host's context
        window.
        """
        if sigma != self.sigma:
            self.sigma, self.evaluation = sigma, self.evaluation + 1
            fresh = self.evaluation - self.savings.reuse
            self.reused = {key: kept for key, kept in self.reused.items() if kept[0] > fresh}
        window = getattr(options.get("context_window"), "index_list", ())
        rows = tuple((job.identity, job.area, job.x.shape) for job in jobs)
        key = (*options.get("uuids", ()), *window, *rows)
        if key not in self.reused:
            self.reused[key] = self.evaluation, compute()
        return self.reused[key][1]

    def _injection(self, jobs: list[Row], call: torch.Size) -> Injection:
        """For each job the combination over persons, [J + 1, b, C, H, W] a feature map; the last one is zero.

        `call` is the shape of the UNet's own batch.
        """
        items = self._items(jobs)
        at_once = self._items_at_once(jobs, call)
        sums: Injection = {}
        for group in (items[i : i + at_once] for i in range(0, len(items), at_once)):
            self._add_to(sums, jobs, group, call)
        return sums

    def _add_to(self, sums: Injection, jobs: list[Row], items: Sequence[Item], call: torch.Size) -> None:
        """Add a batch's features to their jobs' sums, item by item: relocated, each is as large as the frame."""
        b = len(jobs[0].x)
        boxes = [[self._box(self.persons[person], jobs[job]) for person in persons] for job, persons in items]
        for place, features in self._run(jobs, items, boxes, call).items():
            for i, feature in enumerate(features):
                for (job, persons), faces, part in zip(items, boxes, feature.split(b), strict=True):
                    if self._crops:
                        part = relocate_feature(part, faces * b, self.config.local_size, call[-2:])
                    if len(sums.setdefault(place, [])) == i:
                        sums[place].append(part.new_zeros(len(jobs) + 1, *part.shape))
                    sums[place][i][job] += self._weight(persons, jobs[job], part) * part

    def _items(self, jobs: list[Row]) -> list[Item]:
        shown = [tuple(self.acting)] if self._one_pass else [(person,) for person in self.acting]
        return [Item(job, persons) for job in range(len(jobs)) for persons in shown]

    def _run(self, jobs: list[Row], items: Sequence[Item], boxes: list[list[FaceBox]], call: torch.Size) -> Injection:
        """The network on a batch of items, each of b latents. Local features come back not yet relocated."""
        rows = [jobs[job] for job, _ in items]
        x = torch.cat([row.x for row in rows])
        hints = [self._hint(persons, places, x) for (_, persons), places in zip(items, boxes, strict=True)]
        identities = [self._identity(row, persons, x) for row, (_, persons) in zip(rows, items, strict=True)]

        def each_latent(values: list) -> list:
            return [value for value in values for _ in rows[0].x]

        def batch(keys: list[tuple]) -> Tensor:
            return torch.cat([self.made[key] for key in each_latent(keys)])

        network = self.control.control_model
        arguments = {
            "network": network,
            "x": x,
            "timesteps": torch.cat([row.timesteps for row in rows]),
            "tokens": batch(identities),
            "y": None if rows[0].y is None else torch.cat([row.y for row in rows]),
            **self.control.extra_args,
        }
        keys = each_latent(hints), each_latent(identities)
        with computed_once(network, self.kept, *keys, self._cache_budget(call, x)):
            if self._crops:
                faces = [box for (box,) in each_latent(boxes)]
                return local_features(
                    boxes=faces, pose_images=batch(hints), local_size=self.config.local_size, **arguments
                )
            masked = masked_cross_attention(network, boxes[0], self.config.clip_tokens, x.shape[-2:])
            with masked if self._one_pass else nullcontext():
                return global_branch(hint=batch(hints), **arguments)

    def _cache_budget(self, call: torch.Size, x: Tensor) -> float:
        """Bytes that what is kept may grow by, where they are free.

        It is kept for two identities (a person and the null one, or two persons), and for more where that is little
        beside a pass: memory must not grow with the persons. `call` is the shape of the UNet's own batch.
        """
        free = comfy.model_management.get_free_memory(x.device) - self.model.memory_required(list(call)) * HEADROOM
        kept = sum(value.nbytes for known in self.kept.values() for value in known.values())
        network = self.control.control_model
        feature_map = network.model_channels * call[-2] * call[-1] * x.element_size()
        features = sum(layer.out_features for layer in token_projections(network))
        identity = self.config.clip_tokens * features * x.element_size()
        return min(free, max(2 * (identity + feature_map), KEPT_MAPS * feature_map) - kept)

    @property
    def _crops(self) -> bool:
        return self.branch == "local" and self.config.crop

    def _strength_of(self, person: Person) -> float:
        return person.strength(self.branch)

    @property
    def _one_pass(self) -> bool:
        return self.branch == "global" and self.savings.one_pass and len(self.acting) > 1

    def _weight(self, persons: Sequence[int], row: Row, feature: Tensor) -> Tensor | float:
        """What the features of a pass for `persons` count, everywhere or place by place: [H, W]."""
        if self.branch == "local":
            shares = [1.0] * len(self.persons)
        elif self.sharing == Sharing.AVERAGE:
            shares = [1 / len(self.persons)] * len(self.persons)
        else:
            shares = self._regions(row, feature)
        return sum(self._strength_of(self.persons[person]) * shares[person] for person in persons)

    def _regions(self, row: Row, feature: Tensor) -> Tensor:
        """Every person's own region on the grid of a feature map, [N, H, W]."""
        boxes = [self._box(person, row) for person in self.persons]
        height, width = feature.shape[-2:]
        key = ("regions", *boxes, height, width)
        if key not in self.made:
            self.made[key] = own_regions(boxes, height, width).to(feature)
        return self.made[key]

    def _box(self, person: Person, row: Row) -> FaceBox:
        """The person's face box in fractions of what the row sees."""
        drawn = [side / LATENT_CELL for side in person.frame]
        height, width = row.frame or drawn[::-1]
        if abs(width / height / (drawn[0] / drawn[1]) - 1) > ASPECT_TOLERANCE:
            raise ValueError(
                f"The face boxes were drawn for {person.frame[0]}×{person.frame[1]} pixels, but the picture is "
                f"{width * LATENT_CELL}×{height * LATENT_CELL}: they would not be square. Connect the width and height "
                "of the location boxes to the empty latent, or draw the boxes for that size."
            )
        if row.area == WHOLE_FRAME:
            return person.box
        y, x, *sides = row.area
        other_size = self.frame and any(abs(a - b) >= 1 for a, b in zip(self.frame, (height, width), strict=True))
        if row.frame is None and (other_size or y + sides[0] >= height + 1 or x + sides[1] >= width + 1):
            raise ValueError(
                f"There is a regional prompt, and the picture is not of the {person.frame[0]}×{person.frame[1]} pixels "
                "that the face boxes were drawn for. Pass the model through Identity Guidance, which knows its size."
            )
        return person.box.seen_from(row.area, width, height)

    def _identity(self, row: Row, persons: Sequence[int], x: Tensor) -> tuple:
        """The key in `made` of a pass's ID tokens, those of several persons one after the other: [1, N · T, D]."""
        whose = tuple(persons) if row.identity == IdentityMode.GIVEN else (None,) * len(persons)
        key = ("tokens", *whose)
        if key not in self.made:
            tokens = [self.null_tokens if person is None else self.persons[person].tokens for person in whose]
            self.made[key] = torch.cat(tokens, dim=1).to(x)
        return key

    def _hint(self, persons: Sequence[int], boxes: Sequence[FaceBox], x: Tensor) -> tuple:
        """The key in `made` of the persons' `c_pe` (local) or `c_loc` (global) in one picture, [1, C, h, w]."""
        height, width = (side * LATENT_CELL for side in x.shape[-2:])
        key = ("hint", *persons) if self._crops else ("hint", *persons, *boxes, height, width)
        if key not in self.made:
            drawn = [self._draw(person, box, height, width) for person, box in zip(persons, boxes, strict=True)]
            channels = self.control.control_model.input_hint_block[0].weight.shape[1]
            self.made[key] = torch.stack(drawn).amax(0).expand(-1, channels, -1, -1).to(x)
        return key

    def _draw(self, person: int, box: FaceBox, height: int, width: int) -> Tensor:
        if self._crops:
            return self._pose(person, self.config.local_size * LATENT_CELL)
        if self.branch == "local":
            return relocate(self._pose(person, max(height, width)), [box], height, width)
        return location_mask([box], height, width)

    def _pose(self, person: int, size: int) -> Tensor:
        image = pose_expression_image(self.persons[person].landmarks, size, outline=self.config.outline)
        return rearrange(image, "h w c -> 1 c h w")

    def _items_at_once(self, jobs: list[Row], call: torch.Size) -> int:
        """How many items have no more latent cells than the UNet's own batch of the shape `call`."""
        if self._one_pass and len({job.area for job in jobs}) > 1:
            return 1  # each area sees the boxes elsewhere, and a batch has one mask
        b, _, height, width = jobs[0].x.shape
        cells = self.config.local_size**2 if self._crops else height * width
        return max(1, call[0] * height * width // (b * cells))

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
