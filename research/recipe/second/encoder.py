"""The image encoder: its tokens must say who somebody is, geometry included, whatever a graph makes of the photo."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from comfy.clip_vision import clip_preprocess
from torch import Tensor, nn

from realisid_core.miniature import initial
from realisid_core.miniature.networks import SECOND
from realisid_core.perception import Face, Faces, masked_crops
from realisid_core.perception.faces import to_image, to_uint8
from realisid_core.training.ema import averaged_model

from ...evaluation.judges_training import PAIR, contrast, face_scene, pairs
from ...world import Identity, geometry_vector, render, sample_family
from ...world.identity import CATEGORIES, GEOMETRY, MOLE_PLACES
from ...world.references import masked_as
from ..ahead import Ahead
from ..encoder import trainable
from ..run import Plan, Run, device, generator, learning_rate, take_step
from .check import averaged

FIRST = {"training": 20 << 33, "check": 21 << 33}  # the families' seeds; nothing else uses these
MEMBERS, PICTURES, KEPT = 4, 4, 64  # of a family, of each of them; families in memory
STEPS_PER_FAMILY = 2  # so every picture is used about eight times, each time cut and lit differently
SIZES = (56, 180)  # px of a face's side
MASKS = ("none", "person", "outline")
MARGIN = 0.3  # at most
CROP, DRAWN = 128, 136  # px; crops of `CROP` are cut from these
METRIC = 64
READ = [len(GEOMETRY), 2, len(MOLE_PLACES), *map(len, CATEGORIES.values())]  # measures, skin and freckles, …


class Reader(nn.Module):
    """The encoder with linear readings: of the person from the penultimate tokens' mean and from the output, and a
    vector from the output that tells people apart."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        width = SECOND.image_encoder_config()["hidden_size"]
        self.encoder = encoder
        self.of_tokens = nn.Linear(width, sum(READ))
        self.of_output = nn.Linear(width, sum(READ))
        self.metric = nn.Linear(width, METRIC)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        _, penultimate, output, _ = self.encoder(pixels, intermediate_output=-2)
        return self.of_tokens(penultimate.mean(dim=1)), self.of_output(output), F.normalize(self.metric(output), dim=1)


def train(folder: Path, plan: Plan, workers: int = 0) -> None:
    """Train on endless fresh families, drawn by `workers` other processes. Resumes where `folder` holds a state."""
    torch.manual_seed(plan.seed)
    encoder = initial.image_encoder_module(SECOND)
    encoder.load_state_dict(initial.seeded(encoder, plan.seed))
    model = trainable(Reader(encoder)).to(device())
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.rate, weight_decay=0.05)
    average = averaged_model(model, 0.999)
    run = Run(folder, {"model": model, "optimizer": optimizer, "average": average})
    families = Ahead(draw_family, KEPT, workers)
    for step in run.steps(plan.steps, plan.save_minutes):
        images, targets = (
            value.to(device()) for value in batch(families, step, plan.batch, generator(plan.seed, step))
        )
        with plan.autocast():
            *readings, vectors = model(clip_preprocess(images, size=CROP))
        unread = [reading_loss(reading.float(), targets) for reading in readings]
        told_apart = contrast(vectors.float(), len(images) // PAIR)
        measures = unread[0][0] + unread[1][0]
        rest = unread[0][1] + unread[1][1]
        run.note(measures=unread[0][0], rest=unread[0][1], output_measures=unread[1][0], contrast=told_apart)
        loss = 2 * measures + rest + 0.5 * told_apart
        take_step(loss, model, optimizer, learning_rate(step, plan.steps, plan.rate))
        average.update_parameters(model)
    families.close()


def batch(drawn: Ahead, step: int, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Crops [count, 128, 128, 3] in 0..1 and what is to be read: two pictures each of two members of the newest family
    and of older ones."""
    families = count // PAIR**2
    newest = step // STEPS_PER_FAMILY + families - 1
    back = torch.randperm(min(newest, KEPT - 1), generator=random)[: families - 1] + 1
    chosen = []
    for number in (0, *back.tolist()):
        kept = pairs(random)
        chosen.append([values[kept] for values in drawn[FIRST["training"] + newest - number]])
    crops, targets = (torch.cat(parts) for parts in zip(*chosen, strict=True))
    left, top = torch.randint(DRAWN - CROP + 1, (2, len(crops)), generator=random).tolist()
    cut = [one[y : y + CROP, x : x + CROP] for one, x, y in zip(crops, left, top, strict=True)]
    light = torch.rand(len(crops), 1, 1, 1, generator=random) * 0.4 + 0.8
    return (torch.stack(cut).float() / 255 * light).clamp_max(1), targets


def draw_family(seed: int) -> tuple[Tensor, Tensor]:
    """Crops [members · pictures, 136, 136, 3] uint8 and what is to be read of each [members · pictures, R]."""
    rng = np.random.default_rng([seed, 0xEC])
    seen = [
        draw(who, rng, MASKS[rng.integers(3)], DRAWN) for who in sample_family(seed, MEMBERS) for _ in range(PICTURES)
    ]
    crops, targets = zip(*seen, strict=True)
    return torch.from_numpy(np.stack(crops)), torch.from_numpy(np.stack(targets))


def draw(who: Identity, rng: np.random.Generator, mask: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """[size, size, 3] uint8 of somebody, as parsing makes it of a photo, and the vector of what is to be read in it."""
    scene, side = face_scene(who, rng, SIZES)
    drawn = render(scene, side)
    x0, y0, x1, y1 = drawn.boxes[0]
    half = (x1 - x0) / 2 * (1 + rng.uniform(0, MARGIN)) * rng.uniform(0.95, 1.06) * size / CROP
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    box = (x - half, y - half, x + half, y + half)
    face = Face(box, box, mask=masked_as(drawn, mask))
    crop = masked_crops(Faces(to_image(drawn.image), [[face]]), size)[0]
    return to_uint8(crop), target(scene.people[0].identity)


def target(who: Identity) -> np.ndarray:
    """Measures, skin and freckles -1..1, moles 0 or 1, categories one-hot: float32."""
    marks = [2 * who.skin - 1, 2 * who.freckles - 1, *(float(place in who.moles) for place in MOLE_PLACES)]
    one_hot = [float(getattr(who, name) == value) for name, values in CATEGORIES.items() for value in values]
    return np.concatenate((geometry_vector(who), np.array([*marks, *one_hot], np.float32)))


def reading_loss(reading: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Of the measures the share of their variance that is not read, 0..1; the mean loss of all else."""
    measures, skin, moles, *categories = reading.split(READ, 1)
    true_measures, true_skin, true_moles, *true_categories = true.split(READ, 1)
    rest = [3 * F.mse_loss(skin, true_skin), F.binary_cross_entropy_with_logits(moles, true_moles)]
    rest += [F.cross_entropy(a, b.argmax(1)) for a, b in zip(categories, true_categories, strict=True)]
    return 3 * F.mse_loss(measures, true_measures), sum(rest) / len(rest)


@torch.inference_mode()
def check(folder: Path, people: int) -> None:
    """Print the gate: R² of every measure and the share of right categories, on unseen people, for each mask."""
    model = averaged(Reader(initial.image_encoder_module(SECOND)), folder)
    for mask in MASKS:
        rng = np.random.default_rng([FIRST["check"], MASKS.index(mask)])
        seen = [draw(sample_family(FIRST["check"] + number)[0], rng, mask, CROP) for number in range(people)]
        crops, targets = (torch.from_numpy(np.stack(values)) for values in zip(*seen, strict=True))
        parts = [model(clip_preprocess(part.float() / 255, size=CROP))[0] for part in crops.split(64)]
        read = torch.cat(parts).split(READ, 1)
        true = targets.split(READ, 1)
        unread = (read[0] - true[0]).square().mean(0) / true[0].var(0)
        print(f"{mask}: mean R² of {len(GEOMETRY)} measures {1 - unread.mean():.3f}, {people} unseen people")
        print(
            "  " + ", ".join(f"{name} {1 - value:.2f}" for name, value in zip(GEOMETRY, unread.tolist(), strict=True))
        )
        right = [(a.argmax(1) == b.argmax(1)).float().mean() for a, b in zip(read[3:], true[3:], strict=True)]
        print("  " + ", ".join(f"{name} {100 * value:.1f} %" for name, value in zip(CATEGORIES, right, strict=True)))
