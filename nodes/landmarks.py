"""Head pose and expression of a face."""

import json
from functools import partial

import torch
from comfy_api.latest import io, ui

from ..realisid_core import perception
from ..realisid_core.conditions.contours import pose_expression_image
from ..realisid_core.conditions.mesh import mesh_image
from ..realisid_core.identity.encoder import IDEmbedding as Embedding
from ..realisid_core.perception.retarget import retarget_all
from .choices import chosen
from .previews import landmarks_picture
from .sockets import FaceLandmarks as FaceLandmarksType
from .sockets import Faces, IDEmbedding, aliases

DRAWINGS = CONTOURS, _ = "contours", "mesh"


def _landmarks_of(name: str, value: object) -> dict:
    """FACE_LANDMARKS of what an input holds: landmarks, faces, or a picture. Raises ValueError naming the input."""
    try:
        if isinstance(value, torch.Tensor):
            value = perception.detect_faces(value)
        return value if isinstance(value, dict) else perception.face_landmarks(perception.require_faces(value))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


class FaceLandmarks(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_FaceLandmarks",
            display_name="Face Landmarks (RealisID)",
            category="RealisID",
            **aliases("pose", "head pose", "expression", "keypoints", "face mesh", "mediapipe"),
            description="Reads the head pose and expression of each face, and draws them: the pose-expression image.",
            is_output_node=True,
            inputs=[
                io.MultiType.Input(
                    "faces",
                    types=[Faces, io.Image, FaceLandmarksType],
                    tooltip="Faces from Detect Faces, a picture (its faces are then detected with the usual "
                    "settings), or landmarks of ComfyUI's own face node, to be drawn.",
                ),
                io.Int.Input(
                    "size",
                    default=512,
                    min=64,
                    max=2048,
                    step=8,
                    tooltip="Edge of the pose-expression images, in pixels.",
                ),
                io.Boolean.Input(
                    "outline",
                    default=False,
                    tooltip="Draw the face's outline as well. What the branches are shown is a setting of the RealisID "
                    "model.",
                ),
                io.Combo.Input(
                    "drawing",
                    options=list(DRAWINGS),
                    default=CONTOURS,
                    optional=True,
                    tooltip="What is drawn. contours: the lines that RealisID's local branch reads. mesh: the face's "
                    "surface as a normal map, with the lines on top, for other ControlNets.",
                ),
            ],
            outputs=[
                FaceLandmarksType.Output(display_name="landmarks", tooltip="The landmarks, in ComfyUI's own form."),
                io.Image.Output(display_name="pose_expression", tooltip="One pose-expression image a face."),
                io.Float.Output(
                    display_name="yaw", tooltip="First face, degrees: above 0 it is turned to the picture's right."
                ),
                io.Float.Output(display_name="pitch", tooltip="First face, degrees: above 0 it looks up."),
                io.Float.Output(display_name="roll", tooltip="First face, degrees: above 0 it is tilted clockwise."),
                io.String.Output(
                    display_name="details", tooltip="JSON: per face the head pose and the blendshapes above 0.1."
                ),
            ],
        )

    @classmethod
    def execute(cls, faces, size, outline, drawing=CONTOURS) -> io.NodeOutput:
        chosen("drawing", drawing, DRAWINGS)
        if isinstance(faces, torch.Tensor):
            faces = perception.detect_faces(faces)
        landmarks = _landmarks_of("faces", faces)
        found = perception.landmarked_faces(landmarks)
        drawn = partial(mesh_image, size=size)
        if drawing == CONTOURS:
            drawn = partial(pose_expression_image, size=size, outline=outline)
        drawings = torch.stack([drawn(face) for face in found])
        details = json.dumps([perception.describe_face(face) for face in found])
        picture = ui.PreviewImage(landmarks_picture(landmarks, getattr(faces, "image", None)), cls=cls)
        return io.NodeOutput(landmarks, drawings, *perception.head_pose(found[0]), details, ui=picture)


class RetargetFace(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_RetargetFace",
            display_name="Retarget Face (RealisID)",
            category="RealisID",
            **aliases("expression transfer", "pose", "face shape", "face swap", "likeness", "live portrait"),
            description="Gives one person's face shape the head pose and expression of another's photo. Without it, "
            "the photo that lends its pose lends the shape of its face too.",
            inputs=[
                io.MultiType.Input(
                    "reference",
                    types=[IDEmbedding, Faces, io.Image, FaceLandmarksType],
                    tooltip="Whose face shape: the person's ID embedding, which knows the first photo's, or their "
                    "faces, pictures or landmarks. Several photos of the person are averaged.",
                ),
                io.MultiType.Input(
                    "donor",
                    types=[FaceLandmarksType, Faces, io.Image],
                    tooltip="Whose head pose and expression: landmarks, faces or a picture of anybody.",
                ),
                io.Int.Input(
                    "size",
                    default=512,
                    min=64,
                    max=2048,
                    step=8,
                    tooltip="Edge of the drawings, in pixels.",
                ),
            ],
            outputs=[
                FaceLandmarksType.Output(
                    display_name="landmarks", tooltip="For landmarks of Person: the donor's, in the reference's shape."
                ),
                io.Image.Output(display_name="drawing", tooltip="The pose-expression image of each, outline included."),
            ],
        )

    @classmethod
    def execute(cls, reference, donor, size) -> io.NodeOutput:
        reference, donor = _reference_landmarks(reference), _landmarks_of("donor", donor)
        landmarks = retarget_all(reference, donor)
        drawings = [pose_expression_image(face, size, True) for face in perception.landmarked_faces(landmarks)]
        pairs = torch.stack([landmarks_picture(donor), landmarks_picture(landmarks)], 1)
        return io.NodeOutput(landmarks, torch.stack(drawings), ui=ui.PreviewImage(pairs.flatten(0, 1), cls=cls))


def _reference_landmarks(reference: object) -> dict:
    """FACE_LANDMARKS of the reference person. Raises ValueError for an ID embedding that has none."""
    if not isinstance(reference, Embedding):
        return _landmarks_of("reference", reference)
    if reference.landmarks is None:
        raise ValueError(
            "The ID embedding in reference knows no landmarks: none were found in its photo, or MediaPipe is not "
            "installed. Connect faces of a clearer photo of the person instead."
        )
    return {"frames": [[reference.landmarks]]}
