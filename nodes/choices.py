"""Values of combos."""

from collections.abc import Sequence


def chosen(name: str, value: str, options: Sequence[str]) -> str:
    """`value`, if it is one of the `options`: a prompt to the server need not come from the page, and not every host
    looks. Raises ValueError where it is none."""
    if value not in options:
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(options)}.")
    return value
