"""Who somebody is: everything about a face that stays when pose, expression, clothes and place change.

Two worlds share all drawing. The first miniature was made of `sample_identity`'s people. `sample_family`'s differ in
more measures and more widely, as people do, and members of one family differ in nothing else.
"""

from dataclasses import dataclass, replace

import numpy as np

HAIR_STYLES = ("bald", "buzz", "short", "spiky", "bob", "long", "bun", "curly")
HAIR_COLOURS = {
    "black": (34, 30, 32),
    "brown": (96, 58, 34),
    "yellow": (222, 182, 92),
    "red": (178, 70, 34),
    "gray": (136, 136, 142),
    "white": (228, 226, 222),
    "blue": (62, 92, 184),
    "pink": (222, 112, 158),
}
IRIS_COLOURS = {
    "brown": (92, 54, 28),
    "black": (38, 30, 28),
    "blue": (72, 132, 200),
    "green": (72, 138, 78),
    "gray": (124, 136, 146),
}
LIP_COLOURS = {
    "natural": None,
    "red": (184, 34, 48),
    "pink": (226, 92, 132),
    "brown": (132, 70, 62),
    "purple": (130, 52, 118),
}
BEARDS = ("none", "stubble", "moustache", "goatee", "full")
GLASSES = ("none", "round", "square")


@dataclass(frozen=True)
class Identity:
    """Numbers are about the average face, -1..1 in the first world and `WIDTH` times that in the second; skin,
    freckles and moles run over 0..1; the rest are categories. The measures below them are zero in the first world."""

    head_width: float
    head_length: float
    jaw_width: float
    chin_length: float
    cheeks: float
    eye_size: float
    eye_spacing: float
    eye_tilt: float
    nose_width: float
    nose_length: float
    nose_bridge: float
    mouth_width: float
    lip_fullness: float
    brow_height: float
    brow_thickness: float
    brow_arch: float
    ear_size: float
    skin: float
    freckles: float
    moles: tuple[tuple[float, float], ...]
    hair_style: str
    hair_colour: str
    iris_colour: str
    lip_colour: str
    beard: str
    glasses: str
    eye_height: float = 0.0
    brow_slant: float = 0.0
    brow_spacing: float = 0.0
    brow_length: float = 0.0
    nose_tip: float = 0.0
    bridge_width: float = 0.0
    mouth_height: float = 0.0
    mouth_tilt: float = 0.0
    upper_lip: float = 0.0
    jaw_angle: float = 0.0
    chin_width: float = 0.0
    cheekbones: float = 0.0
    temples: float = 0.0


CATEGORIES = {
    "hair_style": HAIR_STYLES,
    "hair_colour": tuple(HAIR_COLOURS),
    "iris_colour": tuple(IRIS_COLOURS),
    "lip_colour": tuple(LIP_COLOURS),
    "beard": BEARDS,
    "glasses": GLASSES,
}
MEASURES = (
    "head_width", "head_length", "jaw_width", "chin_length", "cheeks", "eye_size", "eye_spacing", "eye_tilt",
    "nose_width", "nose_length", "nose_bridge", "mouth_width", "lip_fullness", "brow_height", "brow_thickness",
    "brow_arch", "ear_size",
)  # fmt: skip
NUMBERS = (*MEASURES, "skin", "freckles")
NEW_MEASURES = (
    "eye_height", "brow_slant", "brow_spacing", "brow_length", "nose_tip", "bridge_width", "mouth_height",
    "mouth_tilt", "upper_lip", "jaw_angle", "chin_width", "cheekbones", "temples",
)  # fmt: skip
GEOMETRY = MEASURES + NEW_MEASURES  # what members of a family differ in
WIDTH = 1.3
BEARDED_STYLES = ("bald", "buzz", "short", "spiky", "curly")
STYLE_CHANCES = (0.08, 0.10, 0.16, 0.12, 0.15, 0.16, 0.10, 0.13)
# On the face's texture.
MOLE_PLACES = ((0.30, 0.60), (0.70, 0.60), (0.36, 0.76), (0.66, 0.77), (0.40, 0.20), (0.61, 0.19))


def sample_identity(seed: int) -> Identity:
    """The identity of this seed: the same on every platform and in every process."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, 0x1D))))
    numbers = dict(zip(NUMBERS, np.round(rng.uniform(-1, 1, len(NUMBERS)), 3).tolist(), strict=True))
    numbers["skin"] = round(float(rng.uniform(0, 1)), 3)
    numbers["freckles"] = round(float(rng.uniform(0.4, 1)), 3) if rng.random() < 0.25 else 0.0
    places = rng.permutation(len(MOLE_PLACES))[: rng.choice(3, p=(0.55, 0.3, 0.15))]
    style = str(rng.choice(HAIR_STYLES, p=STYLE_CHANCES))
    bearded = style in BEARDED_STYLES and rng.random() < 0.6
    colours = {
        "hair_colour": str(rng.choice(tuple(HAIR_COLOURS))),
        "iris_colour": str(rng.choice(tuple(IRIS_COLOURS))),
        "lip_colour": str(rng.choice(tuple(LIP_COLOURS), p=(0.48, 0.16, 0.16, 0.1, 0.1))),
    }
    beard = str(rng.choice(BEARDS[1:])) if bearded else "none"
    glasses = str(rng.choice(GLASSES, p=(0.6, 0.2, 0.2)))
    if beard != "none":
        colours["lip_colour"] = "natural"
    moles = tuple(MOLE_PLACES[place] for place in sorted(places))
    return Identity(**numbers, moles=moles, hair_style=style, beard=beard, glasses=glasses, **colours)


def sample_family(seed: int, members: int = 1) -> list[Identity]:
    """People of the second world who share every colour, hair, glasses and mark: only `GEOMETRY` tells them apart.

    Member i is the same however many are asked for. The first members of different seeds are strangers in everything.
    """
    first = sample_identity(seed)
    family = []
    for member in range(members):
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, member, 0xFA))))
        measures = np.round(rng.uniform(-WIDTH, WIDTH, len(GEOMETRY)), 3).tolist()
        family.append(replace(first, **dict(zip(GEOMETRY, measures, strict=True))))
    return family


def sample_person(seed: int) -> Identity:
    """The person of this seed in the second world."""
    return sample_family(seed)[0]


def restyled(who: Identity, rng: np.random.Generator) -> Identity:
    """The same person with other hair, of another colour, and other glasses or none."""
    chances = np.array(
        [
            share * (who.beard == "none" or style in BEARDED_STYLES)
            for style, share in zip(HAIR_STYLES, STYLE_CHANCES, strict=True)
        ]
    )
    return replace(
        who,
        hair_style=str(rng.choice(HAIR_STYLES, p=chances / chances.sum())),
        hair_colour=str(rng.choice(tuple(HAIR_COLOURS))),
        glasses=str(rng.choice(GLASSES, p=(0.6, 0.2, 0.2))),
    )


def geometry_vector(identity: Identity) -> np.ndarray:
    """The measures [30] in `GEOMETRY`'s order, -1..1, float32."""
    return np.array([getattr(identity, name) for name in GEOMETRY], np.float32) / WIDTH


def identity_vector(identity: Identity) -> np.ndarray:
    """Every attribute as float32: the numbers as they are, each possible mole 0 or 1, each category one-hot."""
    numbers = [getattr(identity, name) for name in NUMBERS]
    moles = [float(place in identity.moles) for place in MOLE_PLACES]
    one_hot = [float(getattr(identity, name) == value) for name, values in CATEGORIES.items() for value in values]
    return np.array(numbers + moles + one_hot, np.float32)
