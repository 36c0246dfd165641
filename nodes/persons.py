"""A person in a box, and several people together."""

from comfy_api.latest import io

from ..realisid_core.attention.own_words import words_of
from ..realisid_core.geometry import MAX_BOXES
from ..realisid_core.persons import combine, place
from .sockets import FaceBoxes, FaceLandmarks, IDEmbedding, Persons


class Person(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_Person",
            display_name="Person (RealisID)",
            category="RealisID",
            description="Puts a person into one of the face boxes, with the pose and expression of a photo, and with a "
            "prompt of their own.",
            inputs=[
                IDEmbedding.Input(
                    "id_embedding",
                    optional=True,
                    tooltip="Who it is. Not connected: somebody with a place and a prompt, of no certain likeness.",
                ),
                FaceBoxes.Input("boxes", tooltip="The face boxes of the picture."),
                io.Int.Input(
                    "index",
                    default=0,
                    min=0,
                    max=MAX_BOXES - 1,
                    tooltip="Which box this person's face goes into, counted from 0 in the order of the boxes.",
                ),
                io.Float.Input(
                    "local_strength",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.01,
                    tooltip="How strongly the local branch shapes this face: likeness, pose, expression. 0: off.",
                ),
                io.Float.Input(
                    "global_strength",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.01,
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
            ],
            outputs=[
                Persons.Output(
                    display_name="persons", tooltip="This person; combine with others, or apply the branches."
                )
            ],
        )

    @classmethod
    def execute(
        cls, boxes, index, local_strength, global_strength, id_embedding=None, landmarks=None, prompt=None
    ) -> io.NodeOutput:
        strengths = {"local": local_strength, "global": global_strength}
        words = None if prompt is None else words_of(prompt)
        return io.NodeOutput((place(id_embedding, boxes, index, landmarks, strengths, words),))


class CombinePersons(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_CombinePersons",
            display_name="Combine Persons (RealisID)",
            category="RealisID",
            description="Several people in one picture.",
            inputs=[
                Persons.Input(f"person_{number}", optional=number > 1, tooltip=f"Person {number}.")
                for number in range(1, MAX_BOXES + 1)
            ],
            outputs=[Persons.Output(display_name="persons", tooltip="All of them.")],
        )

    @classmethod
    def execute(cls, **persons) -> io.NodeOutput:
        return io.NodeOutput(combine([persons[key] for key in sorted(persons) if persons[key] is not None]))
