"""Head pose and expression of a face."""

import json

import torch
from comfy_api.latest import io, ui

from ..realisid_core import perception
from ..realisid_core.conditions.contours import pose_expression_image
from .previews import landmarks_picture
from .sockets import FaceLandmarks as FaceLandmarksType
from .sockets import Faces, aliases


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
    def execute(cls, faces, size, outline) -> io.NodeOutput:
        if isinstance(faces, torch.Tensor):
            faces = perception.detect_faces(faces)
        others = isinstance(faces, dict)
        landmarks = faces if others else perception.face_landmarks(perception.require_faces(faces))
        found = perception.landmarked_faces(landmarks)
        drawings = torch.stack([pose_expression_image(face, size, outline) for face in found])
        details = json.dumps([perception.describe_face(face) for face in found])
        picture = ui.PreviewImage(landmarks_picture(landmarks, None if others else faces.image), cls=cls)
        return io.NodeOutput(landmarks, drawings, *perception.head_pose(found[0]), details, ui=picture)
