"""A loaded checkpoint, the parts it is made of, and the method that says which they are and how they join.

A part does one thing and knows no method. A method names its parts and joins them; it does no tensor mathematics.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from comfy.clip_vision import ClipVisionModel
from comfy.controlnet import ControlNet
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from .config import Config
from .identity.encoder import Encoder

if TYPE_CHECKING:
    from .branches.branch import Branch
    from .persons import Person

State = Mapping[str, Tensor]
"""A part's tensors by their keys, without the part's own prefix."""

Network: TypeAlias = ControlNet | ModelPatcher
"""What a part is once it is loaded: wrapped for the host's memory management either way."""

Conditioning = list[list]
Kind = TypeVar("Kind", ControlNet, ModelPatcher)


@dataclass(frozen=True)
class Part:
    """One network of a checkpoint.

    Attributes:
        title: in words, for messages.
        build: `build(name, state, **fields)`, where `name` is the prefix of the part's keys and `fields` are the config
            fields that `reads` names. Raises ValueError naming the key that does not fit, before it allocates anything.
        reads: names of config fields.
    """

    title: str
    build: Callable[..., Network]
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class Method:
    """How the parts of a checkpoint are joined.

    Attributes:
        name: what a checkpoint's config calls it.
        config: what such a checkpoint says of itself.
        parts: by the prefix of their keys in the file; any of them may be absent from a file.
        encoder: the identity encoder of a loaded checkpoint. Raises ValueError where a part that it needs is absent.
        apply: `apply(realisid, persons, model, positive, negative, likeness, any_size)` gives MODEL and conditionings
            with the persons in them, by the method's own defaults; `likeness` scales how strongly each identity shows,
            `any_size` accepts other sizes than the boxes were drawn for. It returns patched clones and copies, and
            leaves what it was given as it was.
        branches: by their names, what makes each of a loaded checkpoint. Raises ValueError where its part is absent.
    """

    name: str
    config: type[Config]
    parts: Mapping[str, Part]
    encoder: Callable[["RealisIDModel"], Encoder]
    apply: Callable[
        ["RealisIDModel", Sequence["Person"], ModelPatcher, Conditioning, Conditioning, float, bool],
        tuple[ModelPatcher, Conditioning, Conditioning],
    ]
    branches: Mapping[str, Callable[..., "Branch"]] = field(default_factory=dict)


@dataclass(frozen=True)
class RealisIDModel:
    """A loaded checkpoint of any method.

    Attributes:
        parts: the loaded networks by their names; what the file does not have is not there.
        name: of the file, for messages.
        image_encoder: what its encoder reads photos with where no other is given, the host's CLIP_VISION or None.
    """

    method: Method
    config: Config
    parts: Mapping[str, Network]
    name: str = ""
    image_encoder: ClipVisionModel | None = None

    def part(self, name: str, kind: type[Kind]) -> Kind:
        """The part of this name. Raises ValueError where the checkpoint has none."""
        found = self.parts.get(name)
        if not isinstance(found, kind):
            title = self.method.parts[name].title if name in self.method.parts else f'part "{name}"'
            raise ValueError(f"The RealisID model {self.name} has no {title}. Load a complete checkpoint.")
        return found

    def branch(self, name: str, *options: object) -> "Branch":
        """The branch of this name; the method's own maker says what the options are.

        Raises:
            ValueError: a method without such a branch, or a checkpoint that lacks its part.
        """
        if name not in self.method.branches:
            others = ", ".join(f"the {other} branch" for other in self.method.branches) or "none"
            raise ValueError(
                f"{self.name} is of the method {self.method.name}, which has no {name} branch. Apply what it has: "
                f"{others}."
            )
        return self.method.branches[name](self, *options)

    @cached_property
    def encoder(self) -> Encoder:
        """What turns photos into ID embeddings. Raises ValueError where the checkpoint lacks a part of it."""
        return self.method.encoder(self)

    def null_identity(self) -> Tensor:
        """[1, T, context_dim]: what "without ID embedding" means. Raises ValueError as `encoder` does."""
        return self.encoder.null()

    def get_models(self) -> list[ModelPatcher]:
        """All that the host may have to load for it: newer hosts ask, to know what the running prompt still needs."""
        models = [part.control_model_wrapped if isinstance(part, ControlNet) else part for part in self.parts.values()]
        return models if self.image_encoder is None else [*models, self.image_encoder.patcher]

    def describe(self) -> str:
        """Its name, its base, how many million parameters each part has, and the terms that it carries."""
        sizes = (
            f"{self.method.parts[name].title} {sum(p.numel() for p in module_of(part).parameters()) / 1e6:.1f} M"
            for name, part in self.parts.items()
        )
        terms = getattr(self.config, "terms", "")
        words = f"{self.name or 'RealisID'} for {self.config.base}: {', '.join(sizes)}"
        return f"{words}. {terms}" if terms else words


def module_of(part: Network) -> nn.Module:
    """The network itself."""
    return part.control_model if isinstance(part, ControlNet) else part.model


def same_keys(name: str, state: State, expected: State) -> None:
    """Raises ValueError naming the first key of part `name` that is missing, foreign, or of another shape.

    `expected` may be on the meta device, so that nothing is allocated for a file that does not fit.
    """
    for key in expected:
        if key not in state:
            raise ValueError(f"{name}.{key} is missing; expected shape {tuple(expected[key].shape)}.")
    for key, value in state.items():
        if key not in expected:
            raise ValueError(f"{name}.{key} has no place in a {name} of this architecture.")
        if value.shape != expected[key].shape:
            raise ValueError(f"{name}.{key} has shape {tuple(value.shape)}; expected {tuple(expected[key].shape)}.")
