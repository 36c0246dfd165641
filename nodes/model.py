"""Loading a trained RealisID."""

import os

from comfy_api.latest import io, ui

from ..realisid_core.checkpoint import load_checkpoint
from .files import add_folder, listed, path_of
from .sockets import RealisIDModel

FOLDER, ENDING = "realisid", ".safetensors"

add_folder(FOLDER, FOLDER)


class LoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_LoadModel",
            display_name="Load Model (RealisID)",
            category="RealisID",
            description="Reads a trained RealisID checkpoint, both branches and the ID projector, in models/realisid.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=listed(FOLDER, ENDING),
                    tooltip="A .safetensors file in ComfyUI's folder models/realisid.",
                ),
            ],
            outputs=[
                RealisIDModel.Output(
                    display_name="realisid", tooltip="The local and global branch and the ID projector."
                )
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, file: str) -> float:
        return os.path.getmtime(path_of("file", file, FOLDER, ENDING))

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        realisid = load_checkpoint(path_of("file", file, FOLDER, ENDING))
        return io.NodeOutput(realisid, ui=ui.PreviewText(realisid.describe()))
