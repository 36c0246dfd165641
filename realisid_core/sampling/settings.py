"""How a branch is applied."""

from dataclasses import dataclass

from ..checks import check_flag, check_number, check_range, check_whole

MOST_STRENGTH = 10.0


@dataclass(frozen=True)
class Settings:
    """How a branch is applied.

    Attributes:
        strength: weight of the branch for everyone.
        percent_range: fractions of the noise schedule where it begins and ends.
        reuse: compute the features at every `reuse`-th evaluation of the model and use them again in between, which
            is cheaper and less exact.
        any_size: whether the whole picture may be sampled at another size than the boxes were drawn for. A latent of
            another size is refused otherwise, as it could be a part of the picture.

    Raises:
        ValueError: a number that is none, or out of its range.
    """

    strength: float = 1.0
    percent_range: tuple[float, float] = (0.0, 1.0)
    reuse: int = 1
    any_size: bool = False

    def __post_init__(self) -> None:
        check_number("strength", self.strength, 0.0, MOST_STRENGTH)
        check_range("", self.percent_range)
        check_whole("reuse", self.reuse, 1, 100)
        check_flag("any_size", self.any_size)

    def values(self) -> dict[str, float]:
        """What is set, by the names that the nodes have for it."""
        start, end = self.percent_range
        return {
            "strength": self.strength,
            "start": start,
            "end": end,
            "reuse": self.reuse,
            "any_size": self.any_size,
        }

    @property
    def act(self) -> bool:
        """Whether anything would be done with them."""
        start, end = self.percent_range
        return self.strength != 0 and start < end


DEFAULT = Settings()
