"""A person in a box, and several people together."""

from comfy_api.latest import io

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
            description="Puts a person into one of the face boxes, with the pose and expression of a photo.",
            inputs=[
                IDEmbedding.Input("id_embedding", tooltip="Who it is."),
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
            ],
            outputs=[
                Persons.Output(
                    display_name="persons", tooltip="This person; combine with others, or apply the branches."
                )
            ],
        )

    @classmethod
    def execute(cls, id_embedding, boxes, index, local_strength, global_strength, landmarks=None) -> io.NodeOutput:
        strengths = {"local": local_strength, "global": global_strength}
        return io.NodeOutput((place(id_embedding, boxes, index, landmarks, strengths),))


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
