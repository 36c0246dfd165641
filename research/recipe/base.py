"""The text encoder and the UNet, trained together on captions: v-prediction on SDXL's noise schedule."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import comfy.model_base
import numpy as np
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import Timestep
from comfy.sdxl_clip import SDXLTokenizer
from torch import Tensor, nn
from tqdm import tqdm

from realisid_core.geometry import LATENT_CELL
from realisid_core.miniature import initial, networks
from realisid_core.training.ema import averaged_model
from realisid_core.training.precision import autocast
from realisid_core.training.windows import place_window, window_sizes

from ..world import VOCABULARY
from .data import Pictures
from .encoder import trainable
from .run import Plan, Run, device, generator, learning_rate, take_step
from .vae import face_weights

CAPTION_DROP = 0.1
FACE_CELLS = 8.0  # every face adds as much to the loss as a square of so many latent cells
WHOLE_EVERY = 4  # with windows, one step of so many sees whole pictures


def encode(pictures: Path, vae_weights: dict[str, Tensor], folder: Path, precision: str) -> None:
    """Latents of all pictures, float16, one file a shard; captions and boxes stay with the pictures."""
    data = Pictures(pictures)
    model = initial.vae_module()
    model.load_state_dict(vae_weights)
    model.to(device()).eval()
    folder.mkdir(parents=True, exist_ok=True)
    for index, shard in enumerate(tqdm(data.shards, desc="latents", unit="shard")):
        path = folder / f"{index:05d}.npy"
        if path.exists():
            continue
        with torch.no_grad(), autocast(precision, device()):
            latents = [
                model.encode(torch.from_numpy(part.copy()).permute(0, 3, 1, 2).to(device()).float() / 127.5 - 1)
                for part in np.array_split(shard, len(shard) // 25)
            ]
        unfinished = path.with_suffix(".part.npy")
        np.save(unfinished, torch.cat(latents).half().cpu().numpy())
        os.replace(unfinished, path)


class Vocabulary:
    """The tokens that captions use: row i of the small embedding is token `tokens[i]`, the last any other."""

    def __init__(self, words: Sequence[str] = VOCABULARY):
        self.tokenizer = SDXLTokenizer()
        known = {token for word in ("", *words) for token in self._tokens(word)}
        self.tokens = sorted(known)
        self.row = {token: index for index, token in enumerate(self.tokens)}

    def _tokens(self, text: str) -> list[int]:
        return [token for token, _ in self.tokenizer.tokenize_with_weights(text)["g"][0]]

    def rows(self, text: str) -> list[int]:
        """The 77 rows of a caption."""
        return [self.row.get(token, len(self.tokens)) for token in self._tokens(text)]


class Base(nn.Module):
    """Text encoder and UNet, with the small embedding in the place of the tokenizer's whole table."""

    def __init__(self, vocabulary: Vocabulary, seed: int, architecture: networks.Architecture = networks.FIRST):
        super().__init__()
        text, unet = initial.text_module(), initial.unet_module(architecture)
        text.load_state_dict(initial.seeded(text, seed), strict=False)
        unet.load_state_dict(initial.zero_init_residuals(initial.seeded(unet, seed)))
        self.text = trainable(text.clip_g.transformer)
        self.unet = unet
        self.rows = nn.Embedding(len(vocabulary.tokens) + 1, networks.CONTEXT_DIM)
        with torch.no_grad():
            self.rows.weight.copy_(self.text.get_input_embeddings().weight[: len(self.rows.weight)])
        self.text.set_input_embeddings(self.rows)
        self.last = vocabulary.row[networks.TEXT_CONFIG["eos_token_id"]]

    def forward(self, noisy: Tensor, timesteps: Tensor, captions: Tensor, sizes: Tensor) -> Tensor:
        """`v` of noisy latents [B, C, H, W]; captions [B, 77] in rows, sizes [B, 6]."""
        ends = (captions == self.last).int().argmax(dim=1) + 1
        embedded = self.rows(captions)
        context, _, pooled, _ = self.text(None, embeds=embedded, num_tokens=ends.tolist())
        embed = Timestep(256)
        y = torch.cat([pooled, embed(sizes.flatten()).reshape(len(sizes), -1)], dim=1)
        return self.unet(noisy, timesteps, context=context, y=y)


@dataclass(frozen=True)
class Batch:
    """Of B pictures or windows: latents [B, C, H, W], the loss's weights [B, H, W], captions [B, 77], sizes [B, 6]."""

    clean: Tensor
    weights: Tensor
    captions: Tensor
    sizes: Tensor


class Scenes:
    """The latents of all pictures with their captions; batches of whole pictures, or of windows round heads.

    Args:
        latents: [N, C, S, S] float16.
        notes: of each picture its "caption" and its faces' "boxes" (x0, y0, x1, y1 px).
    """

    def __init__(self, latents: Tensor, notes: Sequence[dict], vocabulary: Vocabulary):
        self.latents, self.cells = latents, latents.shape[-1]
        self.window = self.cells // 2
        scale = 1 / LATENT_CELL
        self.boxes = [[[value * scale for value in box] for box in note["boxes"]] for note in notes]
        self.weights = torch.stack([face_weights(boxes, self.cells, FACE_CELLS).half() for boxes in self.boxes])
        self.captions = torch.tensor([vocabulary.rows(note["caption"]) for note in notes], dtype=torch.int16)
        self.nothing = torch.tensor(vocabulary.rows(""), dtype=torch.int16)
        side = self.cells * LATENT_CELL
        self.sizes = (side, side, 0, 0, side, side)

    def batch(self, count: int, windows: bool, random: torch.Generator) -> Batch:
        """`count` whole pictures, or as many windows as have the same area."""
        count *= (self.cells // self.window) ** 2 if windows else 1
        chosen = torch.randint(len(self.latents), (count,), generator=random)
        areas = [(0, 0, self.cells, self.cells)] * count
        if windows:
            chances = torch.rand(count, 3, generator=random).tolist()
            areas = [self._round_a_head(*pair) for pair in zip(chosen.tolist(), chances, strict=True)]
        dropped = torch.rand(count, 1, generator=random) < CAPTION_DROP
        return Batch(
            _cut(self.latents, chosen, areas),
            _cut(self.weights, chosen, areas),
            torch.where(dropped, self.nothing, self.captions[chosen]).long().to(device()),
            torch.tensor([window_sizes(self.sizes, area) for area in areas], dtype=torch.float32, device=device()),
        )

    def _round_a_head(self, index: int, chances: list[float]) -> tuple[int, int, int, int]:
        which, *place = chances
        boxes = self.boxes[index]
        return place_window(boxes[int(which * len(boxes))], (self.cells, self.cells), self.window, place)


def _cut(values: Tensor, chosen: Tensor, areas: list[tuple[int, int, int, int]]) -> Tensor:
    """[B, ..., height, width] float32: of each chosen item its area (top, left, height, width)."""
    parts = [
        values[index, ..., top : top + height, left : left + width]
        for index, (top, left, height, width) in zip(chosen.tolist(), areas, strict=True)
    ]
    return torch.stack(parts).float().to(device())


def train(pictures: Path, latents: Path, folder: Path, plan: Plan, windows: bool = False) -> None:
    """Train the first miniature's base on cached latents. Resumes where `folder` holds a state."""
    vocabulary = Vocabulary()
    known = torch.from_numpy(np.concatenate([np.load(path) for path in finished(latents)]))
    scenes = Scenes(known, Pictures(pictures).notes[: len(known)], vocabulary)
    fit(Base(vocabulary, plan.seed), scenes, vocabulary, folder, plan, windows)


def finished(folder: Path) -> list[Path]:
    """The arrays in a folder that were written to their end."""
    return sorted(path for path in folder.glob("*.npy") if not path.stem.endswith(".part"))


def fit(model: Base, scenes: Scenes, vocabulary: Vocabulary, folder: Path, plan: Plan, windows: bool) -> None:
    """Train text encoder and UNet; `windows`: mostly on windows round heads. Resumes where `folder` holds a state."""
    model = model.to(device())
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    average = averaged_model(model, 0.999)
    run = Run(folder, {"model": model, "optimizer": optimizer, "average": average})
    (folder / "vocabulary.json").write_text(json.dumps(vocabulary.tokens), encoding="utf-8")
    alphas = cumulative_alphas().to(device())
    for step in run.steps(plan.steps, plan.save_minutes):
        random = generator(plan.seed, step)
        whole = not windows or step % WHOLE_EVERY == 0
        seen = scenes.batch(plan.batch, not whole, random)
        noise = torch.randn(seen.clean.shape, generator=random).to(device())
        timesteps = draw_timesteps(len(noise), len(alphas), random).to(device())
        alpha = alphas[timesteps][:, None, None, None]
        noisy = alpha.sqrt() * seen.clean + (1 - alpha).sqrt() * noise
        target = alpha.sqrt() * noise - (1 - alpha).sqrt() * seen.clean
        with plan.autocast():
            v = model(noisy, timesteps.float(), seen.captions, seen.sizes)
        errors = (v.float() - target).square().mean(dim=1)
        loss = (seen.weights * errors).sum() / seen.weights.sum()
        run.note(**{"loss": loss, "plain": errors.mean()} if whole else {"windows": loss})
        take_step(loss, model, optimizer, learning_rate(step, plan.steps, plan.rate))
        average.update_parameters(model)


def draw_timesteps(count: int, steps: int, random: torch.Generator) -> Tensor:
    """[count], three quarters logit-normal (Esser et al. 2024: a short run learns most at middling noise), the others
    uniform, so that the ends are learnt too."""
    fractions = torch.sigmoid(1.2 * torch.randn(count, generator=random))
    uniform = torch.rand(count, generator=random)
    fractions = torch.where(torch.rand(count, generator=random) < 0.75, fractions, uniform)
    return (fractions * steps).long().clamp(max=steps - 1)


def cumulative_alphas() -> Tensor:
    """`ᾱ_t` of the 1000 steps, as the host's sampler has them for this model."""
    config = networks.MiniatureSDXL(networks.FIRST.unet_config())
    sampling = comfy.model_base.model_sampling(config, comfy.model_base.ModelType.V_PREDICTION)
    return 1 / (1 + sampling.sigmas**2)
