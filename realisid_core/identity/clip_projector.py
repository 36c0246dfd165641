"""CLIP features of a parsed face crop → ID embedding `p_id` (paper, "ID and Text Embeddings")."""

from dataclasses import dataclass

import comfy.model_management
import comfy.ops
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ..perception import Faces, face_landmarks, masked_crops, parse_faces

CROP_SIZE = 512


@dataclass(frozen=True)
class IDEmbedding:
    """One individual, ready to be placed.

    Attributes:
        tokens: `p_id`, [1, T, context_dim].
        landmarks: the reference photo's own face in the host's FACE_LANDMARKS form; its pose and expression serve
            where no other photo gives them. None where no landmarks were found.
    """

    tokens: Tensor
    landmarks: dict | None = None


class IDProjector(nn.Module):
    """Aligns CLIP features with the UNet's context space: [B, T, clip_width] → [B, T, context_dim]."""

    def __init__(self, clip_width: int, context_dim: int, operations=comfy.ops.manual_cast, device=None, dtype=None):
        super().__init__()
        self.norm = operations.LayerNorm(clip_width, device=device, dtype=dtype)
        self.proj = operations.Linear(clip_width, context_dim, device=device, dtype=dtype)

    def forward(self, features: Tensor) -> Tensor:
        return self.proj(self.norm(features))


def projector_of(realisid) -> ModelPatcher:
    """The ID projector of a RealisID model. Raises ValueError where its checkpoint has none."""
    if realisid.projector is None:
        raise ValueError(f"The RealisID model {realisid.name} has no ID projector. Load a complete checkpoint.")
    return realisid.projector


def project(projector: ModelPatcher, features: Tensor) -> Tensor:
    """`p_id` of CLIP features [B, T, clip_width], computed where the host wants it: [B, T, context_dim], float32."""
    comfy.model_management.load_models_gpu([projector])
    with torch.no_grad():
        tokens = projector.model(features.to(device=projector.load_device, dtype=torch.float32))
    return tokens.to(comfy.model_management.intermediate_device())


def null_identity(projector: ModelPatcher, tokens: int) -> Tensor:
    """The projection of all-zero CLIP features, which is what "without ID embedding" meant in training: [1, T, D]."""
    return project(projector, torch.zeros(1, tokens, projector.model.proj.in_features))


def clip_features(clip_vision, crops: Tensor) -> Tensor:
    """CLIP's penultimate hidden layer for masked face crops [N, S, S, 3] in 0..1: [N, T, clip_width]."""
    return clip_vision.encode_image(crops, crop=False)["penultimate_hidden_states"]


def id_embedding(realisid, clip_vision, crops: Tensor) -> Tensor:
    """`p_id` of one person from one or several masked crops [N, S, S, 3], averaged over the photos: [1, T, D].

    Raises:
        ValueError: where the CLIP vision model is of another kind than the checkpoint was trained with.
    """
    features = clip_features(clip_vision, crops)
    expected = (realisid.config.clip_tokens, realisid.config.clip_width)
    if tuple(features.shape[1:]) != expected:
        raise ValueError(
            f"clip_vision gives {features.shape[1]} tokens of width {features.shape[2]}; this RealisID checkpoint "
            f"needs {expected[0]} of width {expected[1]} ({realisid.config.clip_vision}). Load that CLIP vision model."
        )
    return project(projector_of(realisid), features).mean(dim=0, keepdim=True)


def embed_person(realisid, clip_vision, faces: Faces) -> tuple[IDEmbedding, Tensor]:
    """The ID embedding of the person whose photos these faces are, and the masked crops CLIP saw, [N, S, S, 3].

    Raises:
        ValueError: no face, a checkpoint without ID projector, or a CLIP vision model of another kind.
    """
    projector_of(realisid)  # before the work that its lack would waste
    if len(faces) == 0:
        raise ValueError("faces holds no face. Connect faces that RealisID_DetectFaces found.")
    if faces.parsed is None:
        faces = parse_faces(faces, "auto", realisid.config.keep)
    crops = masked_crops(faces, CROP_SIZE)
    found = [face for frame in face_landmarks(faces, skip=True)["frames"] for face in frame]
    return IDEmbedding(id_embedding(realisid, clip_vision, crops), found[0] if found else None), crops
