"""Face parsing: what of the crop belongs to the person; the rest is zeroed (paper, section 3.1 (1))."""

from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec

import comfy.model_management
import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..geometry import square
from .detection import managed
from .faces import Box, Face, Faces, Parsing, crop_square
from .landmark_paths import FACE_OVAL
from .landmarks import face_landmarks, landmarked
from .model_files import BISENET, load_checked, load_weights, placed
from .person_mask import face_and_hair, filled, outline_of

# Classes of CelebAMask-HQ: 0 background, 1 skin, 2-3 brows, 4-5 eyes, 6 glasses, 7-8 ears, 9 earring, 10 nose,
# 11 mouth, 12-13 lips, 14 neck, 15 necklace, 16 cloth, 17 hair, 18 hat.
FACE_CLASSES = (1, 2, 3, 4, 5, 6, 10, 11, 12, 13)
KEEP = {
    "face": FACE_CLASSES,
    "face and hair": (*FACE_CLASSES, 7, 8, 17),
    "head and neck": (*FACE_CLASSES, 7, 8, 9, 14, 15, 17, 18),
    "everything": tuple(range(19)),
}
METHODS = ("auto", "person", "bisenet", "landmarks")
PARSED_EDGE = 512  # BiSeNet's own
SURROUNDINGS = 0.6  # margin round the found box: the framing of CelebAMask-HQ, with hair and chin


def parse_faces(faces: Faces, method: str = "auto", keep: str = "face and hair") -> Faces:
    """Give every face a mask [H, W] of what is kept, 0..1, in the frame of its image.

    Args:
        method: `person` (MediaPipe's person mask, shipped: face, or face and hair), `bisenet` (every `keep`; its
            weights are fetched when they are not there), `landmarks` (the face's outline: face only), or `auto`:
            BiSeNet where its weights and facexlib are, else the person mask.
        keep: one of `KEEP`.

    Returns:
        New Faces; `parsed` says what was used, and what was really kept.

    Raises:
        ValueError: unknown method or keep, weights that cannot be had; by `landmarks`, a face without landmarks.
    """
    if method not in METHODS or keep not in KEEP:
        raise ValueError(f"method {method!r}, keep {keep!r}; expected one of {METHODS} and one of {tuple(KEEP)}.")
    if keep == "everything":
        masks, parsed = _everything(faces), Parsing("none", keep)
    elif takes_bisenet(method):
        masks, parsed = _by_bisenet(faces, keep), Parsing("bisenet", keep)
    elif method == "landmarks":
        masks, parsed = _by_landmarks(faces), Parsing("landmarks", "face", _lacking(keep, "face"))
    else:
        faces, kept = landmarked(faces), "face" if keep == "face" else "face and hair"
        notes = _lacking(keep, kept), _without_landmarks(faces)
        masks, parsed = _by_person(faces, kept), Parsing("person", kept, "; ".join(filter(None, notes)))
    parsed_faces = [[replace(face, mask=next(masks)) for face in found] for found in faces.faces]
    return replace(faces, faces=parsed_faces, parsed=parsed)


def _lacking(asked: str, kept: str) -> str:
    """What of `asked` is not in `kept`, in words."""
    if asked == kept:
        return ""
    if asked == "face and hair":
        return "no hair: choose the method person"
    return f"{asked} needs {BISENET.name} and facexlib"


def _without_landmarks(faces: Faces) -> str:
    """How many faces had to do with an average outline, in words."""
    lacking = sum(face.landmarks is None for _, face in faces)
    if not lacking:
        return ""
    return f"no landmarks in {lacking} of {len(faces)}, cut at the chin by the detector's box"


def takes_bisenet(method: str) -> bool:
    """Whether BiSeNet parses by this method; by "auto" where its weights are placed and facexlib is installed."""
    return method == "bisenet" or (method == "auto" and bool(placed(BISENET) and find_spec("facexlib")))


def masked_crops(faces: Faces, size: int) -> Tensor:
    """What CLIP sees of each person: the face's square box, what is not kept zeroed: [N, size, size, 3] in 0..1.

    Faces without a mask are cropped whole. Past the frame there is zero.
    """
    pixels = {index: faces.pixels(index) for index, _ in faces}
    crops = [_masked_crop(pixels[index], face, size) for index, face in faces]
    return torch.stack(crops) if crops else torch.zeros(0, size, size, 3)


def _masked_crop(pixels: np.ndarray, face: Face, size: int) -> Tensor:
    crop = torch.from_numpy(crop_square(pixels, face.box, size)).float() / 255
    if face.mask is None:
        return crop
    mask = torch.from_numpy(crop_square(face.mask.numpy(), face.box, size)).clamp(0, 1)
    return crop * rearrange(mask, "h w -> h w 1")


def _everything(faces: Faces):
    for _ in faces:
        yield torch.ones(faces.image.shape[1:3])


def _by_landmarks(faces: Faces):
    """The face's outline, filled."""
    height, width = faces.image.shape[1:3]
    for frame in face_landmarks(faces)["frames"]:
        for face in frame:
            yield torch.from_numpy(filled(face["landmarks_xy"][list(FACE_OVAL)], height, width))


def _by_person(faces: Faces, keep: str):
    height, width = faces.image.shape[1:3]
    for index, found in enumerate(faces.faces):
        pixels = faces.pixels(index) if found else None
        left_out = faces.others[index] if faces.others else []
        for face in found:
            if keep == "face":
                yield torch.from_numpy(filled(outline_of(face).oval, height, width))
                continue
            others = [*left_out, *(other.square for other in found if other is not face)]
            yield _in_frame(*face_and_hair(pixels, face, others), height, width)


def _by_bisenet(faces: Faces, keep: str):
    height, width = faces.image.shape[1:3]
    pixels = {index: faces.pixels(index) for index, _ in faces}
    for index, face in faces:
        box = square(*face.found, SURROUNDINGS)
        kept = _kept(crop_square(pixels[index], box, PARSED_EDGE), keep)
        yield _in_frame(kept, box, height, width)


def _kept(crop: np.ndarray, keep: str) -> np.ndarray:
    """BiSeNet's verdict on a crop, uint8 [512, 512, 3] → float32 [512, 512] of 0 and 1."""
    patcher = _bisenet_model()
    comfy.model_management.load_models_gpu([patcher])
    x = rearrange(torch.from_numpy(crop).float() / 255, "h w c -> 1 c h w")
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        logits = patcher.model(((x - mean) / std).to(patcher.load_device))[0]
    return torch.isin(logits[0].argmax(0).cpu(), torch.tensor(KEEP[keep])).float().numpy()


def _in_frame(kept: np.ndarray, box: Box, height: int, width: int) -> Tensor:
    """A mask of `box` put into the image's frame, bilinear."""
    import cv2

    x0, y0, x1, _ = box
    scale = (x1 - x0) / len(kept)
    to_image = np.array([[scale, 0, x0 + scale / 2 - 0.5], [0, scale, y0 + scale / 2 - 0.5]])
    return torch.from_numpy(cv2.warpAffine(kept, to_image, (width, height), flags=cv2.INTER_LINEAR))


@lru_cache
def _bisenet_model():
    try:
        from facexlib.parsing.bisenet import BiSeNet
    except ImportError as error:
        raise ValueError(
            "BiSeNet needs the Python package facexlib: run `python -m pip install facexlib` in ComfyUI's Python and "
            f"restart, or choose the method landmarks. ({error})"
        ) from error
    network = BiSeNet(num_class=19)
    load_checked(network, load_weights(BISENET), BISENET)
    return managed(network)
