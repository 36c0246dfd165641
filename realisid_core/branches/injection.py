"""What a branch adds to the UNet."""

from collections.abc import Callable

from torch import Tensor

Injection = dict[str, list[Tensor]]
"""`i_t`: what is added to the UNet, as the host writes it: {"middle": [one], "output": [one for each input block]}."""


def map_injection(function: Callable[[Tensor], Tensor], injection: Injection) -> Injection:
    """`function` of every feature map."""
    return {level: [function(feature) for feature in features] for level, features in injection.items()}


def add_injections(a: Injection | None, b: Injection) -> Injection:
    """The sum, feature map by feature map; `b` itself where there is no `a`."""
    if a is None:
        return b
    return {level: [x + y for x, y in zip(a[level], b[level], strict=True)] for level in b}
