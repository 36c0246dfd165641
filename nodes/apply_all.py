"""Everybody onto model and prompts in one node, by the defaults of their method."""

from comfy_api.latest import io

from ..realisid_core.sampling.apply_persons import MOST_LIKENESS, apply_persons
from .apply import ANY_SIZE
from .notes import said
from .persons import unused_boxes
from .sockets import Persons, RealisIDModel, aliases, connected


class ApplyRealisID(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_Apply",
            display_name="Apply RealisID",
            category="RealisID",
            description="Puts everybody into the picture, each face in its box. Place it between the prompts and the "
            "sampler.",
            **aliases(
                *("instantid", "pulid", "faceid", "photomaker", "ip adapter face", "likeness", "identity"),
                *("small face", "several people", "consistent character", "regional prompt"),
            ),
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="An SDXL model or a fine-tune of it, or the miniature's."),
                io.Conditioning.Input("positive", tooltip="The prompt."),
                io.Conditioning.Input("negative", tooltip="The negative prompt."),
                Persons.Input("persons", tooltip="Who is in the picture, and where."),
                RealisIDModel.Input(
                    "realisid",
                    optional=True,
                    tooltip="The RealisID model that the persons were made with. Not connected: people of no certain "
                    "likeness, with a place and their own words.",
                ),
                io.Float.Input(
                    "likeness",
                    default=1.0,
                    min=0.0,
                    max=MOST_LIKENESS,
                    step=0.05,
                    tooltip="How strongly each identity shows. 1 is the method's own default. More looks more like the "
                    "photo and less like the prompt.",
                ),
                ANY_SIZE,
            ],
            outputs=[
                io.Model.Output(tooltip="The model, for the sampler."),
                io.Conditioning.Output(display_name="positive", tooltip="The prompt with everybody in it."),
                io.Conditioning.Output(display_name="negative", tooltip="The negative prompt, for the sampler."),
            ],
        )

    @classmethod
    def execute(cls, model, positive, negative, persons, likeness=1.0, realisid=None, any_size=False) -> io.NodeOutput:
        connected(model=model, positive=positive, negative=negative, persons=persons, realisid=realisid)
        applied = apply_persons(model, positive, negative, persons, realisid, likeness, any_size)
        return io.NodeOutput(*applied, ui=said(cls, unused_boxes(persons)) or None)
