"""The shipped workflows, one function each; its docstring is what the graph says of itself."""

from .graph import MINIATURE, PLAIN_SDXL, Graph, models
from .people import PARSING, boxes, detect, load_photo, people, person
from .pictures import finish, step_by_step

FACE = (0.3, 0.16, 0.4)
PAIR = (0.12, 0.24, 0.28), (0.6, 0.2, 0.28)


def start_here(graph: Graph) -> None:
    """A first picture: the person of a portrait, in the box you draw."""
    someone = person(graph, *graph.base.cast[0], boxes(graph, FACE))
    finish(graph, "start_here", "a person wearing a red sweater, outdoors with a beach in the background", someone)


def one_person(graph: Graph) -> None:
    """One person, in the box you draw."""
    someone = person(graph, *graph.base.cast[0], boxes(graph, FACE))
    finish(graph, "one_person", "a person wearing a red sweater, outdoors with a beach in the background", someone)


def small_face(graph: Graph) -> None:
    """A face of 1/7 of the picture's edge."""
    someone = person(graph, *graph.base.cast[0], boxes(graph, (0.43, 0.2, 1 / 7)))
    finish(graph, "small_face", "a person wearing a black suit, outdoors with a grassy background", someone)


def pose_from_photo(graph: Graph) -> None:
    """The identity of one photo with the head pose and expression of another."""
    donor = "grace_hopper" if graph.base is MINIATURE else "grace_hopper.jpg"
    pose = load_photo(graph, "pose_photo", "Pose to follow", donor)
    someone = person(graph, *graph.base.cast[0], boxes(graph, FACE), pose=pose)
    finish(graph, "pose_from_photo", "a person wearing a white t-shirt, with a blue background", someone)


def two_people(graph: Graph) -> None:
    """Two people, each in a box of their own."""
    everyone = people(graph, graph.base.cast[:2], boxes(graph, *PAIR))
    prompt = "two persons wearing a red sweater and a black suit, outdoors with a beach in the background"
    finish(graph, "two_people", prompt, everyone)


def two_people_own_words(graph: Graph) -> None:
    """Two people, each with a prompt of their own, which acts in that person's part of the picture."""
    cast = graph.base.cast[:2]
    if graph.base is PLAIN_SDXL:
        cast = tuple((who, None) for who, _ in cast)
    wearing = "a person wearing a red sweater", "a person wearing a black suit"
    everyone = people(graph, cast, boxes(graph, *PAIR), wearing)
    finish(graph, "two_people_own_words", "two persons, outdoors with a beach in the background", everyone)


def three_people(graph: Graph) -> None:
    """Three people whose boxes overlap: each face keeps its own identity."""
    places = boxes(graph, (0.1, 0.3, 0.3), (0.35, 0.14, 0.3), (0.58, 0.3, 0.3))
    first, second, third = graph.base.cast
    prompt = "three persons wearing a blue hoodie, a white t-shirt and a red sweater, with a gray background"
    finish(graph, "three_people", prompt, people(graph, (first, third, second), places))


def inpaint(graph: Graph) -> None:
    """A person put into an existing photo: the box is where its face is, the mask face and hair."""
    size = graph.base.size
    scene = load_photo(graph, "scene_photo", "The photo to change", graph.base.cast[1][1])
    fit = {"upscale_method": "lanczos", "width": size, "height": size, "crop": "center"}
    graph.add("scene", "ImageScale", "Fit the size", image=scene, **fit)
    there = detect(graph, "scene", graph["scene"])
    graph.add("parsed_scene", "RealisID_ParseFaces", "What to replace", faces=there, **PARSING)
    grow = {"expand": size // 16, "tapered_corners": True}
    graph.add("mask", "GrowMask", "A little more", mask=graph["parsed_scene", 1], **grow)
    frame = {"width": size, "height": size, "scale": 1.0}
    graph.add("place", "RealisID_BoxesFromFaces", "Where the face goes", faces=there, **frame)
    graph.add("encode", "VAEEncode", "Encode", pixels=graph["scene"], vae=models(graph)["vae"])
    graph.add("masked", "SetLatentNoiseMask", "Only here", samples=graph["encode"], mask=graph["mask"])
    someone = person(graph, *graph.base.cast[0], graph["place"])
    finish(graph, "inpaint", "a person wearing a white t-shirt, with a gray background", someone, graph["masked"])


def single_steps(graph: Graph) -> None:
    """Two people by the node of each step, as Person from Photo and Apply RealisID have them inside."""
    parts, places = models(graph), boxes(graph, *PAIR)
    for box, (who, photo) in enumerate(graph.base.cast[:2], 1):
        faces = detect(graph, who, load_photo(graph, f"photo_{who}", f"Photo of {who}", photo))
        graph.add(f"parsed_{who}", "RealisID_ParseFaces", f"Parse {who}", faces=faces, **PARSING)
        inputs = {"realisid": parts["realisid"], "faces": graph[f"parsed_{who}"]}
        graph.add(f"id_{who}", "RealisID_IDEmbedding", f"Who {who} is", **inputs)
        inputs = {"id_embedding": graph[f"id_{who}"], "boxes": places, "box": str(box)}
        strengths = {"local_strength": 1.0, "global_strength": 1.0}
        graph.add(f"person_{who}", "RealisID_Person", f"Place {who}", **inputs, **strengths)
    (first, _), (second, _) = graph.base.cast[:2]
    inputs = {"person_1": graph[f"person_{first}"], "person_2": graph[f"person_{second}"]}
    graph.add("persons", "RealisID_CombinePersons", "Everyone", **inputs)
    prompt = "two persons wearing a red sweater and a black suit, outdoors with a beach in the background"
    step_by_step(graph, graph["persons"], prompt, "single_steps")
