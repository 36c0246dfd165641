"""InstantID's public files, from the folders that its users already have."""

import os

from comfy_api.latest import io, ui

from ..realisid_core.public_files import load_instantid
from .files import add_folder, listed, path_of
from .sockets import RealisIDModel, aliases

CONTROLNETS, ADAPTERS = "controlnet", "instantid"
RECOGNISERS = "realisid_recognisers"  # a name of our own: other packs allow their "insightface" no .onnx files
TERMS = (
    "Terms of the files: InstantID's weights are for research purposes only, insightface's recognisers for "
    "non-commercial research only."
)

IDENTITYNET_FILES = CONTROLNETS, ".safetensors", ".bin", ".pth"
ADAPTER_FILES = ADAPTERS, ".bin", ".safetensors"
RECOGNISER_FILES = RECOGNISERS, ".onnx"

add_folder(ADAPTERS, "instantid")
add_folder(RECOGNISERS, "insightface")


def _paths(identitynet: str, ip_adapter: str, recogniser: str) -> list[str]:
    return [
        path_of("identitynet", identitynet, *IDENTITYNET_FILES),
        path_of("ip_adapter", ip_adapter, *ADAPTER_FILES),
        path_of("recogniser", recogniser, *RECOGNISER_FILES),
    ]


class LoadInstantID(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_LoadInstantID",
            display_name="Load InstantID (RealisID)",
            category="RealisID",
            **aliases("identitynet", "ip adapter", "faceid", "antelopev2", "likeness"),
            description=f"InstantID's public weights, for several people and any face box. {TERMS}",
            inputs=[
                io.Combo.Input(
                    "identitynet",
                    options=listed(*IDENTITYNET_FILES),
                    tooltip="IdentityNet: InstantID's ControlNet, in models/controlnet.",
                ),
                io.Combo.Input(
                    "ip_adapter",
                    options=listed(*ADAPTER_FILES),
                    tooltip="InstantID's ip-adapter.bin, or a .safetensors of it, in models/instantid.",
                ),
                io.Combo.Input(
                    "recogniser",
                    options=listed(*RECOGNISER_FILES),
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
        return [os.path.getmtime(path) for path in _paths(identitynet, ip_adapter, recogniser)]

    @classmethod
    def execute(cls, identitynet: str, ip_adapter: str, recogniser: str) -> io.NodeOutput:
        realisid = load_instantid(*_paths(identitynet, ip_adapter, recogniser))
        return io.NodeOutput(realisid, ui=ui.PreviewText(realisid.describe()))
