"""RealisID (AAAI 2025): two ControlNet-shaped branches that read a person's ID embedding instead of the text."""

from collections.abc import Sequence

from comfy.cldm.cldm import ControlNet as ControlNetwork
from comfy.controlnet import ControlNet
from comfy.model_patcher import ModelPatcher

from ..attention.masked import cross_attentions
from ..branches.global_ import GlobalBranch
from ..branches.loading import branch_part
from ..branches.local import LocalBranch
from ..branches.sharing import Sharing
from ..config import RealisIDConfig
from ..identity.clip_projector import PROJECTOR, CLIPProjectorEncoder
from ..model import Conditioning, Method, RealisIDModel
from ..persons import Person
from ..sampling.apply import apply_branch


def encoder(realisid: RealisIDModel) -> CLIPProjectorEncoder:
    """Photos → masked crops → CLIP → projector."""
    config = realisid.config
    assert isinstance(config, RealisIDConfig)
    return CLIPProjectorEncoder(
        realisid.part("id_projector", ModelPatcher),
        config.clip_tokens,
        config.clip_width,
        config.clip_vision,
        config.clip_fingerprint,
        config.photo_path,
    )


def apply(
    realisid: RealisIDModel,
    persons: Sequence[Person],
    model: ModelPatcher,
    positive: Conditioning,
    negative: Conditioning,
) -> tuple[ModelPatcher, Conditioning, Conditioning]:
    """Both branches on the conditionings; MODEL stays as it is."""
    for branch in (local_branch(realisid), global_branch(realisid)):
        positive, negative = apply_branch(branch, positive, negative, persons)
    return model, positive, negative


def local_branch(realisid: RealisIDModel, control_net: ControlNet | None = None) -> LocalBranch:
    """The local branch of a checkpoint, or `control_net` in its place.

    Raises:
        ValueError: a checkpoint without it, a ControlNet of another kind.
    """
    config = realisid.config
    assert isinstance(config, RealisIDConfig)
    network = _network("local", realisid, control_net)
    return LocalBranch(realisid, *network, config.crop, config.local_size, config.outline)


def global_branch(
    realisid: RealisIDModel,
    control_net: ControlNet | None = None,
    sharing: Sharing = Sharing.OWN_REGION,
    one_pass: bool = False,
) -> GlobalBranch:
    """The global branch of a checkpoint, or `control_net` in its place; `GlobalBranch` says what the options are.

    Raises:
        ValueError: a checkpoint without it, a ControlNet of another kind.
    """
    return GlobalBranch(realisid, *_network("global", realisid, control_net), sharing, one_pass)


def _network(name: str, realisid: RealisIDModel, control_net: ControlNet | None) -> tuple[ControlNet, str]:
    """The host's ControlNet to run, and its vector conditioning."""
    assert isinstance(realisid.config, RealisIDConfig)
    if control_net is not None:
        if not isinstance(getattr(control_net, "control_model", None), ControlNetwork):
            raise ValueError(
                f"control_net is a {type(control_net).__name__}; expected an SDXL ControlNet with its own weights. "
                "Disconnect it to use the RealisID model's own branch."
            )
        widths = {block.attn2.to_k.in_features for block in cross_attentions(control_net.control_model)}
        if widths != {realisid.config.context_dim}:
            found = " and ".join(map(str, sorted(widths))) or "none"
            raise ValueError(
                f"control_net reads tokens of width {found}; those of the ID embedding have "
                f"{realisid.config.context_dim}. Connect an SDXL ControlNet with cross-attention, or disconnect it."
            )
        return control_net, "prompt"
    own = realisid.parts.get(name)
    if not isinstance(own, ControlNet):
        raise ValueError(
            f"The RealisID model {realisid.name} has no {name} branch. Load a complete checkpoint, "
            "or connect a ControlNet to use in its place."
        )
    return own, realisid.config.y_mode


REALISID = Method(
    name="realisid",
    config=RealisIDConfig,
    parts={
        "local": branch_part("local branch", hint_channels=3),
        "global": branch_part("global branch", hint_channels=1),
        "id_projector": PROJECTOR,
    },
    encoder=encoder,
    apply=apply,
)
