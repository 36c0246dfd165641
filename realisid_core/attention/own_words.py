"""What a person's own prompt may be: one text, for the person's region, the whole time."""

import torch
from torch import Tensor

# What nodes put into a conditioning that a person's own prompt cannot have: its key there, in words, and what is none.
REFUSED = (
    ("area", "an area", None),
    ("mask", "a mask", None),
    ("control", "a ControlNet", None),
    ("gligen", "GLIGEN boxes", None),
    ("hooks", "hooks", None),
    ("start_percent", "a range of steps", 0.0),
    ("end_percent", "a range of steps", 1.0),
)
LONGEST = 77 * 8  # tokens


def words_of(conditioning: object) -> Tensor:
    """The tokens [1, T, D] of a person's own prompt.

    Raises:
        ValueError: several texts, or a text with an area, a mask, a ControlNet or a range of steps: the person's region
            says where the words act, and nothing else can be kept for it.
    """
    if not isinstance(conditioning, (list, tuple)) or not all(
        isinstance(entry, (list, tuple)) and len(entry) == 2 and isinstance(entry[1], dict) for entry in conditioning
    ):
        raise ValueError(f"prompt is a {type(conditioning).__name__}; expected what CLIP Text Encode gives.")
    if len(conditioning) != 1:
        raise ValueError(
            f"prompt has {len(conditioning)} texts; a person has one. Connect CLIP Text Encode directly, without "
            "Combine Conditionings."
        )
    tokens, options = conditioning[0]
    for key, what, none in REFUSED:
        if options.get(key, none) is not none and options[key] != none:
            raise ValueError(
                f"prompt has {what}, which a person's own prompt cannot have: it acts in the person's region, at every "
                "step. Connect CLIP Text Encode directly."
            )
    if not isinstance(tokens, Tensor) or tokens.ndim != 3 or tokens.shape[0] != 1 or not 0 < tokens.shape[1] <= LONGEST:
        shape = list(tokens.shape) if isinstance(tokens, Tensor) else type(tokens).__name__
        raise ValueError(f"prompt has tokens of shape {shape}; expected [1, 77, width], or a few times 77.")
    if not torch.isfinite(tokens).all():
        raise ValueError("prompt has values that are NaN or infinite. Encode it again, with a text encoder that works.")
    return tokens
