"""A photo straight to a person in a box: detection, parsing, ID embedding, landmarks and placing in one node."""

from comfy_api.latest import io, ui
from torch import Tensor

from ..realisid_core.attention.own_words import words_of
from ..realisid_core.from_photo import person_faces, pose_of
from ..realisid_core.perception.faces import checked_image
from ..realisid_core.perception.retarget import retarget_all
from ..realisid_core.persons import embed_person, place
from .notes import said
from .persons import EARLIER, joined, on_the_stage
from .previews import boxes_picture
from .sockets import FaceBoxes, FaceLandmarks, Persons, RealisIDModel, aliases, connected


class PersonFromPhoto(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_PersonFromPhoto",
            display_name="Person from Photo (RealisID)",
            category="RealisID",
            description="Takes the person of a photo and puts them into one of the face boxes. The node shows the face "
            "that it took.",
            **aliases(
                *("instantid", "pulid", "faceid", "photomaker", "ip adapter face", "likeness", "identity"),
                *(
                    "face",
                    "portrait",
                    "same person",
                    "consistent character",
                    "several people",
                    "pose",
                    "expression",
                    "face swap",
                ),
            ),
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("photo", tooltip="A photo of this person, or a batch of photos of the same person."),
                FaceBoxes.Input("boxes", tooltip="The face boxes of the picture, from Location Boxes."),
                RealisIDModel.Input("realisid", tooltip="The RealisID model, the same as in Apply RealisID."),
                io.String.Input(
                    "box",
                    default="1",
                    tooltip="Which box this person's face goes into: its number, counted from 1, or its name.",
                ),
                io.Int.Input(
                    "face",
                    default=1,
                    min=0,
                    max=999,
                    tooltip="Which face of the photo: 1 is the largest. The node shows the numbers where there are "
                    "several. 0: the photo must have only one.",
                ),
                io.MultiType.Input(
                    "pose",
                    [io.Image, FaceLandmarks],
                    optional=True,
                    tooltip="A photo whose head pose and expression to follow (its largest face), or landmarks. The "
                    "shape of the face stays this person's. Not connected: as in the person's own photo.",
                ),
                io.Conditioning.Input(
                    "prompt",
                    optional=True,
                    tooltip="This person's own words: clothes, hair, what they do. They act in this person's part of "
                    "the picture only.",
                ),
                EARLIER,
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="The CLIP vision model that the RealisID model was trained with. Not needed for the "
                    "miniature, for InstantID, or where Load Model has one chosen.",
                ),
            ],
            outputs=[
                Persons.Output(
                    display_name="persons",
                    tooltip="This person, and those of persons where it is connected. For Apply RealisID, or for the "
                    "next Person from Photo.",
                ),
                io.Image.Output(display_name="face", tooltip="The face as the model saw it, one picture a photo."),
            ],
        )

    @classmethod
    def execute(
        cls, photo, boxes, realisid, box="1", face=1, pose=None, prompt=None, persons=None, clip_vision=None
    ) -> io.NodeOutput:
        connected(boxes=boxes, realisid=realisid, prompt=prompt, persons=persons, clip_vision=clip_vision)
        landmarks = None if pose is None else pose_of(pose)
        faces = person_faces(realisid, checked_image(photo, "photo"), face)
        embedding, encoded = embed_person(realisid, clip_vision, faces)
        if (
            isinstance(pose, Tensor) and embedding.landmarks is not None
        ):  # of a photo, which has a face shape of its own
            landmarks = retarget_all({"frames": [[embedding.landmarks]]}, landmarks)
        person = place(embedding, boxes, box, landmarks, words=None if prompt is None else words_of(prompt))
        shown = ui.PreviewImage(encoded.seen, cls=cls).as_dict()
        if any(faces.others):
            shown["images"] = [*shown["images"], *ui.PreviewImage(boxes_picture(faces), cls=cls).as_dict()["images"]]
        return io.NodeOutput(
            joined(persons, person), encoded.seen, ui=shown | on_the_stage(person) | said(cls, encoded.notes)
        )
