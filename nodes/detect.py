"""Finding faces in pictures."""

import json

from comfy_api.latest import io, ui

from ..realisid_core import perception
from .choices import chosen
from .previews import boxes_picture
from .sockets import BoundingBox, Faces, aliases

UNUSED = -2  # `index` of graphs that know `face`


class DetectFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_DetectFaces",
            display_name="Detect Faces (RealisID)",
            category="RealisID",
            **aliases("find faces", "face detection", "face box", "bounding box", "yunet", "retinaface", "mtcnn"),
            description="Finds faces and gives each a square box: round its landmarks, where there are any.",
            is_output_node=True,
            inputs=[
                io.Image.Input("image", tooltip="One or more pictures; grey ones and ones with alpha will do."),
                io.Combo.Input(
                    "detector",
                    options=list(perception.BACKENDS),
                    default="yunet",
                    tooltip="yunet comes with the pack. retinaface (facexlib) fetches 110 MB to models/facexlib at "
                    "first use. mtcnn, the paper's, needs facenet-pytorch.",
                ),
                io.Float.Input(
                    "threshold",
                    default=0.6,
                    min=0.05,
                    max=0.99,
                    step=0.01,
                    tooltip="Least confidence. Lower it for painted, covered or very small faces.",
                ),
                io.Combo.Input(
                    "order", options=list(perception.ORDERS), default="largest first", tooltip="How faces are numbered."
                ),
                io.Int.Input(
                    "maximum", default=0, min=0, max=999, tooltip="Keep at most so many faces a picture. 0 keeps all."
                ),
                io.Float.Input(
                    "margin",
                    default=0.0,
                    min=-0.5,
                    max=3.0,
                    step=0.05,
                    tooltip="Enlarges the square box, as a fraction of its side: 0.5 makes it half as large again.",
                ),
                io.Int.Input(
                    "face",
                    default=0,
                    min=0,
                    max=999,
                    optional=True,  # graphs from before it existed still run
                    tooltip="Keep only the face of this number: 1 is the first. 0 keeps all and shows their numbers on "
                    "the node.",
                ),
                BoundingBox.Input(
                    "bboxes",
                    optional=True,
                    extra_dict={"forceInput": True},  # newer frontends have a widget for this type, never empty
                    tooltip="Boxes found or drawn elsewhere, in pixels. When connected, nothing is detected: these are "
                    "made square, enlarged by margin, and used.",
                ),
                io.Custom("INT").Input(
                    "index",
                    optional=True,
                    extra_dict={"default": UNUSED, "min": UNUSED, "max": 999, "hidden": True},
                    tooltip="Of graphs from before there was face: the same, counted from 0; -1 keeps all.",
                ),
            ],
            outputs=[
                Faces.Output(display_name="faces", tooltip="The pictures with their faces, for parsing and landmarks."),
                BoundingBox.Output(
                    "found", "bboxes", tooltip="The face boxes without margin, in pixels, in ComfyUI's own form."
                ),
                io.String.Output(
                    display_name="details",
                    tooltip="JSON: image size; per picture each face's number, square box in pixels and as fractions "
                    "of the picture, confidence and five points.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls, image, detector, threshold, order, maximum, margin, face=0, bboxes=None, index=UNUSED
    ) -> io.NodeOutput:
        detector = chosen("detector", detector, list(perception.BACKENDS))
        order = chosen("order", order, list(perception.ORDERS))
        if bboxes is not None:
            faces = perception.faces_from_boxes(image, bboxes, margin)
        else:
            pick = face or index + 1  # the former `index`: -1 is all
            faces = perception.detect_faces(image, detector, threshold, order, maximum, margin, max(pick, 0))
        picture = ui.PreviewImage(boxes_picture(faces), cls=cls)
        return io.NodeOutput(faces, faces.bounding_boxes(), json.dumps(faces.describe()), ui=picture)
