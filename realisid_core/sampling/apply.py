"""Putting a branch on conditionings, as the host's own ControlNet nodes put theirs."""

from collections.abc import Sequence

from comfy.controlnet import ControlBase

from ..branches.branch import Branch
from ..checks import check_number
from ..model import Conditioning
from ..persons import Person, combine, refuse_foreign, refuse_several_pictures
from .control import BranchControl
from .rows import IdentityMode, with_identity
from .settings import DEFAULT, MOST_STRENGTH, Settings


def apply_branch(
    branch: Branch,
    positive: Conditioning,
    negative: Conditioning,
    persons: Sequence[Person],
    settings: Settings = DEFAULT,
) -> tuple[Conditioning, Conditioning]:
    """Copies of `positive` and `negative` with a branch: the positive is given the identity, the negative the null one.

    Both share one control, so that the host batches their rows. Where they have this branch already, one control acts
    for the persons of both. Where nothing would act (strength 0, an empty range, nobody with a strength), both come
    back as they were, and sampling is bit for bit what it is without.

    Raises:
        ValueError: persons embedded for another model or drawn for different pictures, a strength that is no number,
            the same branch applied before with other settings.
    """
    refuse_foreign(persons, branch.realisid)
    for number, person in enumerate(persons, 1):
        check_number(f"The {branch.name} strength of person {number}", branch.strength_of(person), 0.0, MOST_STRENGTH)
    if not settings.act or not branch.passes(persons):
        return positive, negative
    refuse_several_pictures(persons)
    _ = branch.null_tokens  # a checkpoint without them is refused here, not by the sampler
    new = BranchControl(branch, persons, settings)
    controls: dict[ControlBase | None, ControlBase] = {}

    def control_after(previous: ControlBase | None) -> ControlBase:
        if previous not in controls:
            controls[previous] = joined(new, previous) or new.copy().set_previous_controlnet(previous)
        return controls[previous]

    def with_branch(conditioning: Conditioning, identity: IdentityMode) -> Conditioning:
        return [
            [
                tokens,
                {
                    **with_identity(options, identity),
                    "control": control_after(options.get("control")),
                    "control_apply_to_uncond": False,
                },
            ]
            for tokens, options in conditioning
        ]

    return with_branch(positive, IdentityMode.GIVEN), with_branch(negative, IdentityMode.NULL)


def joined(new: BranchControl, chain: ControlBase | None) -> ControlBase | None:
    """A copy of a chain of ControlNets, in which the branch of `new` acts for its persons too; None where it has none.

    Raises:
        ValueError: another network or other settings, or boxes that were drawn for another picture.
    """
    if chain is None:
        return None
    if isinstance(chain, BranchControl) and chain.branch.name == new.branch.name:
        _refuse_differing(chain, new)
        persons = combine([chain.persons, new.persons])
        both = BranchControl(chain.branch, persons, chain.settings)
        return both.set_previous_controlnet(chain.previous_controlnet)
    rest = joined(new, chain.previous_controlnet)
    return rest and chain.copy().set_previous_controlnet(rest)


def _refuse_differing(earlier: BranchControl, new: BranchControl) -> None:
    """Raises ValueError unless one control can do what both do."""
    name = new.branch.name
    remedy = f"Put everyone into Combine Persons and apply the {name} branch once; each Person has its own strength."
    if not earlier.branch.same_as(new.branch):
        raise ValueError(
            f"These conditionings have a {name} branch already, of another model or with another way of sharing it. "
            f"{remedy}"
        )
    if differing := [
        f"{field} {theirs:g} (here {ours:g})"
        for (field, theirs), ours in zip(earlier.settings.values().items(), new.settings.values().values(), strict=True)
        if theirs != ours
    ]:
        raise ValueError(f"These conditionings have a {name} branch already, with {', '.join(differing)}. {remedy}")
