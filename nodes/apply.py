"""The two branches on a pair of conditionings."""

from comfy_api.latest import io

from ..realisid_core.branches.sharing import Sharing
from ..realisid_core.sampling.apply import Settings, apply_branch
from .choices import chosen, values
from .sockets import Persons, RealisIDModel, aliases, connected

START_AND_END = (
    io.Float.Input(
        "start",
        default=0.0,
        min=0.0,
        max=1.0,
        step=0.001,
        tooltip="Fraction of the noise schedule where it begins; with denoise below 1, sampling starts later.",
    ),
    io.Float.Input(
        "end",
        default=1.0,
        min=0.0,
        max=1.0,
        step=0.001,
        tooltip="Fraction of the noise schedule where it ends.",
    ),
)
REUSE = io.Int.Input(
    "reuse",
    default=1,
    min=1,
    max=100,
    optional=True,
    tooltip="Computes the branch at every n-th step only and uses the result again in between: cheaper, less exact. "
    "1: at every step.",
)
ONE_PASS = io.Boolean.Input(
    "one_pass",
    default=False,
    optional=True,
    tooltip="Shows all persons in one pass, where each region sees its own identity, instead of one pass a person: "
    "cheaper with several people, less exact.",
)
ANY_SIZE = io.Boolean.Input(
    "any_size",
    default=False,
    optional=True,
    tooltip="Accepts a latent of another size than the boxes were drawn for, as the whole picture enlarged. Off, it is "
    "refused: it could be a crop, which would get everyone's face again.",
)
SHARING = io.Combo.Input(
    "sharing",
    options=values(Sharing),
    default=Sharing.OWN_REGION.value,
    optional=True,
    tooltip="How several persons share the branch. 'own region': each place takes after the person whose face is the "
    "nearest. 'average': every place takes after all of them, as in the paper, and people mix.",
)


def _schema(branch: str, display_name: str, description: str, words: list[str], *options: io.Input) -> io.Schema:
    return io.Schema(
        node_id=f"RealisID_Apply{branch.capitalize()}Branch",
        display_name=display_name,
        category="RealisID",
        **aliases(*words),
        description=description,
        inputs=[
            io.Conditioning.Input("positive", tooltip="The prompt."),
            io.Conditioning.Input("negative", tooltip="The negative prompt; the branch shows it the null identity."),
            RealisIDModel.Input("realisid", tooltip="The RealisID model."),
            Persons.Input("persons", tooltip="Who is in the picture, and where."),
            io.Float.Input(
                "strength",
                default=1.0,
                min=0.0,
                max=2.0,
                step=0.01,
                tooltip="Weight of this branch for everyone. 0 turns it off at no cost.",
            ),
            *START_AND_END,
            io.ControlNet.Input(
                "control_net",
                optional=True,
                tooltip="An SDXL ControlNet to use in this branch's place, given the same picture and ID embedding.",
            ),
            *options,  # optional, so that graphs from before they existed still run
        ],
        outputs=[
            io.Conditioning.Output(display_name="positive", tooltip="The prompt with the branch applied."),
            io.Conditioning.Output(display_name="negative", tooltip="The negative prompt with the branch applied."),
        ],
    )


class ApplyLocalBranch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return _schema(
            "local",
            "Apply Local Branch (RealisID)",
            "Works on each face enlarged: likeness, head pose and expression, also where the face is small.",
            ["small face", "likeness", "face detail", "pose", "controlnet"],
            REUSE,
            ANY_SIZE,
        )

    @classmethod
    def execute(
        cls, positive, negative, realisid, persons, strength, start, end, control_net=None, reuse=1, any_size=False
    ) -> io.NodeOutput:
        connected(positive=positive, negative=negative, realisid=realisid, persons=persons)
        branch = realisid.branch("local", control_net)
        settings = Settings(strength, (start, end), reuse, any_size)
        return io.NodeOutput(*apply_branch(branch, positive, negative, persons, settings))


class ApplyGlobalBranch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return _schema(
            "global",
            "Apply Global Branch (RealisID)",
            "Works on the whole picture: where the faces go, and how bodies and background fit them.",
            ["placement", "several people", "identitynet", "instantid", "controlnet"],
            REUSE,
            ONE_PASS,
            SHARING,
            ANY_SIZE,
        )

    @classmethod
    def execute(
        cls,
        positive,
        negative,
        realisid,
        persons,
        strength,
        start,
        end,
        control_net=None,
        reuse=1,
        one_pass=False,
        sharing=Sharing.OWN_REGION.value,
        any_size=False,
    ) -> io.NodeOutput:
        connected(positive=positive, negative=negative, realisid=realisid, persons=persons)
        branch = realisid.branch("global", control_net, chosen("sharing", sharing, Sharing), one_pass)
        settings = Settings(strength, (start, end), reuse, any_size)
        return io.NodeOutput(*apply_branch(branch, positive, negative, persons, settings))
