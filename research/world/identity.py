"""Who somebody is: everything about a face that stays when pose, expression, clothes and place change."""

from dataclasses import dataclass, fields

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
    """Numbers run over -1..1 about the average face, skin, freckles and moles over 0..1; the rest are categories."""

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


CATEGORIES = {
    "hair_style": HAIR_STYLES,
    "hair_colour": tuple(HAIR_COLOURS),
    "iris_colour": tuple(IRIS_COLOURS),
    "lip_colour": tuple(LIP_COLOURS),
    "beard": BEARDS,
    "glasses": GLASSES,
}
NUMBERS = tuple(field.name for field in fields(Identity) if field.type is float)
# On the face's texture.
MOLE_PLACES = ((0.30, 0.60), (0.70, 0.60), (0.36, 0.76), (0.66, 0.77), (0.40, 0.20), (0.61, 0.19))


def sample_identity(seed: int) -> Identity:
    """The identity of this seed: the same on every platform and in every process."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, 0x1D))))
    numbers = dict(zip(NUMBERS, np.round(rng.uniform(-1, 1, len(NUMBERS)), 3).tolist(), strict=True))
    numbers["skin"] = round(float(rng.uniform(0, 1)), 3)
    numbers["freckles"] = round(float(rng.uniform(0.4, 1)), 3) if rng.random() < 0.25 else 0.0
    places = rng.permutation(len(MOLE_PLACES))[: rng.choice(3, p=(0.55, 0.3, 0.15))]
    style = str(rng.choice(HAIR_STYLES, p=(0.08, 0.10, 0.16, 0.12, 0.15, 0.16, 0.10, 0.13)))
    bearded = style in ("bald", "buzz", "short", "spiky", "curly") and rng.random() < 0.6
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


def identity_vector(identity: Identity) -> np.ndarray:
    """Every attribute as float32: the numbers as they are, each possible mole 0 or 1, each category one-hot."""
    numbers = [getattr(identity, name) for name in NUMBERS]
    moles = [float(place in identity.moles) for place in MOLE_PLACES]
    one_hot = [float(getattr(identity, name) == value) for name, values in CATEGORIES.items() for value in values]
    return np.array(numbers + moles + one_hot, np.float32)
