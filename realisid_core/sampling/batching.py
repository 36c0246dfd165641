"""Rows × persons in as few runs of a branch's network as memory allows, and what may be used again between them.

All persons of all rows share one batch, unless it would be larger than the UNet's own. The host fits that one to the
memory it has, so the peak stays the UNet's, however many persons there are.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from comfy.model_base import BaseModel
from torch import Tensor

from ..branches.branch import Branch
from ..branches.injection import Injection
from ..branches.views import Inputs
from ..geometry import LATENT_CELL, FaceBox
from ..persons import Person
from .rows import IdentityMode, Row
from .run_cache import RunCache, computed_once, layer_budget


@dataclass(frozen=True)
class Item:
    """One pass of a network: the row's number, the row, and the numbers of the persons that the pass shows."""

    number: int
    row: Row
    persons: tuple[int, ...]

    @property
    def boxes(self) -> tuple[FaceBox, ...]:
        return tuple(self.row.boxes[person] for person in self.persons)


@dataclass(frozen=True)
class Batching:
    """One branch for all persons and rows of one evaluation of the model.

    Attributes:
        model: the host's model that is being sampled.
        unet_batch: the shape of the UNet's own batch, [B, C, H, W].
    """

    branch: Branch
    persons: Sequence[Person]
    cache: RunCache
    model: BaseModel
    unet_batch: torch.Size

    def injection(self, rows: Sequence[Row]) -> Injection:
        """For each row the combination over persons, [R + 1, C, H, W] a feature map; the last one is zero.

        Nothing where no row shows anything that the branch acts on.
        """
        passes = self.branch.passes(self.persons)
        items = [Item(number, row, shown) for number, row in enumerate(rows) for shown in passes]
        items = [item for item in items if self.branch.reaches(item.boxes)]
        if not items:
            return {}
        at_once = items_at_once(self.branch, items, self.unet_batch)
        sums: Injection = {}
        for group in (items[i : i + at_once] for i in range(0, len(items), at_once)):
            self._add(sums, len(rows), group)
        return sums

    def _add(self, sums: Injection, rows: int, items: Sequence[Item]) -> None:
        """Add a batch's features to their rows' sums, item by item: on the frame, each is as large as the frame."""
        for level, features in self._run(items).items():
            for i, feature in enumerate(features):
                for item, part in zip(items, feature.split(1), strict=True):
                    part = self.branch.view.on_frame(part, item.boxes[:1], self.unet_batch[-2:])
                    if len(sums.setdefault(level, [])) == i:
                        sums[level].append(part.new_zeros(rows + 1, *part.shape[1:]))
                    sums[level][i][item.number] += self._weight(item, part) * part[0]

    def _run(self, items: Sequence[Item]) -> Injection:
        """The network on a batch of items; the features are not yet on the frame."""
        rows = [item.row for item in items]
        x = torch.cat([row.x for row in rows])
        hints, tokens = [self._hint_key(item) for item in items], [self._token_key(item) for item in items]
        inputs = Inputs(
            x,
            torch.cat([row.timesteps for row in rows]),
            [item.boxes[0] for item in items],
            torch.cat([self._hint(*pair, x) for pair in zip(hints, items, strict=True)]),
            torch.cat([self._tokens(key, x) for key in tokens]),
            None if rows[0].y is None else torch.cat([row.y for row in rows if row.y is not None]),
        )
        network, layers = self.branch.network, self.cache.layers
        budget = layer_budget(network, layers, self.branch.null_tokens.shape[1], self.model, self.unet_batch, x)
        with computed_once(network, layers, hints, tokens, budget):
            return self.branch.features(inputs, items[0].boxes)

    def _hint_key(self, item: Item) -> Hashable:
        return "hint", item.persons, self.branch.hint_key(item.boxes, *self._pixels)

    def _hint(self, key: Hashable, item: Item, x: Tensor) -> Tensor:
        shown = [self.persons[person] for person in item.persons]
        return self.cache.once(key, lambda: self.branch.hint(shown, item.boxes, *self._pixels).to(x))

    def _token_key(self, item: Item) -> tuple[str, tuple[int | None, ...]]:
        """Whose ID tokens a pass is shown; None stands for the null identity."""
        return "tokens", item.persons if item.row.identity == IdentityMode.GIVEN else (None,) * len(item.persons)

    def _tokens(self, key: tuple[str, tuple[int | None, ...]], x: Tensor) -> Tensor:
        """[1, N · T, D]: the ID tokens of all persons of a pass, one after the other."""

        def stacked() -> Tensor:
            null = self.branch.null_tokens
            return torch.cat([null if person is None else self.persons[person].tokens for person in key[1]], 1).to(x)

        return self.cache.once(key, stacked)

    def _weight(self, item: Item, feature: Tensor) -> Tensor | float:
        """What the features of a pass count, everywhere or cell by cell: [H, W]."""
        shares = self._shares(item.row.boxes, feature)
        return sum(self.branch.strength_of(self.persons[person]) * shares[person] for person in item.persons)

    def _shares(self, boxes: tuple[FaceBox, ...], feature: Tensor) -> Tensor | Sequence[float]:
        size = height, width = tuple(feature.shape[-2:])

        def compute() -> Tensor | Sequence[float]:
            shares = self.branch.shares(boxes, height, width)
            return shares if isinstance(shares, Sequence) else shares.to(feature)

        return self.cache.once(("shares", boxes, size), compute)

    @property
    def _pixels(self) -> tuple[int, int]:
        height, width = self.unet_batch[-2:]
        return height * LATENT_CELL, width * LATENT_CELL


def items_at_once(branch: Branch, items: Sequence[Item], unet_batch: Sequence[int]) -> int:
    """How many items have no more latent cells than the UNet's own batch."""
    if not branch.one_run_for([item.boxes for item in items]):
        return 1
    rows, _, height, width = unet_batch
    return max(1, rows * height * width // branch.view.cells((height, width)))


class Reuse:
    """Features that are computed at every `every`-th noise level and used again in between."""

    def __init__(self, every: int):
        self.every = every
        self.evaluation, self.sigma = 0, None  # number and noise level of the model's present evaluation
        self.stored: dict[Hashable, tuple[int, Injection]] = {}  # by what was asked: when computed, and what

    def __call__(self, key: Hashable, sigma: Tensor, compute: Callable[[], Injection]) -> Injection:
        """`compute()`, or what it gave for `key` at one of the last noise levels."""
        if self.every == 1:
            return compute()
        if float(sigma) != self.sigma:
            self.sigma, self.evaluation = float(sigma), self.evaluation + 1
            oldest = self.evaluation - self.every
            self.stored = {key: entry for key, entry in self.stored.items() if entry[0] > oldest}
        if key not in self.stored:
            self.stored[key] = self.evaluation, compute()
        return self.stored[key][1]
