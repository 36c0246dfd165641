"""What a scene is called, in the words of the paper's prompt list (RealisID, Table 5)."""

import re

from .background import PLACES, PLAIN
from .scene import STYLES, Person, Scene
from .texture import SHIRT_COLOURS, SHIRTS

COUNTS = ("a person", "two persons", "three persons", "four persons")


def caption(scene: Scene) -> str:
    """For instance "a person wearing a red sweater, outdoors with a beach in the background, watercolor style"."""
    clothes = [_worn(person) for person in scene.people]
    worn = clothes[0] if len(clothes) == 1 else ", ".join(clothes[:-1]) + " and " + clothes[-1]
    return f"{COUNTS[len(scene.people) - 1]} wearing {worn}, {_surroundings(scene)}"


def shared_caption(scene: Scene) -> str:
    """What everybody in a scene shares: "two persons, outdoors with a beach in the background"."""
    return f"{COUNTS[len(scene.people) - 1]}, {_surroundings(scene)}"


PLACES_IN_ROW = {
    1: ("",),
    2: (" on the left", " on the right"),
    3: (" on the left", " in the middle", " on the right"),
    4: (" on the far left", " on the left", " on the right", " on the far right"),
}


def placed_caption(scene: Scene) -> str:
    """Everybody with their own words and their place, from left to right: "two persons, a person wearing a red sweater
    on the left and a person wearing a blue hoodie on the right, outdoors with a beach in the background"."""
    row = sorted(scene.people, key=lambda person: person.box[0] + person.box[2] / 2)
    each = [own_caption(one) + place for one, place in zip(row, PLACES_IN_ROW[len(row)], strict=True)]
    if len(each) == 1:
        return f"{each[0]}, {_surroundings(scene)}"
    return f"{COUNTS[len(each) - 1]}, {', '.join(each[:-1])} and {each[-1]}, {_surroundings(scene)}"


def own_caption(person: Person) -> str:
    """One person's own words: "a person wearing a red sweater"."""
    return f"{COUNTS[0]} wearing {_worn(person)}"


def _worn(person: Person) -> str:
    colour, kind = person.shirt
    return f"a {colour} {kind}"


def _surroundings(scene: Scene) -> str:
    kind, colour = scene.background
    place = f"with a {colour} background" if kind == "plain" else PLACES[kind]
    return place if scene.style == "photo" else f"{place}, {scene.style} style"


def _words() -> tuple[str, ...]:
    frame = "wearing a and with style background ,"
    phrases = (*COUNTS, *PLACES.values(), *PLAIN, *SHIRT_COLOURS, *SHIRTS, *STYLES[1:], frame)
    return tuple(sorted({word for phrase in phrases for word in split(phrase)}))


def split(text: str) -> list[str]:
    """Lowercase words and commas: the tokens of a caption."""
    return re.findall(r"[a-z]+(?:-[a-z]+)*|,", text.lower())


VOCABULARY = _words()
PLACED_VOCABULARY = tuple(sorted({*VOCABULARY, *split(" ".join(sum(PLACES_IN_ROW.values(), ())))}))
