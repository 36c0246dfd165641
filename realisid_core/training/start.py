"""What a training starts from, other than the base: a trained checkpoint, or InstantID's public IdentityNet."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from ..checkpoint import load_checkpoint, read_config
from ..config import InstantFamilyConfig, InstantIDConfig, RealisIDConfig
from ..model import module_of, same_keys
from ..public_files import identity_net_parts, read_tensors

if TYPE_CHECKING:
    from .trainee import Trainee

REALISID_PARTS = ("local", "global", "id_projector")
INSTANTID = "instantid:"  # before the name of IdentityNet's file
HINT, OUT = "input_hint_block.", ("zero_convs.", "middle_block_out.")


def start_from(what: str | Path, trainee: "Trainee") -> None:
    """Give the trainee the weights that `--start-from` names.

    Raises:
        ValueError: a file that is something else, or was trained for something else.
    """
    if str(what).startswith(INSTANTID):
        _start_from_identity_net(Path(str(what).removeprefix(INSTANTID)), trainee)
    else:
        _start_from_checkpoint(Path(what), trainee)


def terms_of(what: str | Path | None) -> str:
    """Under which terms weights may be used that started from this; empty where the start brings none."""
    if what is None:
        return ""
    if str(what).startswith(INSTANTID):
        return f"Trained from InstantID's IdentityNet. {InstantIDConfig.terms}"
    config = read_config(what)
    return config.terms if isinstance(config, RealisIDConfig) else ""


def _start_from_checkpoint(path: Path, trainee: "Trainee") -> None:
    """A whole RealisID checkpoint that was trained for the same."""
    trained = load_checkpoint(path)
    expected = trainee.config
    grows = isinstance(expected, InstantFamilyConfig) and trained.config.method == RealisIDConfig.method
    if grows:  # a family begins with RealisID's branches
        expected = RealisIDConfig(
            **{f.name: getattr(expected, f.name) for f in fields(RealisIDConfig) if f.name != "method"}
        )
    if differing := trained.config.differences(expected):
        raise ValueError(f"{trained.name} was trained with {differing}; fine-tune it with the same.")
    wanted = {name: module for name, module in trainee.parts().items() if not grows or name in REALISID_PARTS}
    if trained.parts.keys() != wanted.keys():
        raise ValueError(f"{trained.name} is not whole ({trained.describe()}); give one with {', '.join(wanted)}.")
    for name, module in wanted.items():
        state = module_of(trained.parts[name]).state_dict()
        module.load_state_dict({key.removeprefix("layers."): value for key, value in state.items()})
    if grows:
        trainee.begin_stack()  # pyright: ignore[reportAttributeAccessIssue] -- a FamilyTrainee


def _start_from_identity_net(path: Path, trainee: "Trainee") -> None:
    """The local branch takes all of IdentityNet but its hint block, whose hints are other drawings; the global branch
    takes its body, with zero convolutions of its own. So at the first step the local branch is IdentityNet without
    points, on the enlarged face.

    Raises:
        ValueError: a file that is no ControlNet, or one for another UNet; names the key.
    """
    found = {key.removeprefix("global."): value for key, value in identity_net_parts(read_tensors(path)).items()}
    body = {key: value.float() for key, value in found.items() if not key.startswith(HINT)}
    for branch, left_out in ((trainee.local, ()), (trainee.global_, OUT)):
        state = branch.state_dict()
        taken: dict[str, Tensor] = {key: value for key, value in body.items() if not key.startswith(left_out or "?")}
        own = {key: value for key, value in state.items() if key.startswith((HINT, *left_out))}
        try:
            same_keys("it", taken | own, state)
        except ValueError as error:
            raise ValueError(f"{path.name} does not fit the base's UNet: {error}") from error
        branch.load_state_dict(taken | own)
