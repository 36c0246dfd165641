"""The face world: people whose identity, pose, expression, place and clothes are known exactly, drawn from a seed."""

from .captions import VOCABULARY, caption
from .identity import Identity, identity_vector, sample_identity
from .pose import Pose, sample_pose
from .render import Rendered, render
from .scene import Person, Scene, portrait, sample_scene, vary

__all__ = [
    "VOCABULARY",
    "Identity",
    "Person",
    "Pose",
    "Rendered",
    "Scene",
    "caption",
    "identity_vector",
    "portrait",
    "render",
    "sample_identity",
    "sample_pose",
    "sample_scene",
    "vary",
]
