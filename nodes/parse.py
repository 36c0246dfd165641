"""Cutting a face out of what is round it."""

import torch
from comfy_api.latest import io, ui

from ..realisid_core import perception
from .choices import chosen
from .previews import masks_picture
from .sockets import Faces, aliases


class ParseFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_ParseFaces",
            display_name="Parse Faces (RealisID)",
            category="RealisID",
            **aliases("face mask", "face parsing", "cut out face", "segment face", "remove background", "bisenet"),
            description="Cuts the faces out and zeroes what does not belong to the person.",
            is_output_node=True,
            inputs=[
                Faces.Input("faces", tooltip="Faces from Detect Faces."),
                io.Combo.Input(
                    "method",
                    options=list(perception.METHODS),
                    default="auto",
                    tooltip="person, MediaPipe's person mask, comes with the pack. bisenet (facexlib) tells more parts "
                    "apart and fetches 53 MB to models/facexlib at first use. landmarks keeps what is inside the "
                    "face's outline. auto takes bisenet when its weights and facexlib are there, else person.",
                ),
                io.Combo.Input(
                    "keep",
                    options=list(perception.KEEP),
                    default="face and hair",
                    tooltip="What is left of the crop. The neck needs bisenet.",
                ),
                io.Int.Input("size", default=512, min=32, max=2048, step=8, tooltip="Edge of the crops, in pixels."),
            ],
            outputs=[
                Faces.Output("parsed", "faces", tooltip="The faces with their masks."),
                io.Mask.Output(display_name="masks", tooltip="One mask a face, in the frame of its picture."),
                io.Image.Output(display_name="crops", tooltip="One square crop a face, what is not kept black."),
                io.String.Output(display_name="parser", tooltip="Which parser was used and what it kept."),
            ],
        )

    @classmethod
    def execute(cls, faces, method, keep, size) -> io.NodeOutput:
        perception.require_faces(faces)
        method = chosen("method", method, perception.METHODS)
        keep = chosen("keep", keep, list(perception.KEEP))
        parsed = perception.parse_faces(faces, method, keep)
        masks = torch.stack([face.mask for _, face in parsed if face.mask is not None])
        crops = perception.masked_crops(parsed, size)
        return io.NodeOutput(
            parsed, masks, crops, str(parsed.parsed), ui=ui.PreviewImage(masks_picture(parsed), cls=cls)
        )
