"""CLIP features of a parsed face crop → ID embedding `p_id` (RealisID, "ID and Text Embeddings")."""

import logging
from functools import cached_property
from typing import Any

import comfy.model_management
import comfy.ops
import torch
from comfy.clip_vision import ClipVisionModel
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ..host import core_patcher
from ..model import Part, State, same_keys
from ..perception import Faces, masked_crops, parse_faces
from .encoder import Encoded
from .fingerprint import digest, fingerprint, same_fingerprint
from .photo_path import PhotoPath

CROP_SIZE = 512


class IDProjector(nn.Module):
    """Aligns CLIP features with the UNet's context space: [B, T, clip_width] → [B, T, context_dim]."""

    def __init__(self, clip_width: int, context_dim: int, operations=comfy.ops.manual_cast, device=None, dtype=None):
        super().__init__()
        self.norm = operations.LayerNorm(clip_width, device=device, dtype=dtype)
        self.proj = operations.Linear(clip_width, context_dim, device=device, dtype=dtype)

    def forward(self, features: Tensor) -> Tensor:
        return self.proj(self.norm(features))


def build_projector(name: str, state: State, clip_width: int, context_dim: int) -> ModelPatcher:
    """The projector in float32. Raises ValueError naming the key that does not fit."""
    same_keys(name, state, IDProjector(clip_width, context_dim, device="meta").state_dict())
    load_device = comfy.model_management.get_torch_device()
    offload_device = comfy.model_management.unet_offload_device()
    projector = IDProjector(clip_width, context_dim, device=offload_device, dtype=torch.float32)
    projector.load_state_dict(dict(state))
    return core_patcher(projector.eval(), load_device, offload_device)


PROJECTOR = Part("ID projector", build_projector, ("clip_width", "context_dim"))


class CLIPProjectorEncoder:
    """The `Encoder` of RealisID: CLIP's penultimate features of the masked crop, projected; photos are averaged.

    Args:
        tokens, width: shape of the features that the checkpoint was trained on, [T, W].
        image_encoder: the name of the image encoder that gave them, and `fingerprint` its weights' (may be empty).
        path: from a photo to the crop, as it was in training; faces that nobody parsed yet are parsed that way.
    """

    def __init__(
        self, projector: ModelPatcher, tokens: int, width: int, image_encoder: str, fingerprint: str, path: PhotoPath
    ):
        self.projector = projector
        self.shape = tokens, width
        self.image_encoder, self.fingerprint = image_encoder, fingerprint
        self.path = path

    @property
    def digest(self) -> str:
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return digest(self.projector.model)

    def embed(self, image_encoder: object, faces: Faces) -> Encoded:
        if faces.parsed is None:
            method = self.path.parser if self.path.parser in ("person", "landmarks") else "auto"
            faces = parse_faces(faces, method, self.path.keep)
        crops = masked_crops(faces, CROP_SIZE)
        features = clip_features(image_encoder, crops)
        self._check(image_encoder, features)
        tokens = project(self.projector, features).mean(dim=0, keepdim=True)
        return Encoded(tokens, crops, self.extra(features), PhotoPath.of(faces).differences(self.path))

    def extra(self, features: Tensor) -> dict[str, Tensor]:
        """What else is known of the person of these features, by name."""
        return {}

    def null(self) -> Tensor:
        return project(self.projector, torch.zeros(1, *self.shape))

    def _check(self, image_encoder: object, features: Tensor) -> None:
        """Raises ValueError where the image encoder is not the one that the checkpoint was trained with."""
        if tuple(features.shape[1:]) != self.shape:
            raise ValueError(
                f"clip_vision gives {features.shape[1]} tokens of width {features.shape[2]}; this RealisID checkpoint "
                f"needs {self.shape[0]} of width {self.shape[1]} ({self.image_encoder}). Load that CLIP vision model."
            )
        if not self.fingerprint:
            logging.info("The RealisID checkpoint does not say which weights its image encoder had; not compared.")
        elif not same_fingerprint(self.fingerprint, fingerprint_of(image_encoder)):
            raise ValueError(
                f"clip_vision has the shape of {self.image_encoder}, but other weights than the image encoder that "
                "this RealisID checkpoint was trained with. Load that CLIP vision model."
            )


def project(projector: ModelPatcher, features: Tensor) -> Tensor:
    """`p_id` of CLIP features [B, T, clip_width], computed where the host wants it: [B, T, context_dim], float32."""
    comfy.model_management.load_models_gpu([projector])
    with torch.no_grad():
        tokens = projector.model(features.to(device=projector.load_device, dtype=torch.float32))
    return tokens.to(comfy.model_management.intermediate_device())


def clip_features(clip_vision: Any, crops: Tensor) -> Tensor:
    """CLIP's penultimate hidden layer for masked face crops [N, S, S, 3] in 0..1: [N, T, clip_width].

    Raises ValueError where `clip_vision` is no CLIP vision model.
    """
    if clip_vision is None:
        raise ValueError(
            "No CLIP vision model came with the RealisID model, and none is connected. Choose the one that it was "
            "trained with in Load Model, or connect it to clip_vision."
        )
    encode = getattr(clip_vision, "encode_image", None)
    if encode is None:
        raise ValueError(f"clip_vision is a {type(clip_vision).__name__}; expected what Load CLIP Vision gives.")
    return encode(crops, crop=False)["penultimate_hidden_states"]


def fingerprint_of(clip_vision: ClipVisionModel) -> str:
    """The fingerprint of a CLIP vision model's weights, for a checkpoint's config."""
    return fingerprint(clip_vision.model)
