"""InstantID's public files, from the folders that its users already have."""

import os
from pathlib import Path

import folder_paths
from comfy_api.latest import io, ui

from ..realisid_core.public_files import load_instantid
from .sockets import RealisIDModel

CONTROLNETS, ADAPTERS = "controlnet", "instantid"
RECOGNISERS = "realisid_recognisers"  # a name of our own: other packs allow their "insightface" no .onnx files
TERMS = (
    "Terms of the files: InstantID's weights are for research purposes only, insightface's recognisers for "
    "non-commercial research only."
)

for name, folder in ((ADAPTERS, "instantid"), (RECOGNISERS, "insightface")):
    folder_paths.add_model_folder_path(name, os.path.join(folder_paths.models_dir, folder))


def _files(folder: str, *endings: str) -> list[str]:
    return folder_paths.filter_files_extensions(folder_paths.get_filename_list(folder), list(endings))


def _path(folder: str, file: str) -> Path:
    return Path(folder_paths.get_full_path_or_raise(folder, file))


class LoadInstantID(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_LoadInstantID",
            display_name="Load InstantID (RealisID)",
            category="RealisID",
            description=f"InstantID's public weights, for several people and any face box. {TERMS}",
            inputs=[
                io.Combo.Input(
                    "identitynet",
                    options=_files(CONTROLNETS, ".safetensors", ".bin", ".pth"),
                    tooltip="IdentityNet: InstantID's ControlNet, in models/controlnet.",
                ),
                io.Combo.Input(
                    "ip_adapter",
                    options=_files(ADAPTERS, ".bin", ".safetensors"),
                    tooltip="InstantID's ip-adapter.bin, or a .safetensors of it, in models/instantid.",
                ),
                io.Combo.Input(
                    "recogniser",
                    options=_files(RECOGNISERS, ".onnx"),
                    tooltip="insightface's recogniser glintr100.onnx, in models/insightface/models/antelopev2. "
                    "AuraFace's file of the same name is another network and is refused.",
                ),
            ],
            outputs=[
                RealisIDModel.Output(
                    display_name="realisid", tooltip="For ID Embedding, Identity Attention and Apply Global Branch."
                )
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, identitynet: str, ip_adapter: str, recogniser: str) -> list[float]:
        files = (CONTROLNETS, identitynet), (ADAPTERS, ip_adapter), (RECOGNISERS, recogniser)
        return [os.path.getmtime(_path(*file)) for file in files]

    @classmethod
    def execute(cls, identitynet: str, ip_adapter: str, recogniser: str) -> io.NodeOutput:
        realisid = load_instantid(
            _path(CONTROLNETS, identitynet), _path(ADAPTERS, ip_adapter), _path(RECOGNISERS, recogniser)
        )
        return io.NodeOutput(realisid, ui=ui.PreviewText(f"{realisid.describe()}. {TERMS}"))
