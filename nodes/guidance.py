"""Three-way guidance on a MODEL."""

from comfy_api.latest import io

from ..realisid_core.sampling.guidance import IdentityGuidance
from ..realisid_core.sampling.rows import IdentityMode
from .choices import chosen
from .sockets import aliases, connected

WITHOUT_IDENTITY = {"null identity": IdentityMode.NULL, "off": IdentityMode.OFF}


class IdentityGuidanceNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_IdentityGuidance",
            display_name="Identity Guidance (RealisID)",
            category="RealisID",
            **aliases("likeness", "identity strength", "cfg"),
            description="Makes the likeness stronger or weaker, apart from the prompt. The sampler's cfg remains the "
            "weight of the prompt.",
            inputs=[
                io.Model.Input("model", tooltip="An SDXL model or a fine-tune of it."),
                io.Float.Input(
                    "identity_guidance",
                    default=5.0,
                    min=0.0,
                    max=30.0,
                    step=0.1,
                    tooltip="How strongly the likeness is pushed. Equal to the sampler's cfg, a step costs two passes "
                    "instead of three.",
                ),
                io.Combo.Input(
                    "without_identity",
                    options=list(WITHOUT_IDENTITY),
                    default="null identity",
                    tooltip="What the branches do in the passes without identity. 'null identity', as in training: "
                    "place and pose act in all passes. 'off': cheaper, and identity_guidance scales them too.",
                ),
                io.Float.Input(
                    "identity_start",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Until this fraction of the noise schedule the identity is withheld, so that the text "
                    "decides the layout first.",
                ),
                io.Float.Input(
                    "text_only_start",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Fraction of the noise schedule from which identity is guided apart from the text. Before "
                    "it both share the sampler's cfg: two passes a step instead of three, less exact.",
                ),
                io.Float.Input(
                    "text_only_end",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Fraction of the noise schedule until which identity is guided apart from the text. After "
                    "it both share the sampler's cfg: two passes a step instead of three, less exact.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The model with identity guidance.")],
        )

    @classmethod
    def execute(
        cls, model, identity_guidance, without_identity, identity_start, text_only_start=0.0, text_only_end=1.0
    ) -> io.NodeOutput:
        connected(model=model)
        without = WITHOUT_IDENTITY[chosen("without_identity", without_identity, list(WITHOUT_IDENTITY))]
        text_only_range = (text_only_start, text_only_end)
        guidance = IdentityGuidance(identity_guidance, without, identity_start, text_only_range)
        return io.NodeOutput(guidance.patch(model))
