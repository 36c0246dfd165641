"""Loading a trained RealisID."""

import os
from dataclasses import replace

import comfy.clip_vision
from comfy_api.latest import io, ui

from ..realisid_core.checkpoint import load_checkpoint
from .files import add_folder, listed, path_of
from .sockets import RealisIDModel, aliases

FOLDER, ENDING = "realisid", ".safetensors"
CLIP_VISION_FILES = "clip_vision", ".safetensors", ".sft", ".pt", ".pth", ".bin"
NONE = "none"

add_folder(FOLDER, FOLDER)


class LoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_LoadModel",
            display_name="Load Model (RealisID)",
            category="RealisID",
            **aliases("realisid checkpoint", "identity model", "clip vision"),
            description="Reads a trained RealisID checkpoint, both branches and the ID projector, in models/realisid.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=listed(FOLDER, ENDING),
                    tooltip="A .safetensors file in ComfyUI's folder models/realisid.",
                ),
                io.Combo.Input(
                    "clip_vision",
                    options=[NONE, *listed(*CLIP_VISION_FILES)],
                    default=NONE,
                    optional=True,  # graphs from before it existed still run
                    tooltip="The CLIP vision model that it was trained with, from models/clip_vision. It reads the "
                    "photos. With none, connect one to the nodes that ask for it.",
                ),
            ],
            outputs=[
                RealisIDModel.Output(
                    display_name="realisid", tooltip="The local and global branch and the ID projector."
                )
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, file: str, clip_vision: str = NONE) -> list[float]:
        return [os.path.getmtime(path) for path in _paths(file, clip_vision)]

    @classmethod
    def execute(cls, file: str, clip_vision: str = NONE) -> io.NodeOutput:
        checkpoint, *image_encoders = _paths(file, clip_vision)
        realisid = load_checkpoint(checkpoint)
        for path in image_encoders:
            if (image_encoder := comfy.clip_vision.load(path)) is None:
                raise ValueError(f"clip_vision: {clip_vision} is no CLIP vision model that ComfyUI knows.")
            realisid = replace(realisid, image_encoder=image_encoder)
        return io.NodeOutput(realisid, ui=ui.PreviewText(realisid.describe()))


def _paths(file: str, clip_vision: str) -> list[str]:
    """The checkpoint's path, and the CLIP vision model's where one is chosen."""
    chosen = [] if clip_vision == NONE else [path_of("clip_vision", clip_vision, *CLIP_VISION_FILES)]
    return [path_of("file", file, FOLDER, ENDING), *chosen]
