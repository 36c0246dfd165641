"""What the branches have in common: a ControlNet of the host that takes a person's ID embedding for its context."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from copy import copy
from functools import cached_property
from typing import Any, ClassVar

import comfy.model_base
import comfy.model_management
import torch
from comfy.controlnet import ControlNet
from torch import Tensor, nn

from ..geometry import FaceBox
from ..host import core_patcher
from ..model import RealisIDModel
from ..persons import Person
from .injection import Injection
from .views import Inputs, View


class Branch(ABC):
    """One branch, for any number of persons.

    Attributes:
        name: "local" or "global".
        hint_channels: what its network's hint must have; None where any number does.
        realisid: the checkpoint whose identities it is shown.
        control: the network, as the host's ControlNet; its wrapper is what the host loads and offloads.
        view: what the network sees of the latent, and where its features go.
        y_mode: the vector conditioning, "sizes" or "prompt".
    """

    name: ClassVar[str]
    hint_channels: ClassVar[int | None] = None

    def __init__(self, realisid: RealisIDModel, control: ControlNet, view: View, y_mode: str):
        channels = control.control_model.input_hint_block[0].weight.shape[1]
        if self.hint_channels not in (None, channels):
            raise ValueError(
                f"control_net takes hints of {channels} channels; the {self.name} branch shows it a picture of "
                f"{self.hint_channels}. Connect a ControlNet for RGB pictures, or disconnect it."
            )
        self.realisid = realisid
        self.control = control
        self.view = view
        self.y_mode = y_mode

    @cached_property
    def null_tokens(self) -> Tensor:
        """The null identity, [1, T, D]. Raises ValueError where the checkpoint lacks a part that it takes."""
        return self.realisid.null_identity()

    @property
    def network(self) -> Any:
        """The host's ControlNet module, untyped as the host is."""
        return self.control.control_model

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in."""
        return self.control.manual_cast_dtype or self.network.dtype

    def strength_of(self, person: Person) -> float:
        """How much of the person's injection counts here; nothing is computed for 0."""
        return person.strength(self.name)

    def passes(self, persons: Sequence[Person]) -> list[tuple[int, ...]]:
        """The passes of the network that a row takes: for each, whom it shows, by their numbers among `persons`."""
        return [(number,) for number, person in enumerate(persons) if self.strength_of(person) > 0]

    def reaches(self, boxes: Sequence[FaceBox]) -> bool:
        """Whether a pass for these face boxes, of which a row may show nothing, adds anything to it."""
        return True

    def one_run_for(self, boxes: Sequence[tuple[FaceBox, ...]]) -> bool:
        """Whether one run of the network can show passes with these face boxes."""
        return True

    @abstractmethod
    def hint(self, persons: Sequence[Person], boxes: Sequence[FaceBox], height: int, width: int) -> Tensor:
        """The persons of a pass as the network is told of them, in 0..1: [1, C, h, w].

        Args:
            boxes: theirs.
            height, width: of what the row shows, in pixels.
        """

    @abstractmethod
    def hint_key(self, boxes: Sequence[FaceBox], height: int, width: int) -> Hashable:
        """What a hint depends on besides its persons."""

    def features(self, inputs: Inputs, boxes: Sequence[FaceBox]) -> Injection:
        """The network's features of a batch, not yet on the frame.

        Args:
            boxes: those of the persons of each pass, where one pass shows several.
        """
        return self.view.features(self.network, inputs, **self.control.extra_args)

    @abstractmethod
    def shares(self, boxes: Sequence[FaceBox], height: int, width: int) -> Tensor | Sequence[float]:
        """How much of each person's features counts before their strength: everywhere [N], or cell by cell [N, H, W].

        Args:
            boxes: those of all persons.
            height, width: of the feature map.
        """

    def options(self) -> tuple:
        """How it works, besides its network."""
        return self.view, self.y_mode

    def same_as(self, other: "Branch") -> bool:
        """Whether both are one branch, which can act for the persons of both."""
        network = type(self), self.network, self.realisid.config, self.options()
        return network == (type(other), other.network, other.realisid.config, other.options())

    def with_network(self, network: nn.Module, load_device: torch.device) -> "Branch":
        """The same branch on another copy of its network."""
        control = self.control.copy()
        control.control_model = network
        control.control_model_wrapped = core_patcher(network, load_device, comfy.model_management.unet_offload_device())
        other = copy(self)
        other.control = control
        return other

    def refuse_other_models(self, model: comfy.model_base.BaseModel) -> None:
        """Raise ValueError where `model` has no UNet that this branch's injection fits."""
        kind = type(model).__name__
        if not isinstance(model, comfy.model_base.SDXL):
            raise ValueError(f"RealisID needs SDXL or a fine-tune of it, but the model is of type {kind}. Load SDXL.")
        network, unet = self.network, model.diffusion_model
        theirs = len(unet.input_blocks), unet.model_channels, model.latent_format.latent_channels
        ours = len(network.zero_convs), network.model_channels, network.input_blocks[0][0].weight.shape[1]
        if ours != theirs:
            names = "{} blocks of {} channels on {}-channel latents".format
            raise ValueError(
                f"The {self.name} branch is for a UNet with {names(*ours)}; the model ({kind}) has {names(*theirs)}. "
                f"Load the model this RealisID checkpoint was trained for ({self.realisid.config.base})."
            )
