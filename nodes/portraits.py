"""The portraits that ship with the pack, so that a first graph runs without a photo of one's own."""

from pathlib import Path

from comfy_api.latest import io, ui
from PIL import Image

from ..realisid_core.perception.faces import to_image
from .choices import chosen
from .sockets import aliases

FOLDER = Path(__file__).resolve().parent.parent / "portraits"
NAMES = sorted(file.stem for file in FOLDER.glob("*.jpg"))


class ExamplePortrait(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_ExamplePortrait",
            display_name="Example Portrait (RealisID)",
            category="RealisID",
            **aliases("sample photo", "demo photo", "test image"),
            description="A portrait photo that ships with the pack. Put Load Image in its place for your own.",
            inputs=[
                io.Combo.Input(
                    "portrait",
                    options=NAMES,
                    tooltip="Whose photo; portraits/README.md in the pack says where they come from.",
                )
            ],
            outputs=[io.Image.Output(tooltip="The photo.")],
        )

    @classmethod
    def execute(cls, portrait: str) -> io.NodeOutput:
        file = FOLDER / f"{chosen('portrait', portrait, NAMES)}.jpg"
        photo = to_image(Image.open(file).convert("RGB"))
        return io.NodeOutput(photo, ui=ui.PreviewImage(photo, cls=cls))
