"""Values of combos. An enum or a list in the core says what there is; the nodes list it."""

from collections.abc import Sequence
from enum import Enum
from typing import TypeVar, overload

Choice = TypeVar("Choice", bound=Enum)


@overload
def chosen(name: str, value: str, options: type[Choice]) -> Choice: ...
@overload
def chosen(name: str, value: str, options: Sequence[str]) -> str: ...
def chosen(name: str, value: str, options: type[Enum] | Sequence[str]) -> Enum | str:
    """`value`, if it is one of the `options`; of an enum, its member of that value.

    Older ComfyUI does not validate combos sent through the API. Raises ValueError where it is none.
    """
    known = values(options)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(known)}.")
    return options(value) if isinstance(options, type) else value


def values(options: type[Enum] | Sequence[str]) -> list[str]:
    """What a combo lists."""
    return [option.value for option in options] if isinstance(options, type) else list(options)
