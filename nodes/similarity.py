"""Whether it is them: the likeness of each person in finished pictures, and the best pictures of a batch."""

import json

import torch
from comfy_api.latest import io, ui

from ..realisid_core.metrics.judges import AUTO, JUDGES, Judge, load_judge
from ..realisid_core.metrics.scoring import Score, likeness, score_pictures, wanted_people
from ..realisid_core.perception import Faces as FoundFaces
from ..realisid_core.perception.faces import checked_image
from .choices import chosen
from .previews import scores_picture
from .sockets import FaceBoxes, Faces, Persons, aliases, connected, received

WORDS = "likeness", "face similarity", "identity score", "same person", "arcface", "sface", "compare faces"


def _inputs(image: str) -> list[io.Input]:
    return [
        io.Image.Input("image", tooltip=image),
        Persons.Input(
            "persons",
            optional=True,
            tooltip="The people as they went into the picture. Their own photos are compared with the faces in their "
            "boxes.",
        ),
        Faces.Input(
            "references",
            optional=True,
            tooltip="In place of persons: faces of the person's photos, from Detect Faces. With several boxes, one "
            "face for each box, in their order.",
        ),
        FaceBoxes.Input(
            "boxes",
            optional=True,
            tooltip="With references: where their faces should be. Not connected: the face most like them counts.",
        ),
        io.Combo.Input(
            "judge",
            options=[AUTO, *JUDGES],
            default=AUTO,
            tooltip="Who compares. auto: SFace where its file lies in models/sface, else the miniature's judge, which "
            "knows drawn people only. sface fetches 38.7 MB when chosen. facenet and arcface need files of yours.",
        ),
    ]


def _scored(image, persons, references, boxes, judge) -> tuple[list[list[Score]], Judge]:
    image = checked_image(image)
    connected(persons=persons, boxes=boxes)
    if references is not None:
        references = received("references", references, FoundFaces)
    people = wanted_people(persons, references, boxes)
    judging = load_judge(chosen("judge", judge, [AUTO, *JUDGES]))
    return score_pictures(image, people, judging), judging


def _lines(scored: list[list[Score]], judge: Judge, order: list[int]) -> str:
    """What the node shows: who judged, and a line for each picture."""
    said = [f"Judge: {judge.name}. {judge.note}".strip()]
    for number in order:
        each = [f"{one.name} {one.similarity:.2f}" if one.square else f"{one.name} not found" for one in scored[number]]
        said.append(f"{number + 1}: {likeness(scored[number]):.3f} ({', '.join(each)})")
    return "\n".join(said)


def _details(scored: list[list[Score]], judge: Judge, order: list[int]) -> str:
    def picture(number: int) -> dict:
        people = [
            {"name": one.name, "similarity": round(one.similarity, 4), "found": one.square is not None}
            for one in scored[number]
        ]
        return {"picture": number + 1, "likeness": round(likeness(scored[number]), 4), "people": people}

    return json.dumps({"judge": judge.name, "pictures": [picture(number) for number in order]}, ensure_ascii=False)


DETAILS = "JSON: the judge; per picture its number from 1, its likeness, and each person's name and similarity."


class IDSimilarity(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_IDSimilarity",
            display_name="ID Similarity (RealisID)",
            category="RealisID",
            description="How much each person in a picture looks like their photos, from -1 to 1.",
            **aliases(*WORDS),
            is_output_node=True,
            inputs=_inputs("One or more finished pictures."),
            outputs=[
                io.Image.Output(display_name="picture", tooltip="The pictures with everybody's score drawn in."),
                io.Float.Output(
                    display_name="likeness",
                    tooltip="The mean of everybody in all pictures, to sort by. A face that was not found counts as 0.",
                ),
                io.String.Output(display_name="details", tooltip=DETAILS),
            ],
        )

    @classmethod
    def execute(cls, image, judge=AUTO, persons=None, references=None, boxes=None) -> io.NodeOutput:
        scored, judging = _scored(image, persons, references, boxes, judge)
        order = list(range(len(scored)))
        picture = scores_picture(image, scored)
        mean = sum(map(likeness, scored)) / len(scored)
        shown = ui.PreviewImage(picture, cls=cls).as_dict() | ui.PreviewText(_lines(scored, judging, order)).as_dict()
        return io.NodeOutput(picture, mean, _details(scored, judging, order), ui=shown)


class BestOfBatch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="RealisID_BestOfBatch",
            display_name="Best of Batch (RealisID)",
            category="RealisID",
            description="The pictures of a batch in the order of their likeness, the best first.",
            **aliases(*WORDS, "sort images", "pick best", "select image", "rank"),
            inputs=[
                *_inputs("A batch of finished pictures with the same people."),
                io.Int.Input("keep", default=0, min=0, max=4096, tooltip="How many to keep. 0 keeps all."),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The pictures, the best first."),
                io.Float.Output(display_name="likeness", tooltip="The likeness of the best picture."),
                io.String.Output(display_name="details", tooltip=DETAILS),
            ],
        )

    @classmethod
    def execute(cls, image, judge=AUTO, keep=0, persons=None, references=None, boxes=None) -> io.NodeOutput:
        if keep < 0:
            raise ValueError(f"keep is {keep}; expected 0 for all pictures, or how many.")
        scored, judging = _scored(image, persons, references, boxes, judge)
        order = sorted(range(len(scored)), key=lambda number: -likeness(scored[number]))
        order = order[: keep or len(order)]
        best = likeness(scored[order[0]])
        shown = ui.PreviewText(_lines(scored, judging, order)).as_dict()
        return io.NodeOutput(image[torch.tensor(order)], best, _details(scored, judging, order), ui=shown)
