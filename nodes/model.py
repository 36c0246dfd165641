"""Loading a trained RealisID."""

import os

import folder_paths
from comfy_api.latest import io, ui

from ..realisid_core.checkpoint import load_checkpoint
from .sockets import RealisIDModel

FOLDER = "realisid"

folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))


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
                    options=folder_paths.filter_files_extensions(
                        folder_paths.get_filename_list(FOLDER), [".safetensors"]
                    ),
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
        return os.path.getmtime(folder_paths.get_full_path_or_raise(FOLDER, file))

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        realisid = load_checkpoint(folder_paths.get_full_path_or_raise(FOLDER, file))
        return io.NodeOutput(realisid, ui=ui.PreviewText(realisid.describe()))
