"""What a number that somebody sets may be, and what others' errors say."""

import math
from typing import Any


def first_line(error: Exception) -> str:
    """What a reader of files says is wrong, short enough for a sentence; its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def check_number(name: str, value: Any, least: float, most: float) -> None:
    """Raises ValueError, naming `name`, unless `value` is a finite number from `least` to `most`; bool is none."""
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    if not least <= number <= most:
        raise ValueError(f"{name} is {value!r}; expected a number from {least:g} to {most:g}. Set it to one.")


def check_range(name: str, value: tuple[float, float]) -> None:
    """Raises ValueError unless both ends of `value` are fractions of the noise schedule."""
    for end, fraction in zip(("start", "end"), value, strict=True):
        check_number(f"{name}{end}", fraction, 0.0, 1.0)


def check_whole(name: str, value: object, least: int, most: int) -> None:
    """Raises ValueError, naming `name`, unless `value` is a whole number from `least` to `most`; bool is none."""
    number = value if isinstance(value, int) and not isinstance(value, bool) else math.nan
    if not least <= number <= most:
        raise ValueError(f"{name} is {value!r}; expected a whole number from {least} to {most}. Set it to one.")


def check_flag(name: str, value: object) -> None:
    """Raises ValueError, naming `name`, unless `value` is True or False."""
    if type(value) is not bool:
        raise ValueError(f"{name} is {value!r}; expected true or false. Set it to one.")
