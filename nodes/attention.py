"""Each person's own words and identity in the UNet's cross-attention."""

from comfy_api.latest import io

from ..realisid_core.attention.regional import MARGIN, Region
from ..realisid_core.attention.stacked import Mask
from ..realisid_core.sampling.apply_attention import apply_attention
from ..realisid_core.sampling.identity_attention import MOST_MARGIN
from ..realisid_core.sampling.unet_call import SHARE
from .apply import ANY_SIZE, START_AND_END
from .choices import chosen, values
from .sockets import Persons, RealisIDModel, aliases, connected


class IdentityAttentionNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_IdentityAttention",
            display_name="Identity Attention (RealisID)",
            category="RealisID",
            **aliases(
                "regional prompt", "own prompt", "attention couple", "several people", "instantid", "ip adapter face"
            ),
            description="Each person's own prompt acts in that person's part of the picture, on any SDXL model. With a "
            "model such as InstantID's, so does each person's identity.",
            inputs=[
                io.Model.Input("model", tooltip="An SDXL model or a fine-tune of it."),
                Persons.Input("persons", tooltip="Who is in the picture, where, and with which prompt of their own."),
                RealisIDModel.Input(
                    "realisid",
                    optional=True,
                    tooltip="A model with an identity adapter, such as InstantID's. Not needed for prompts.",
                ),
                io.Float.Input(
                    "weight",
                    default=0.8,
                    min=0.0,
                    max=2.0,
                    step=0.01,
                    tooltip="How strongly the adapter shows each identity. It does not change the prompts.",
                ),
                *START_AND_END,
                io.Float.Input(
                    "common_prompt",
                    default=SHARE,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="How much the common prompt counts where a person has a prompt of their own. 0: only their "
                    "own words are read there. 1: both count alike, and people mix more.",
                ),
                ANY_SIZE,
                io.Combo.Input(
                    "region",
                    options=values(Region),
                    default=Region.OWN.value,
                    optional=True,
                    tooltip="Where each identity is read. 'own region': all places to which the person's face is the "
                    "nearest. 'face': the face box with a margin. 'head': the face box 1.8 times as large. A person's "
                    "own prompt is always read in the own region.",
                ),
                io.Float.Input(
                    "margin",
                    default=MARGIN,
                    min=0.0,
                    max=MOST_MARGIN,
                    step=0.05,
                    optional=True,
                    tooltip="With region 'face': how much larger than the face box, in sides of the box.",
                ),
                io.Combo.Input(
                    "mask",
                    options=Mask.offered(),
                    default=Mask.EXCLUDE.value,
                    optional=True,
                    tooltip="With an InstantFamily model: outside its region an identity is not read at all "
                    "('exclude') or very little ('soft').",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The model that reads each person's own words.")],
        )

    @classmethod
    def execute(
        cls,
        model,
        persons,
        weight,
        start,
        end,
        realisid=None,
        common_prompt=SHARE,
        any_size=False,
        region=Region.OWN.value,
        margin=MARGIN,
        mask=Mask.EXCLUDE.value,
    ) -> io.NodeOutput:
        connected(model=model, persons=persons, realisid=realisid)
        where = chosen("region", region, Region), margin, Mask(chosen("mask", mask, Mask.offered()))
        acts = (start, end), common_prompt, any_size, *where
        return io.NodeOutput(apply_attention(model, persons, realisid, weight, *acts))
