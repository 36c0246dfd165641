"""What a whole picture is like: CLIP-I, CLIP-T, the aesthetic score and FID. Libraries are imported where used."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checks import first_line

BATCH = 32
HEAD = (768, 1024, 128, 64, 16, 1)  # widths of the aesthetic head


class Clip:
    """CLIP from a folder as Hugging Face lays it out (config.json, model.safetensors, tokenizer, preprocessor).

    Raises:
        ValueError: transformers is missing, or the folder holds no CLIP; says which.
    """

    def __init__(self, folder: str | Path):
        try:
            from transformers import CLIPModel, CLIPProcessor
        except ImportError as error:
            raise ValueError(
                f"CLIP-I and CLIP-T need the package transformers: run `python -m pip install transformers`. ({error})"
            ) from error
        try:
            self._model = CLIPModel.from_pretrained(str(folder), use_safetensors=True, local_files_only=True).eval()
            self._processor = CLIPProcessor.from_pretrained(str(folder), local_files_only=True)
        except Exception as error:  # what it raises differs by version and by what is missing
            raise ValueError(
                f"{folder} holds no CLIP in Hugging Face's layout ({first_line(error)}). Put the whole folder of "
                "openai/clip-vit-large-patch14 there, with model.safetensors."
            ) from error

    @torch.inference_mode()
    def images(self, pictures: Sequence[np.ndarray]) -> Tensor:
        """Unit vectors [N, D] of pictures uint8 [H, W, 3]."""
        found = []
        for start in range(0, len(pictures), BATCH):
            inputs = self._processor(images=list(pictures[start : start + BATCH]), return_tensors="pt")
            found.append(_vectors(self._model.get_image_features(**inputs)))
        return torch.cat(found)

    @torch.inference_mode()
    def texts(self, prompts: Sequence[str]) -> Tensor:
        """Unit vectors [N, D]; what a prompt has over 77 tokens is cut off."""
        inputs = self._processor(text=list(prompts), padding=True, truncation=True, return_tensors="pt")
        return _vectors(self._model.get_text_features(**inputs))


def clip_i(clip: Clip, pictures: Sequence[np.ndarray], references: Sequence[np.ndarray]) -> list[float]:
    """CLIP-I of each picture with its reference, -1..1: the cosine of their image features."""
    return (clip.images(pictures) * clip.images(references)).sum(1).tolist()


def clip_t(clip: Clip, pictures: Sequence[np.ndarray], prompts: Sequence[str]) -> list[float]:
    """CLIP-T of each picture with its prompt, -1..1 (InstantFamily, Eq. 9: TextSim)."""
    return (clip.images(pictures) * clip.texts(prompts)).sum(1).tolist()


class Aesthetic:
    """The aesthetic score (RealisID's ASP), about 1..10: LAION's head on the features of CLIP ViT-L/14.

    Args:
        path: `sac+logos+ava1-l14-linearMSE.pth` of improved-aesthetic-predictor, read with `weights_only`.

    Raises:
        ValueError: another file.
    """

    def __init__(self, path: str | Path):
        layers: list[nn.Module] = []
        for wide, narrow in pairwise(HEAD):
            layers += [nn.Linear(wide, narrow), nn.Dropout()]
        self._head = nn.Sequential(*_numbered(layers[:-1]))
        try:
            weights = torch.load(path, map_location="cpu", weights_only=True)
            self._head.load_state_dict({key.removeprefix("layers."): value for key, value in weights.items()})
        except Exception as error:  # what readers raise differs by version and by what is broken
            raise ValueError(
                f"{Path(path).name} is not the aesthetic head ({first_line(error)}). Fetch "
                "sac+logos+ava1-l14-linearMSE.pth of https://github.com/christophschuhmann/improved-aesthetic-predictor."
            ) from error
        self._head.eval().requires_grad_(False)

    @torch.inference_mode()
    def scores(self, features: Tensor) -> list[float]:
        """Of unit image features [N, 768]. Raises ValueError where they are of another CLIP."""
        if features.shape[-1] != HEAD[0]:
            raise ValueError(
                f"The aesthetic head reads {HEAD[0]} features and the CLIP gives {features.shape[-1]}. Use CLIP "
                "ViT-L/14 (openai/clip-vit-large-patch14)."
            )
        return self._head(F.normalize(features, dim=-1))[:, 0].tolist()


def fid(real: Iterable[np.ndarray], drawn: Iterable[np.ndarray], features: int | nn.Module = 2048) -> float:
    """The Fréchet inception distance (Heusel et al. 2017) of two sets of pictures uint8 [H, W, 3], each of one size.

    Args:
        features: 2048 of InceptionV3, whose weights torch-fidelity fetches; or a network of one's own.

    Raises:
        ValueError: torchmetrics or torch-fidelity is missing, or a set has fewer than two pictures.
    """
    try:
        from torchmetrics.image.fid import FrechetInceptionDistance

        metric = FrechetInceptionDistance(feature=features)
    except ImportError as error:  # ModuleNotFoundError of torchmetrics itself where torch-fidelity is missing
        raise ValueError(
            f"FID needs torchmetrics and torch-fidelity: `python -m pip install torchmetrics torch-fidelity`. ({error})"
        ) from error
    for name, pictures, is_real in (("real", real, True), ("drawn", drawn, False)):
        count = 0
        for picture in pictures:
            metric.update(torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None], real=is_real)
            count += 1
        if count < 2:
            raise ValueError(f"FID of {count} {name} pictures is not defined; give two at least, better thousands.")
    return float(metric.compute())


def _vectors(features: object) -> Tensor:
    """Unit vectors of what transformers gives: a tensor, or since version 5 an output that holds it."""
    tensor = features if isinstance(features, Tensor) else features.pooler_output  # pyright: ignore
    return F.normalize(tensor.float(), dim=-1)


def _numbered(layers: list[nn.Module]) -> list[nn.Module]:
    """The head's layers at the numbers they have in the file: 0, 2, 4, 6, 7 (no dropout before the last)."""
    return [*layers[:7], layers[8]]
