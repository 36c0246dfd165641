"""What a checkpoint says of itself, and the one check of every field."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import Field, asdict, dataclass, field, fields, replace
from typing import Any, TypeVar

from .geometry import MAX_BOXES
from .identity.fingerprint import NUMBERS, is_fingerprint, same_fingerprint
from .identity.photo_path import PhotoPath
from .perception.detection import BACKENDS
from .perception.faces import BOXES, PARSERS
from .perception.parsing import KEEP

FORMAT_VERSION = 1
SHOWN = 60  # characters of a wrong value that an error repeats


@dataclass(frozen=True)
class Rule:
    """What a field may be: `holds` decides, `expected` says it in words."""

    expected: str
    holds: Callable[[Any], bool]


def matching(default: Any, expected: str, holds: Callable[[Any], bool]) -> Any:
    """A field for what `holds` is true of; `expected` says in words what that is."""
    return field(default=default, metadata={"rule": Rule(expected, holds)})


def whole(default: int, least: int, most: int, multiple_of: int = 1) -> Any:
    """A field for a whole number from `least` to `most`."""
    expected = f"a whole number from {least} to {most}"
    if multiple_of > 1:
        expected += f", a multiple of {multiple_of}"
    return matching(default, expected, lambda v: type(v) is int and least <= v <= most and v % multiple_of == 0)


def number(default: float, least: float, most: float) -> Any:
    """A field for a finite number from `least` to `most`."""
    expected = f"a number from {least:g} to {most:g}"
    return matching(default, expected, lambda v: type(v) in (int, float) and math.isfinite(v) and least <= v <= most)


def flag(default: bool) -> Any:
    """A field that is true or false."""
    return matching(default, "true or false", lambda v: type(v) is bool)


def text(default: str, longest: int = 200) -> Any:
    """A field for a text of at most `longest` characters."""
    return matching(default, f"a text of at most {longest} characters", lambda v: type(v) is str and len(v) <= longest)


def one_of(default: str, *options: str) -> Any:
    """A field for one of some texts."""
    return matching(default, "one of " + ", ".join(options), lambda v: type(v) is str and v in options)


AnyConfig = TypeVar("AnyConfig", bound="Config")


@dataclass(frozen=True)
class Config:
    """What every method's checkpoint says.

    Attributes:
        method: how its parts are joined; a key of `methods.METHODS`.
        base: architecture of the UNet, "sdxl" or "miniature".
        format_version: of the file's layout.
    """

    method: str = text("realisid")
    base: str = text("sdxl")
    format_version: int = whole(FORMAT_VERSION, FORMAT_VERSION, FORMAT_VERSION)

    @classmethod
    def read(cls: type[AnyConfig], values: Mapping[str, object]) -> AnyConfig:
        """The config of these values; fields that are not there have their defaults.

        Raises:
            ValueError: a field that this pack does not know, or a value that the field cannot have; names both.
        """
        values = cls.upgraded(values)
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            names = ", ".join(name[:SHOWN] for name in unknown[:5])
            raise ValueError(f"its config has fields this pack does not know: {names}. Update the pack.")
        config = cls(**values)  # pyright: ignore[reportArgumentType] -- checked in the next line
        config.check()
        return config

    @classmethod
    def upgraded(cls, values: Mapping[str, object]) -> Mapping[str, object]:
        """The values of a file from before some field existed, with what is known of such files."""
        return values

    def check(self) -> None:
        """Raises ValueError naming the first field with a value that it cannot have, and what was expected."""
        for each in fields(self):
            rule, value = rule_of(each), getattr(self, each.name)
            if not rule.holds(value):
                raise ValueError(f"the config's {each.name} is {shown(value)}; expected {rule.expected}.")

    def differences(self, expected: "Config") -> str:
        """What is not as expected, in words: "crop True (here False)"; empty where all is."""
        theirs, mine = asdict(self), asdict(expected)
        return ", ".join(f"{key} {theirs.get(key)} (here {mine[key]})" for key in mine if mine[key] != theirs.get(key))


@dataclass(frozen=True)
class RealisIDConfig(Config):
    """What a checkpoint of RealisID was trained for; every field changes what its branches expect.

    Attributes:
        context_dim: width of the ID embedding's tokens.
        clip_vision: the image encoder, in words; `clip_tokens` and `clip_width` are its penultimate layer's shape.
        clip_fingerprint: of the image encoder's weights (`identity.fingerprint`); empty in files from before it.
        detector, face_box, face_margin, parser, keep: the way from a photo to the crop that CLIP saw in training
            (`photo_path`).
        local_size: side of the enlarged face region, in latent cells.
        outline: whether the pose-expression image shows the face's outline.
        y_mode: the branches' vector conditioning: "sizes" (pooled part zero) or "prompt" (the prompt's own).
        crop: False where the local branch works on the whole latent, landmarks drawn in place (the ablation).
        terms: under which the weights may be used, where they come from weights with terms of their own.
    """

    context_dim: int = whole(2048, 8, 16384)
    clip_vision: str = text("CLIP-ViT-H-14")
    clip_tokens: int = whole(257, 1, 4096)
    clip_width: int = whole(1280, 8, 16384)
    clip_fingerprint: str = matching("", f"{NUMBERS} numbers, or an empty text", lambda v: v == "" or is_fingerprint(v))
    detector: str = one_of("yunet", *BACKENDS, "")
    face_box: str = one_of("landmarks", *BOXES, "")
    face_margin: float = number(0.0, -0.5, 3.0)
    parser: str = one_of("person", *PARSERS)
    keep: str = one_of("face and hair", *KEEP)
    local_size: int = whole(64, 4, 256, multiple_of=4)
    outline: bool = flag(False)
    y_mode: str = one_of("sizes", "sizes", "prompt")
    crop: bool = flag(True)
    terms: str = text("", 500)

    @property
    def photo_path(self) -> PhotoPath:
        """How the photos of its training became what CLIP saw."""
        return PhotoPath(self.detector, self.face_box, self.face_margin, self.parser, self.keep)

    def differences(self, expected: Config) -> str:
        """As `Config.differences`; fingerprints that are not known, or the same but for rounding, are no difference."""
        theirs = getattr(expected, "clip_fingerprint", "")
        if not (theirs and self.clip_fingerprint) or same_fingerprint(theirs, self.clip_fingerprint):
            return super(RealisIDConfig, replace(self, clip_fingerprint=theirs)).differences(expected)
        return super().differences(expected)

    @classmethod
    def upgraded(cls, values: Mapping[str, object]) -> Mapping[str, object]:
        if "parser" in values or not isinstance(values.get("keep", ""), str):
            return values
        before = PhotoPath.before(str(values.get("base")), str(values.get("keep", cls.keep)))
        return {**values, **asdict(before)}


@dataclass(frozen=True)
class InstantFamilyConfig(RealisIDConfig):
    """What a checkpoint of InstantFamily was trained for, besides.

    Attributes:
        stack_grid: side of the grid of face tokens; a face has one more of them than the grid.
        family_ids: how many people a picture of its training had at most; it takes more.
        mask: what its training made of the tokens of others, "exclude" or the paper's "literal".
    """

    method: str = text("instant_family")
    stack_grid: int = whole(7, 1, 64)
    family_ids: int = whole(4, 1, MAX_BOXES)
    mask: str = one_of("exclude", "exclude", "literal")


@dataclass(frozen=True)
class InstantIDConfig(Config):
    """What InstantID's public files are.

    Attributes:
        context_dim: width of the ID embedding's tokens.
        recogniser: which face recogniser's vectors its resampler reads, in words.
        terms: under which its files may be used.
    """

    context_dim: int = whole(2048, 8, 16384)
    recogniser: str = text("antelopev2 (glintr100)")
    terms: str = text("InstantID's weights: research only. antelopev2: non-commercial research only.", 500)


def rule_of(each: Field) -> Rule:
    """What a field of a config may be."""
    return each.metadata["rule"]


def shown(value: object) -> str:
    """A value as JSON, cut short."""
    try:
        words = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        words = type(value).__name__
    return words if len(words) <= SHOWN else words[:SHOWN] + "…"
