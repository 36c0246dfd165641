"""The miniature as ordinary MODEL, CLIP, VAE, CLIP_VISION and REALISID_MODEL."""

from comfy_api.latest import io, ui

from ..realisid_core.miniature.loading import load_miniature
from .sockets import RealisIDModel, aliases


class LoadMiniature(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_LoadMiniature",
            display_name="Load Miniature (RealisID)",
            category="RealisID",
            **aliases("demo model", "small model", "try it", "test model"),
            description="A small complete SDXL-shaped model that ships with the pack: everything runs with it, "
            "on a laptop CPU, with nothing to download. It draws the people of its own little world at 256 x 256.",
            inputs=[],
            outputs=[
                io.Model.Output(tooltip="The miniature's UNet, for KSampler. Its latents are 256 x 256 pixels."),
                io.Clip.Output(tooltip="Its text encoder, for CLIPTextEncode. It knows the words of its own world."),
                io.Vae.Output(tooltip="Its VAE, for VAEDecode and VAEEncode."),
                io.ClipVision.Output(tooltip="Its image encoder, which the ID embedding is made with."),
                RealisIDModel.Output(tooltip="Its RealisID branches and ID projector."),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        miniature = load_miniature()
        return io.NodeOutput(
            miniature.model,
            miniature.clip,
            miniature.vae,
            miniature.clip_vision,
            miniature.realisid,
            ui=ui.PreviewText(miniature.describe()),
        )
