"""The text encoder and the UNet, trained together on captions: v-prediction on SDXL's noise schedule."""

import json
import os
from pathlib import Path

import comfy.model_base
import numpy as np
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import Timestep
from comfy.sdxl_clip import SDXLTokenizer
from torch import Tensor, nn
from tqdm import tqdm

from ...training.ema import Average
from .. import initial, networks
from ..world import VOCABULARY
from .data import Pictures
from .encoder import trainable
from .run import Run, autocast, device, generator, learning_rate, take_step
from .vae import face_weights

CAPTION_DROP = 0.1
FACE_CELLS = 8.0  # every face adds as much to the loss as a square of so many latent cells


def encode(pictures: Path, vae_weights: dict[str, Tensor], folder: Path) -> None:
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
        with torch.no_grad(), autocast():
            latents = [
                model.encode(torch.from_numpy(part.copy()).permute(0, 3, 1, 2).to(device()).float() / 127.5 - 1)
                for part in np.array_split(shard, len(shard) // 25)
            ]
        unfinished = path.with_suffix(".part.npy")
        np.save(unfinished, torch.cat(latents).half().cpu().numpy())
        os.replace(unfinished, path)


class Vocabulary:
    """The tokens that captions use: row i of the small embedding is token `tokens[i]`, the last any other."""

    def __init__(self):
        self.tokenizer = SDXLTokenizer()
        known = {token for word in ("", *VOCABULARY) for token in self._tokens(word)}
        self.tokens = sorted(known)
        self.row = {token: index for index, token in enumerate(self.tokens)}

    def _tokens(self, text: str) -> list[int]:
        return [token for token, _ in self.tokenizer.tokenize_with_weights(text)["g"][0]]

    def rows(self, text: str) -> list[int]:
        """The 77 rows of a caption."""
        return [self.row.get(token, len(self.tokens)) for token in self._tokens(text)]


class Base(nn.Module):
    """Text encoder and UNet, with the small embedding in the place of the tokenizer's whole table."""

    def __init__(self, vocabulary: Vocabulary, seed: int):
        super().__init__()
        text, unet = initial.text_module(), initial.unet_module()
        text.load_state_dict(initial.seeded(text, seed), strict=False)
        unet.load_state_dict(initial.quiet(initial.seeded(unet, seed)))
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


def train(
    pictures: Path, latents: Path, folder: Path, steps: int, batch: int, seed: int, rate: float, save_minutes: float
) -> None:
    """Train on cached latents. Resumes where `folder` holds a state."""
    paths = sorted(path for path in latents.glob("*.npy") if not path.stem.endswith(".part"))
    data = torch.from_numpy(np.concatenate([np.load(path) for path in paths]))
    notes = Pictures(pictures).notes[: len(data)]
    vocabulary = Vocabulary()
    captions = torch.tensor([vocabulary.rows(note["caption"]) for note in notes], dtype=torch.int16)
    nothing = torch.tensor(vocabulary.rows(""), dtype=torch.int16)
    weights = torch.stack([_weights(note["boxes"], data.shape[-1]) for note in notes])

    model = Base(vocabulary, seed).to(device())
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    average = Average(model.parameters(), 0.999)
    run = Run(folder, {"model": model, "optimizer": optimizer, "average": average})
    (folder / "vocabulary.json").write_text(json.dumps(vocabulary.tokens), encoding="utf-8")
    alphas = cumulative_alphas().to(device())
    for step in run.steps(steps, save_minutes):
        random = generator(seed, step)
        chosen = torch.randint(len(data), (batch,), generator=random)
        clean = data[chosen].float().to(device())
        noise = torch.randn(clean.shape, generator=random).to(device())
        timesteps = draw_timesteps(batch, len(alphas), random).to(device())
        dropped = torch.rand(batch, 1, generator=random) < CAPTION_DROP
        words = torch.where(dropped, nothing, captions[chosen]).long().to(device())
        weight = weights[chosen].float().to(device())
        alpha = alphas[timesteps][:, None, None, None]
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        target = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
        with autocast():
            v = model(noisy, timesteps.float(), words, _sizes(batch))
        errors = (v.float() - target).square().mean(dim=1)
        loss = (weight * errors).sum() / weight.sum()
        run.note(loss=loss, plain=errors.mean())
        take_step(loss, model, optimizer, learning_rate(step, steps, rate))
        average.update()


def draw_timesteps(count: int, steps: int, random: torch.Generator) -> Tensor:
    """[count], three quarters logit-normal (Esser et al. 2024: a short run learns most at middling noise), the others
    uniform, so that the ends are learnt too."""
    fractions = torch.sigmoid(1.2 * torch.randn(count, generator=random))
    uniform = torch.rand(count, generator=random)
    fractions = torch.where(torch.rand(count, generator=random) < 0.75, fractions, uniform)
    return (fractions * steps).long().clamp(max=steps - 1)


def cumulative_alphas() -> Tensor:
    """`ᾱ_t` of the 1000 steps, as the host's sampler has them for this model."""
    config = networks.MiniatureSDXL(dict(networks.UNET_CONFIG))
    sampling = comfy.model_base.model_sampling(config, comfy.model_base.ModelType.V_PREDICTION)
    return 1 / (1 + sampling.sigmas**2)


def _weights(boxes: list, cells: int) -> Tensor:
    scaled = [[value * cells / networks.IMAGE_SIZE for value in box] for box in boxes]
    return face_weights(scaled, cells, FACE_CELLS).half()


def _sizes(batch: int) -> Tensor:
    side = networks.IMAGE_SIZE
    return torch.tensor([[side, side, 0, 0, side, side]], dtype=torch.float32, device=device()).expand(batch, -1)
