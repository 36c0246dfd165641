"""The face world: people whose identity, pose, expression, place and clothes are known exactly, drawn from a seed."""

from .captions import PLACED_VOCABULARY, VOCABULARY, caption, placed_caption
from .identity import (
    Identity,
    geometry_vector,
    identity_vector,
    restyled,
    sample_family,
    sample_identity,
    sample_person,
)
from .pose import Pose, sample_pose
from .render import Rendered, render
from .scene import Person, Scene, portrait, sample_light, sample_scene, vary

__all__ = [
    "PLACED_VOCABULARY",
    "VOCABULARY",
    "Identity",
    "Person",
    "Pose",
    "Rendered",
    "Scene",
    "caption",
    "geometry_vector",
    "identity_vector",
    "placed_caption",
    "portrait",
    "render",
    "restyled",
    "sample_family",
    "sample_identity",
    "sample_light",
    "sample_person",
    "sample_pose",
    "sample_scene",
    "vary",
]
