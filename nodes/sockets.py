"""Socket types: the pack's own, and those of newer hosts that older ones lack."""

from comfy_api.latest import io

RealisIDModel = io.Custom("REALISID_MODEL")
Faces = io.Custom("FACES")
IDEmbedding = io.Custom("ID_EMBEDDING")
FaceBoxes = io.Custom("FACE_BOXES")
Persons = io.Custom("PERSONS")
FaceLandmarks = io.Custom("FACE_LANDMARKS")
BoundingBox = io.Custom("BOUNDING_BOX")
