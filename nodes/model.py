"""Loading a trained RealisID."""

import os

import folder_paths
from comfy_api.latest import io, ui

from ..realisid_core.checkpoint import load_checkpoint
from .choices import chosen
from .sockets import RealisIDModel

FOLDER = "realisid"

folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))


def _files() -> list[str]:
    return folder_paths.filter_files_extensions(folder_paths.get_filename_list(FOLDER), [".safetensors"])


def _path(file: str) -> str:
    if not (files := _files()):
        raise ValueError(
            "There is no .safetensors file in models/realisid. Put a trained RealisID checkpoint there, or take Load "
            "Miniature, which ships with the pack."
        )
    return folder_paths.get_full_path_or_raise(FOLDER, chosen("file", file, files))


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
                    options=_files(),
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
        return os.path.getmtime(_path(file))

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        realisid = load_checkpoint(_path(file))
        return io.NodeOutput(realisid, ui=ui.PreviewText(realisid.describe()))
