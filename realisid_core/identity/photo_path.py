"""The way from a photo to what the image encoder sees: recorded in training, and compared where it is done again."""

from dataclasses import dataclass

from ..perception.faces import PARSERS, Faces

SQUARES = {
    "landmarks": "the squares round the landmarks",
    "detector": "the detector's own squares",
    "given": "boxes that were given",
}
MARGIN_TOLERANCE = 0.15  # of a box's side: detectors and landmarks disagree by as much


@dataclass(frozen=True)
class PhotoPath:
    """How photos became masked crops.

    Attributes:
        detector: one of `detection.BACKENDS`; "" where none was used.
        face_box: what the square boxes are, one of `faces.BOXES`; "" where it is not known.
        face_margin: by how much of its side every box was enlarged.
        parser: a key of `faces.PARSERS`.
        keep: what was kept, one of `parsing.KEEP`.
    """

    detector: str
    face_box: str
    face_margin: float
    parser: str
    keep: str

    @classmethod
    def of(cls, faces: Faces) -> "PhotoPath":
        """What was done to these faces; unparsed ones were not masked."""
        parser, keep = (faces.parsed.parser, faces.parsed.keep) if faces.parsed else ("none", "everything")
        return cls(faces.detector, faces.box, faces.margin, parser, keep)

    @classmethod
    def before(cls, base: str, keep: str) -> "PhotoPath":
        """What was done in the training of files from before it was recorded, by what they do say.

        The miniature learned from drawn people: their own masks, of face and hair or of the face alone, in boxes 5 %
        tighter to 25 % wider than the landmarks' square. Photos were cut by BiSeNet, or, for the face alone, to the
        outline.
        """
        if base == "miniature":
            return WORLD
        return cls("yunet", "detector", 0.0, {"face": "landmarks", "everything": "none"}.get(keep, "bisenet"), keep)

    def differences(self, trained: "PhotoPath") -> list[str]:
        """What is not as in training and matters, one sentence each, with what to do."""
        found = []
        if self.keep != trained.keep:
            found.append(
                f"The crops keep {self.keep}; the model was trained with {trained.keep}. "
                f"In Parse Faces choose keep '{trained.keep}', or leave Parse Faces out."
            )
        elif self.parser != trained.parser and trained.parser != "world":  # whose masks every parser imitates
            found.append(
                f"The crops were cut by {PARSERS[self.parser]}; the model was trained with {PARSERS[trained.parser]}."
            )
        if self.face_box and trained.face_box and self.face_box not in (trained.face_box, "given"):
            found.append(
                f"The boxes are {SQUARES[self.face_box]}; the model was trained with {SQUARES[trained.face_box]}."
            )
        elif self.face_box == trained.face_box == "detector" and self.detector != trained.detector:
            found.append(f"The faces were found by {self.detector}; the model was trained with {trained.detector}.")
        if abs(self.face_margin - trained.face_margin) > MARGIN_TOLERANCE:
            found.append(
                f"The boxes have a margin of {self.face_margin:g}; the model was trained with {trained.face_margin:g}. "
                "Set margin in Detect Faces."
            )
        return found


WORLD = PhotoPath("", "landmarks", 0.1, "world", "face and hair")
"""The way of drawn people, whose masks and landmarks are known."""
