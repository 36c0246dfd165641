"""A person in a box, and several people together."""

from comfy_api.latest import io

from ..realisid_core.attention.own_words import words_of
from ..realisid_core.conditions.contours import contour_lines
from ..realisid_core.geometry import MAX_BOXES
from ..realisid_core.persons import Person as InOnePicture
from ..realisid_core.persons import combine, empty_boxes, place
from .notes import said
from .sockets import FaceBoxes, FaceLandmarks, IDEmbedding, Persons, aliases, connected, received

UNUSED = -1  # `index` of graphs that know `box`
EARLIER = Persons.Input(
    "persons",
    optional=True,
    tooltip="People who are in the picture already. This person joins them, without Combine Persons.",
)


class Person(io.ComfyNode):
    """Widgets in order: box, local_strength, global_strength, index (hidden). Before 0.2: index, the two strengths."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_Person",
            display_name="Person (RealisID)",
            category="RealisID",
            **aliases("several people", "likeness", "pose", "regional prompt"),
            description="Puts a person into one of the face boxes, with the pose and expression of a photo, and with a "
            "prompt of their own.",
            inputs=[
                IDEmbedding.Input(
                    "id_embedding",
                    optional=True,
                    tooltip="Who it is. Not connected: somebody with a place and a prompt, of no certain likeness.",
                ),
                FaceBoxes.Input("boxes", tooltip="The face boxes of the picture."),
                io.String.Input(
                    "box",
                    default="1",
                    optional=True,  # graphs from before it existed still run
                    tooltip="Which box this person's face goes into: its number, counted from 1, or its name. A name "
                    "stays with its box when boxes are added, removed or put in another order.",
                ),
                io.Float.Input(
                    "local_strength",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.01,
                    optional=True,
                    tooltip="How strongly the local branch shapes this face: likeness, pose, expression. 0: off.",
                ),
                io.Float.Input(
                    "global_strength",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.01,
                    optional=True,
                    tooltip="How strongly the global branch places this person in the picture. 0: off.",
                ),
                FaceLandmarks.Input(
                    "landmarks",
                    optional=True,
                    tooltip="The photo whose head pose and expression to follow (its first face). "
                    "Not connected: the reference photo's own.",
                ),
                io.Conditioning.Input(
                    "prompt",
                    optional=True,
                    tooltip="This person's own words: clothes, hair, what they do. They act in this person's part of "
                    "the picture only. Needs Identity Attention on the model; works with any SDXL.",
                ),
                io.Custom("INT").Input(
                    "index",
                    optional=True,
                    extra_dict={"default": UNUSED, "min": UNUSED, "max": MAX_BOXES - 1, "hidden": True},
                    tooltip="Of graphs from before there was box: the same, counted from 0.",
                ),
                EARLIER,
            ],
            outputs=[
                Persons.Output(
                    display_name="persons", tooltip="This person, and those of persons where it is connected."
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        boxes,
        box="1",
        local_strength=1.0,
        global_strength=1.0,
        id_embedding=None,
        landmarks=None,
        prompt=None,
        index=UNUSED,
        persons=None,
    ) -> io.NodeOutput:
        connected(boxes=boxes, id_embedding=id_embedding, prompt=prompt, persons=persons)
        strengths = {"local": local_strength, "global": global_strength}
        words = None if prompt is None else words_of(prompt)
        chosen = box if index == UNUSED else index + 1
        person = place(id_embedding, boxes, chosen, landmarks, strengths, words)
        return io.NodeOutput(joined(persons, person), ui=on_the_stage(person))


def joined(earlier: tuple[InOnePicture, ...] | None, person: InOnePicture) -> tuple[InOnePicture, ...]:
    """The persons of an input `persons`, if it is connected, and one more."""
    return (person,) if earlier is None else combine([earlier, (person,)])


def unused_boxes(persons: tuple[InOnePicture, ...]) -> list[str]:
    """What to say where a box of the picture has nobody in it; nothing where all are taken."""
    empty = empty_boxes(persons)
    return [f"Nobody is in {' and '.join(empty)}. Put a person there, or remove the box."] if empty else []


def on_the_stage(person: InOnePicture) -> dict:
    """What the box editor shows of a person: the number of the box, and the pose that will be drawn in it."""
    lines = [] if person.landmarks is None else contour_lines(person.landmarks)
    return {"realisid_person": [{"number": person.number, "pose": lines}]}


class CombinePersons(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_CombinePersons",
            display_name="Combine Persons (RealisID)",
            category="RealisID",
            **aliases("several people", "two people", "group", "merge persons"),
            description="Several people in one picture.",
            hidden=[io.Hidden.unique_id],
            inputs=[
                Persons.Input(f"person_{number}", optional=number > 1, tooltip=f"Person {number}.")
                for number in range(1, MAX_BOXES + 1)
            ],
            outputs=[Persons.Output(display_name="persons", tooltip="All of them.")],
        )

    @classmethod
    def execute(cls, **persons) -> io.NodeOutput:
        groups = [received(key, persons[key], tuple) for key in sorted(persons) if persons[key] is not None]
        together = combine(groups)
        return io.NodeOutput(together, ui=said(cls, unused_boxes(together)) or None)
