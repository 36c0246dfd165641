"""From photos of a person to the ID embedding."""

from comfy_api.latest import io, ui

from ..realisid_core.persons import embed_person
from .notes import said
from .sockets import Faces, IDEmbedding, RealisIDModel, aliases, connected


class IDEmbeddingNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_IDEmbedding",
            display_name="ID Embedding (RealisID)",
            category="RealisID",
            **aliases("identity", "likeness", "faceid", "instantid", "face embedding", "same person"),
            description="Reads from photos who a person is. Several photos of the same person are averaged.",
            hidden=[io.Hidden.unique_id],
            inputs=[
                RealisIDModel.Input("realisid", tooltip="The RealisID model whose branches will read the embedding."),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="The CLIP vision model that the RealisID model was trained with. InstantID needs none.",
                ),
                Faces.Input(
                    "faces",
                    tooltip="Faces of ONE person: one photo, or a batch of several. Faces that no node has parsed yet "
                    "are parsed here as the RealisID model was trained.",
                ),
            ],
            outputs=[
                IDEmbedding.Output(
                    display_name="id_embedding",
                    tooltip="The person's identity, with the pose and expression of the first photo.",
                )
            ],
        )

    @classmethod
    def execute(cls, realisid, faces, clip_vision=None) -> io.NodeOutput:
        connected(realisid=realisid, faces=faces, clip_vision=clip_vision)
        embedding, encoded = embed_person(realisid, clip_vision, faces)
        shown = ui.PreviewImage(encoded.seen, cls=cls).as_dict()
        return io.NodeOutput(embedding, ui=shown | said(cls, encoded.notes))
