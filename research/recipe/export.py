"""From training states to the files that the pack ships, and pictures from these through the host."""

import json
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from realisid_core.miniature import initial, loading
from realisid_core.perception.faces import to_uint8
from realisid_core.training.ema import averaged_model

from ..world import caption, sample_scene
from .base import Base, Vocabulary
from .data import Pictures
from .encoder import Reader
from .run import load_part


def export(runs: Path, weights: Path) -> None:
    """Write every part that has a training state in `runs`, averaged weights, float16."""
    weights.mkdir(parents=True, exist_ok=True)
    parts = {"vae": _vae, "encoder": _image_encoder, "base": _base}
    for name, part in parts.items():
        if (runs / name / "state.pt").exists():
            for file, state in part(runs).items():
                write(state, weights / f"{file}.safetensors")
    if (weights / "vae.safetensors").exists():
        write_preview(initial.vae_module(), _images(runs), weights)


def write(state: dict[str, Tensor], file: Path) -> None:
    """Floats in half precision."""
    halves = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    save_file({key: value.contiguous() for key, value in halves.items()}, file)
    print(f"{file.stem}: {sum(value.numel() for value in state.values()) / 1e6:.2f} M")


def averaged(module: torch.nn.Module, folder: Path) -> torch.nn.Module:
    """`module` with the averaged weights of a training's state."""
    state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
    average = averaged_model(module, 0.0)
    load_part(average, state["average"])
    return average.module.eval()


def _vae(runs: Path) -> dict[str, dict[str, Tensor]]:
    model = averaged(initial.vae_module(), runs / "vae")
    return {"vae": folded(model.state_dict(), latents_of(model, _images(runs)))}


def _images(runs: Path) -> Tensor:
    """[200, 3, 256, 256] in -1..1."""
    pictures = Pictures(runs / "scenes")
    chosen = np.stack([pictures[index] for index in range(0, 400, 2)])
    return rearrange(torch.from_numpy(chosen), "n h w c -> n c h w").float() / 127.5 - 1


def latents_of(model: torch.nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([model.encode(part) for part in images.split(20)])


def folded(state: dict[str, Tensor], latents: Tensor) -> dict[str, Tensor]:
    """The autoencoder whose latents are those of `state`, less each channel's mean, over their common deviation."""
    state = dict(state)
    mean = latents.mean(dim=(0, 2, 3))
    scale = (latents - mean[None, :, None, None]).std()
    weight, bias = state["quant_conv.weight"].clone(), state["quant_conv.bias"].clone()
    channels = len(mean)
    weight[:channels] /= scale
    bias[:channels] = (bias[:channels] - mean) / scale
    bias[channels:] -= 2 * scale.log()
    back = state["post_quant_conv.weight"]
    state["post_quant_conv.bias"] = state["post_quant_conv.bias"] + back[:, :, 0, 0] @ mean
    state["post_quant_conv.weight"] = back * scale
    state["quant_conv.weight"], state["quant_conv.bias"] = weight, bias
    return state


def write_preview(model: torch.nn.Module, images: Tensor, weights: Path) -> None:
    """The linear map from a latent cell to its mean colour in -1..1, with which the host draws its previews.

    Args:
        model: an autoencoder, which takes the weights of the one in the folder.
    """
    model.load_state_dict(load_file(weights / "vae.safetensors"))
    cells = rearrange(latents_of(model, images), "n c h w -> (n h w) c")
    colours = rearrange(torch.nn.functional.avg_pool2d(images, 8), "n c h w -> (n h w) c")
    solution = torch.linalg.lstsq(torch.cat([cells, torch.ones_like(cells[:, :1])], dim=1), colours).solution
    factors = {"latent_rgb_factors": solution[:-1].tolist(), "latent_rgb_factors_bias": solution[-1].tolist()}
    (weights / "preview.json").write_text(json.dumps(factors), encoding="utf-8")


def _image_encoder(runs: Path) -> dict[str, dict[str, Tensor]]:
    return {"image_encoder": averaged(Reader(initial.image_encoder_module()), runs / "encoder").encoder.state_dict()}


def _base(runs: Path) -> dict[str, dict[str, Tensor]]:
    return base_files(Base(vocabulary := Vocabulary(), 0), vocabulary, runs)


def base_files(model: Base, vocabulary: Vocabulary, runs: Path) -> dict[str, dict[str, Tensor]]:
    """The UNet's and the text encoder's tensors of the state in `runs`."""
    if json.loads((runs / "base" / "vocabulary.json").read_text(encoding="utf-8")) != vocabulary.tokens:
        raise ValueError("The face world's vocabulary has changed since the base was trained. Train it anew.")
    model = averaged(model, runs / "base")
    table = f"{loading.TOKEN_EMBEDDING}.weight"
    text = {f"clip_g.transformer.{name}": value for name, value in model.text.state_dict().items()}
    text[f"{loading.TOKEN_EMBEDDING}.rows"] = text.pop(table)
    text[f"{loading.TOKEN_EMBEDDING}.tokens"] = torch.tensor(vocabulary.tokens, dtype=torch.int32)
    return {"unet": model.unet.state_dict(), "text_encoder": text}


def captions(count: int, seed: int) -> list[str]:
    """Of the first face world's scenes; every second shows one person."""
    rng = np.random.default_rng(seed)
    return [caption(sample_scene(rng, people=1 if i % 2 == 0 else int(rng.integers(2, 5)))) for i in range(count)]


def grid(weights: Path, path: Path, texts: list[str], columns: int, steps: int, guidance: float, seed: int) -> None:
    """Pictures of captions by the host's own sampler."""
    miniature = loading.load_miniature(weights)
    pictures = []
    for index, text in enumerate(texts):
        print(index, text)
        prompts = miniature.prompt(text), miniature.prompt("")
        pictures.append(miniature.sample(*prompts, seed + index, steps, guidance))
    joined = rearrange(torch.stack(pictures), "(r c) h w rgb -> (r h) (c w) rgb", c=columns)
    Image.fromarray(to_uint8(joined)).save(path)
