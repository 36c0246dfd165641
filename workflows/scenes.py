"""The shipped workflows, one function each; its docstring is what the graph says of itself."""

from .graph import MINIATURE, Graph, models
from .people import boxes, detect, faces_of, load_photo, person, together
from .pictures import finish


def start_here(graph: Graph) -> None:
    """A first picture: the person of a portrait, in the box you draw."""
    someone = person(graph, *graph.base.cast[0], boxes(graph, (0.3, 0.16, 0.4)))
    finish(graph, "start_here", "a person wearing a red sweater, outdoors with a beach in the background", someone)


def one_person(graph: Graph) -> None:
    """One person, in the box you draw."""
    someone = person(graph, *graph.base.cast[0], boxes(graph, (0.3, 0.16, 0.4)))
    finish(graph, "one_person", "a person wearing a red sweater, outdoors with a beach in the background", someone)


def small_face(graph: Graph) -> None:
    """A face of 1/7 of the picture's edge: the local branch works on it enlarged, so the likeness stays."""
    someone = person(graph, *graph.base.cast[0], boxes(graph, (0.43, 0.2, 1 / 7)))
    finish(graph, "small_face", "a person wearing a black suit, outdoors with a grassy background", someone)


def pose_from_photo(graph: Graph) -> None:
    """The identity of one photo with the head pose and expression of another."""
    donor = faces_of(graph, "pose", "grace_hopper.jpg")
    graph.add(
        "landmarks", "RealisID_FaceLandmarks", "Pose and expression to follow", faces=donor, size=512, outline=False
    )
    square = boxes(graph, (0.3, 0.16, 0.4))
    someone = person(graph, *graph.base.cast[0], square, landmarks=graph["landmarks"])
    finish(graph, "pose_from_photo", "a person wearing a white t-shirt, with a blue background", someone)


def two_people(graph: Graph) -> None:
    """Two people, each in a box of their own."""
    places = boxes(graph, (0.12, 0.24, 0.28), (0.6, 0.2, 0.28))
    persons = [person(graph, *someone, places, box) for box, someone in enumerate(graph.base.cast[:2], 1)]
    prompt = "two persons wearing a red sweater and a black suit, outdoors with a beach in the background"
    finish(graph, "two_people", prompt, together(graph, *persons))


def two_people_own_words(graph: Graph) -> None:
    """Two people, each with a prompt of their own, which acts in that person's part of the picture."""
    places = boxes(graph, (0.12, 0.24, 0.28), (0.6, 0.2, 0.28))
    wearing = "a person wearing a red sweater", "a person wearing a black suit"
    persons = [
        person(graph, who, photo if graph.base is MINIATURE else None, places, box, words=wearing[box - 1])
        for box, (who, photo) in enumerate(graph.base.cast[:2], 1)
    ]
    prompt = "two persons, outdoors with a beach in the background"
    finish(graph, "two_people_own_words", prompt, together(graph, *persons))


def three_people(graph: Graph) -> None:
    """Three people whose boxes overlap: each face keeps its own identity."""
    places = boxes(graph, (0.1, 0.3, 0.3), (0.35, 0.14, 0.3), (0.58, 0.3, 0.3))
    first, second, third = graph.base.cast
    persons = [person(graph, *someone, places, box) for box, someone in enumerate((first, third, second), 1)]
    prompt = "three persons wearing a blue hoodie, a white t-shirt and a red sweater, with a gray background"
    finish(graph, "three_people", prompt, together(graph, *persons))


def inpaint(graph: Graph) -> None:
    """A person put into an existing photo: the box is where its face is, the mask face and hair."""
    size = graph.base.size
    scene = load_photo(graph, "scene_photo", "The photo to change", graph.base.cast[1][1])
    graph.add(
        "scene",
        "ImageScale",
        "Fit the size",
        image=scene,
        upscale_method="lanczos",
        width=size,
        height=size,
        crop="center",
    )
    there = detect(graph, "scene", graph["scene"])
    graph.add(
        "parsed_scene",
        "RealisID_ParseFaces",
        "What to replace",
        faces=there,
        method="auto",
        keep="face and hair",
        size=512,
    )
    grow = {"expand": size // 16, "tapered_corners": True}
    graph.add("mask", "GrowMask", "A little more", mask=graph["parsed_scene", 1], **grow)
    graph.add(
        "place", "RealisID_BoxesFromFaces", "Where the face goes", faces=there, width=size, height=size, scale=1.0
    )
    graph.add("encode", "VAEEncode", "Encode", pixels=graph["scene"], vae=models(graph)["vae"])
    graph.add("masked", "SetLatentNoiseMask", "Only here", samples=graph["encode"], mask=graph["mask"])
    someone = person(graph, *graph.base.cast[0], graph["place"])
    finish(graph, "inpaint", "a person wearing a white t-shirt, with a gray background", someone, graph["masked"])


def instantid_one_person(graph: Graph) -> None:
    """One person in the box you draw, with InstantID's public weights: your own photo today."""
    someone = person(graph, *graph.base.cast[0], boxes(graph, (0.3, 0.16, 0.4)))
    prompt = "a person wearing a red sweater, outdoors with a beach in the background"
    finish(graph, "instantid_one_person", prompt, someone)


def instantid_two_people(graph: Graph) -> None:
    """Two people with InstantID's public weights, each in a box and with a prompt of their own."""
    places = boxes(graph, (0.12, 0.24, 0.28), (0.6, 0.2, 0.28))
    wearing = "a person wearing a red sweater", "a person wearing a black suit"
    persons = [
        person(graph, *someone, places, box, words=wearing[box - 1])
        for box, someone in enumerate(graph.base.cast[:2], 1)
    ]
    prompt = "two persons, outdoors with a beach in the background"
    finish(graph, "instantid_two_people", prompt, together(graph, *persons))
