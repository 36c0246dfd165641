"""What a training draws while it trains: made by number, in other processes ahead of its use, and kept a while."""

from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Generic, TypeVar

from realisid_core.bootstrap import start_worker

T = TypeVar("T")


class Ahead(Generic[T]):
    """`ahead[number]` is `make(number)`, which must depend on the number alone. The last `kept` numbers are remembered.

    With workers, the `following` numbers after the greatest one asked for are made before they are asked for; without,
    each is made when it is. Either way the training sees the same.
    """

    def __init__(self, make: Callable[[int], T], kept: int, workers: int = 0, following: int = 4):
        self.make, self.kept, self.newest = make, kept, -1
        self.following = following if workers else 0
        self.made: dict[int, T | Future] = {}
        self.pool = None
        if workers:
            self.pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=start_worker)

    def __getitem__(self, number: int) -> T:
        self.newest = max(self.newest, number)
        for wanted in (number, *range(self.newest + 1, self.newest + 1 + self.following)):
            if wanted not in self.made:
                self.made[wanted] = self.pool.submit(self.make, wanted) if self.pool else self.make(wanted)
        value = self.made[number]
        if isinstance(value, Future):
            value = self.made[number] = value.result()
        for old in [old for old in self.made if old <= self.newest - self.kept]:
            del self.made[old]
        return value

    def close(self) -> None:
        """End the workers; what they have in hand is dropped."""
        if self.pool:
            self.pool.shutdown(cancel_futures=True)
