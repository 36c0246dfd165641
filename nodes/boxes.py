"""Where the faces go."""

from comfy_api.latest import io, ui
from torch import Tensor

import nodes as host_nodes  # the host's, not this folder

from ..realisid_core.box_formats import from_bounding_boxes, parse_boxes, read_entries, to_editor
from ..realisid_core.conditions.location_mask import union_mask
from ..realisid_core.geometry import LEAST_SIDE, LONGEST_SIDE
from ..realisid_core.perception.faces import checked_image
from ..realisid_core.perception.layout import boxes_from_faces
from .previews import draw_layout
from .sockets import BoundingBox, FaceBoxes, Faces, aliases

EXAMPLE = '{"version": 1, "boxes": [{"x": 0.35, "y": 0.2, "size": 0.3}]}'


def _side(name: str, what: str) -> io.Input:
    tooltip = f"{what} of the picture in pixels."
    return io.Int.Input(name, default=1024, min=LEAST_SIDE, max=LONGEST_SIDE, step=8, tooltip=tooltip)


class LocationBoxes(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_LocationBoxes",
            display_name="Location Boxes (RealisID)",
            category="RealisID",
            **aliases(
                "place faces",
                "layout",
                "composition",
                "regions",
                "bounding boxes",
                "small face",
                "several people",
                "empty latent",
            ),
            description="Draw a square where each face goes.",
            inputs=[
                _side("width", "Width"),
                _side("height", "Height"),
                io.String.Input(
                    "boxes",
                    default=EXAMPLE,
                    multiline=True,
                    tooltip="A square for each person's face, in their order. Draw and move the squares on the stage. "
                    "Where there is no stage, docs/boxes.md says how to write them.",
                ),
                io.Image.Input(
                    "background", optional=True, tooltip="A picture to show behind the boxes; it changes nothing else."
                ),
                io.MultiType.Input(
                    "bboxes",
                    [BoundingBox, io.Custom("BOUNDING_BOXES")],
                    optional=True,
                    tooltip="Boxes of a detector or of the host's box widget, in pixels of the picture. They are used "
                    "where none are drawn: the editor shows them after a run, and takes them over when you change one.",
                ),
            ],
            outputs=[
                FaceBoxes.Output(display_name="face_boxes", tooltip="The boxes; the first is box 1."),
                io.Mask.Output(display_name="mask", tooltip="The location mask of all boxes: 1 inside, 0 outside."),
                io.Image.Output(display_name="preview", tooltip="The boxes drawn over the background."),
                io.Int.Output(display_name="width", tooltip="Width of the picture in pixels."),
                io.Int.Output(display_name="height", tooltip="Height of the picture in pixels."),
                io.Latent.Output(display_name="latent", tooltip="An empty latent of that size, for the sampler."),
            ],
        )

    @classmethod
    def validate_inputs(cls, boxes=None) -> bool | str:
        """What is wrong with the boxes at any size. The host checks the inputs that are not named here by itself."""
        try:
            read_entries([] if boxes is None else boxes)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, width, height, boxes, background=None, bboxes=None) -> io.NodeOutput:
        face_boxes = parse_boxes(boxes, width, height)
        if background is not None:
            background = checked_image(background[:1] if isinstance(background, Tensor) else background, "background")
        seeds = None
        if bboxes is not None:
            try:
                seeds = from_bounding_boxes(bboxes, width, height)
            except ValueError as error:
                if not face_boxes.boxes:  # drawn ones do not need the connected ones
                    raise ValueError(f"bboxes, in pixels of the {width}×{height} picture: {error}") from error
        if not face_boxes.boxes and seeds is not None:
            face_boxes = seeds
        preview = draw_layout(face_boxes, background)
        # for the editor, which is the node's own picture of the boxes
        shown = {
            "realisid_size": [width, height],
            "realisid_seed_boxes": [to_editor(seeds) if seeds is not None else ""],
        }
        if background is not None:
            shown["realisid_background"] = ui.PreviewImage(background, cls=cls).as_dict()["images"]
        (latent,) = host_nodes.EmptyLatentImage().generate(width, height)  # pyright: ignore[reportAttributeAccessIssue]
        return io.NodeOutput(face_boxes, union_mask(face_boxes), preview, width, height, latent, ui=shown)


class BoxesFromFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_BoxesFromFaces",
            display_name="Boxes from Faces (RealisID)",
            category="RealisID",
            **aliases("layout from photo", "copy composition", "bounding boxes", "face swap"),
            description="Face boxes where the faces of a layout photo are.",
            inputs=[
                io.MultiType.Input(
                    "faces",
                    [Faces, BoundingBox],
                    tooltip="Faces of a layout photo, or boxes in pixels. The first picture of a batch counts.",
                ),
                _side("width", "Width"),
                _side("height", "Height"),
                io.Float.Input(
                    "scale",
                    default=1.0,
                    min=0.1,
                    max=4.0,
                    step=0.05,
                    tooltip="Enlarges or shrinks every box round its centre.",
                ),
            ],
            outputs=[FaceBoxes.Output(display_name="face_boxes", tooltip="The boxes, in the order of the faces.")],
        )

    @classmethod
    def execute(cls, faces, width, height, scale) -> io.NodeOutput:
        boxes = boxes_from_faces(faces, width, height, scale)
        return io.NodeOutput(boxes, ui=ui.PreviewImage(draw_layout(boxes), cls=cls))
