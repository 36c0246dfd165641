"""The pack's nodes, listed in `NODES`; each file has one topic.

A file of nodes holds schemas and short `execute` methods, and imports what it needs of `realisid_core` at its top: the
host has torch and its own modules in memory by then. What start-up does not need and the host has not imported (OpenCV,
MediaPipe, facexlib) is imported in the core, inside of the function that first uses it.
"""

from comfy_api.latest import ComfyExtension, io

from .apply import ApplyGlobalBranch, ApplyLocalBranch
from .apply_all import ApplyRealisID
from .attention import IdentityAttentionNode
from .boxes import BoxesFromFaces, LocationBoxes
from .detect import DetectFaces
from .from_photo import PersonFromPhoto
from .guidance import IdentityGuidanceNode
from .identity import IDEmbeddingNode
from .instantid import LoadInstantID
from .landmarks import FaceLandmarks, RetargetFace
from .miniature import LoadMiniature
from .model import LoadModel
from .parse import ParseFaces
from .persons import CombinePersons, Person
from .portraits import ExamplePortrait
from .routes import serve
from .similarity import BestOfBatch, IDSimilarity

NODES: list[type[io.ComfyNode]] = [
    LoadModel,
    LoadInstantID,
    LoadMiniature,
    ExamplePortrait,
    DetectFaces,
    ParseFaces,
    FaceLandmarks,
    RetargetFace,
    IDEmbeddingNode,
    LocationBoxes,
    BoxesFromFaces,
    PersonFromPhoto,
    ApplyRealisID,
    Person,
    CombinePersons,
    ApplyLocalBranch,
    ApplyGlobalBranch,
    IdentityAttentionNode,
    IdentityGuidanceNode,
    IDSimilarity,
    BestOfBatch,
]


class RealisIDExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES


async def comfy_entrypoint() -> RealisIDExtension:
    serve()
    return RealisIDExtension()
