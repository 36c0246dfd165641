"""Trains and checks the recognisers of the second world: `python -m research.evaluation.judges_training COMMAND NAME`.

Endless families (people who share every colour and mark) are drawn while the network trains. A picture is used about
eight times, each time cut and worn differently, and then forgotten. The loss asks that pictures of one person lie
closer to each other than to all others of the batch, the person's own family among them (supervised contrastive loss,
Khosla et al. 2020), that the person's measures and colours can be read from the vector, and that the network's points
lie where the world knows them.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from realisid_core.bootstrap import find_host
from realisid_core.geometry import square
from realisid_core.training.precision import chosen_precision, say_precision

from ..recipe.ahead import Ahead
from ..recipe.run import Plan, Run, device, generator, learning_rate, take_step
from ..world import (
    Identity,
    Person,
    Pose,
    Scene,
    geometry_vector,
    portrait,
    render,
    restyled,
    sample_family,
    sample_light,
    sample_pose,
    sample_scene,
)
from ..world.identity import BEARDS, GEOMETRY, IRIS_COLOURS, LIP_COLOURS
from .judges import CROP, POINTS, SHAPES, WIDTH, FaceRecogniser, face_crop, load_judge, weights_file

FIRST = {"judge": 16 << 33, "trainer": 17 << 33, "check": 18 << 33}  # the families' seeds; nothing else uses these
MEMBERS, PICTURES, KEPT = 4, 4, 64  # of a family, of each of them; families in memory
FAMILIES, PAIR = 16, 2  # in a batch; of each two members, of each of those two pictures
STEPS_PER_FAMILY = 2  # drawing costs as much as learning
SIZES = (40, 130)  # px of a face's side
DRAWN = 124  # px; crops of `CROP` are cut from these
TEMPERATURE = 0.12
CATEGORIES = {"iris_colour": tuple(IRIS_COLOURS), "lip_colour": tuple(LIP_COLOURS), "beard": BEARDS}
READ = [len(GEOMETRY), 1, *map(len, CATEGORIES.values())]  # measures, skin, categories


def draw_face(who: Identity, rng: np.random.Generator, sizes: tuple[float, float], crop: int = CROP) -> np.ndarray:
    """[crop, crop, 3] uint8 of somebody in other hair, glasses, clothes, light, pose, expression and size."""
    drawn = render(*face_scene(who, rng, sizes))
    return face_crop(drawn.image, drawn.boxes[0], 0.0, crop)


def _draw_unsteady(who: Identity, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """[124, 124, 3] uint8, as much larger than the face box as `CROP` is smaller and up to 6 % more or less; points
    [len(POINTS), 2] px in it."""
    drawn = render(*face_scene(who, rng, SIZES))
    x0, y0, x1, y1 = square(*drawn.boxes[0], DRAWN / CROP * rng.uniform(0.94, 1.06) - 1)
    points = (drawn.landmarks[0][list(POINTS)] - (x0, y0)) * DRAWN / (x1 - x0)
    return face_crop(drawn.image, (x0, y0, x1, y1), 0.0, DRAWN), points.astype(np.float32)


def face_scene(who: Identity, rng: np.random.Generator, sizes: tuple[float, float]) -> tuple[Scene, int]:
    """The person large in a picture, and its side in px; now and then somebody else close by, who must not matter."""
    side = float(np.exp(rng.uniform(*np.log(sizes))))
    size = round(side / 0.72)
    who, side = restyled(who, rng), side / size
    scene = sample_scene(rng, 2 if rng.random() < 0.1 else 1, styles=("photo",), world=2)
    x, y = 0.5 - side / 2 + rng.uniform(-0.04, 0.04), 0.53 - side / 2
    first = Person(who, sample_pose(rng), (x, y, side), scene.people[0].shirt)
    others = [
        replace(person, box=(x + rng.choice((-1, 1)) * rng.uniform(0.85, 1.1) * side, y, 0.98 * side))
        for person in scene.people[1:]
    ]
    return replace(scene, people=(first, *others), light=sample_light(rng)), size


def draw_family(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Crops [n, 3, 124, 124] uint8 of members times pictures, points [n, P, 2], what is to be read of each [n, R]."""
    rng = np.random.default_rng([seed, 0xC0])
    people = [who for who in sample_family(seed, MEMBERS) for _ in range(PICTURES)]
    crops, points = zip(*(_draw_unsteady(who, rng) for who in people), strict=True)
    images = rearrange(torch.from_numpy(np.stack(crops)), "n h w c -> n c h w").contiguous()
    return images, torch.from_numpy(np.stack(points)), torch.stack([_target(who) for who in people])


def _target(who: Identity) -> Tensor:
    one_hot = [float(getattr(who, name) == value) for name, values in CATEGORIES.items() for value in values]
    return torch.tensor([*geometry_vector(who), 2 * who.skin - 1, *one_hot], dtype=torch.float32)


def batch(families: Ahead, first: int, step: int, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Two pictures each of two members of the newest family and of older ones, in that order.

    Crops [n, 3, 112, 112] in 0..1, points [n, P, 2] in -1..1 of the crop, targets [n, R].
    """
    newest = step // STEPS_PER_FAMILY + FAMILIES - 1
    back = torch.randperm(min(newest, KEPT - 1), generator=random)[: FAMILIES - 1] + 1
    chosen = []
    for number in (0, *back.tolist()):
        kept = pairs(random)
        chosen.append([values[kept] for values in families[first + newest - number]])
    crops, points, targets = (torch.cat(parts) for parts in zip(*chosen, strict=True))
    corners = torch.randint(DRAWN - CROP + 1, (len(crops), 2), generator=random)
    cut = [one[:, y : y + CROP, x : x + CROP] for one, (x, y) in zip(crops, corners.tolist(), strict=True)]
    images = _worn(torch.stack(cut).float() / 255, random)
    return images, (points - corners[:, None]) * 2 / CROP - 1, targets


def pairs(random: torch.Generator) -> Tensor:
    """[4]: where two pictures of one and two of another member stand among a family's."""
    members = torch.randperm(MEMBERS, generator=random)[:PAIR]
    return torch.cat([int(m) * PICTURES + torch.randperm(PICTURES, generator=random)[:PAIR] for m in members])


def _worn(images: Tensor, random: torch.Generator) -> Tensor:
    """Blur, light and noise as generated pictures have them."""

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.rand(len(images), channels, 1, 1, generator=random) * (high - low) + low

    blurred = F.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    images = images.lerp(blurred, uniform(-0.6, 1.4).clamp(0, 1))
    images = images * uniform(0.88, 1.12) + uniform(-0.04, 0.04, 3)
    noise = torch.randn(images.shape, generator=random) * uniform(-0.02, 0.02).clamp_min(0)
    return (images + noise).clamp(0, 1)


def contrast(vectors: Tensor, people: int) -> Tensor:
    """Supervised contrastive loss of unit vectors [people · pictures, D], one person's pictures in a row."""
    pictures = len(vectors) // people
    logits = vectors @ vectors.T / TEMPERATURE
    itself = torch.eye(len(vectors), dtype=torch.bool)
    logits = logits.masked_fill(itself, -1e4)
    same = torch.block_diag(*[torch.ones(pictures, pictures)] * people).bool() & ~itself
    return -logits.log_softmax(1)[same].mean()


def reading_loss(read: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Of the measures the share of their variance that is not read, 0..1; of skin and categories the mean loss."""
    measures, skin, *categories = read.split(READ, 1)
    true_measures, true_skin, *true_categories = target.split(READ, 1)
    unread = 3 * F.mse_loss(measures, true_measures)
    colours = [F.cross_entropy(a, b.argmax(1)) for a, b in zip(categories, true_categories, strict=True)]
    return unread, (3 * F.mse_loss(skin, true_skin) + sum(colours)) / (1 + len(colours))


class Reader(nn.Module):
    """The recogniser and a linear reading of the person from its vector."""

    def __init__(self, name: str):
        super().__init__()
        self.network = FaceRecogniser(SHAPES[name])
        self.reading = nn.Linear(WIDTH, sum(READ))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        vectors, points = self.network.read(crops)
        return vectors, self.reading(vectors * WIDTH**0.5), points


def train(name: str, folder: Path, plan: Plan, workers: int = 0) -> None:
    """Resumes where `folder` holds a state; `workers` other processes draw. `plan.batch` has no effect."""
    torch.manual_seed(plan.seed)
    model = Reader(name).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), plan.rate, weight_decay=1e-2)
    run = Run(folder, {"model": model, "optimizer": optimizer})
    families = Ahead(draw_family, KEPT, workers)
    for step in run.steps(plan.steps, plan.save_minutes):
        images, places, targets = batch(families, FIRST[name], step, generator(plan.seed, step))
        with plan.autocast():
            vectors, read, points = model(images.contiguous(memory_format=torch.channels_last))
        told_apart = contrast(vectors.float(), FAMILIES * PAIR)
        unread, colours = reading_loss(read.float(), targets)
        astray = (points.float() - places).abs().mean()
        run.note(contrast=told_apart, unread=unread, colours=colours, astray=astray)
        loss = told_apart + 2 * unread + 0.3 * colours + 8 * astray
        take_step(loss, model, optimizer, learning_rate(step, plan.steps, plan.rate, 60))
    families.close()


def state_weights(folder: Path) -> dict[str, Tensor]:
    """The recogniser's tensors out of a training's state."""
    state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)["model"]
    return {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}


@dataclass(frozen=True)
class Verified:
    """Same person or not, for pairs of pictures: share that is right and its standard error over people.

    The threshold is chosen on the first half of the people and applied to the second.
    """

    accuracy: float
    error: float
    threshold: float
    same: float
    other: float

    def __str__(self) -> str:
        values = f"threshold {self.threshold:.2f}, same {self.same:.3f}, other {self.other:.3f}"
        return f"{100 * self.accuracy:.2f} ± {100 * self.error:.2f} % ({values})"


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1)


def verification(vectors: Tensor, strangers: Tensor, alike: Callable[[Tensor, Tensor], Tensor] = cosine) -> Verified:
    """Of vectors [people, pictures, D]; `strangers` [people, K]: with whom each person is compared.

    `alike` of two tensors [..., D] is the greater the more likely they show the same person.
    """
    first, second = torch.triu_indices(vectors.shape[1], vectors.shape[1], 1)
    same = alike(vectors[:, first], vectors[:, second])
    other = alike(vectors[:, None, first], vectors[strangers][:, :, second]).flatten(1)
    half = len(vectors) // 2
    candidates = torch.cat((same[:half].flatten(), other[:half].flatten())).sort().values
    candidates = candidates[:: max(1, len(candidates) // 400)]
    right = [(same[:half] > c).float().mean() + (other[:half] <= c).float().mean() for c in candidates]
    threshold = candidates[torch.stack(right).argmax()].item()
    each = ((same[half:] > threshold).float().mean(1) + (other[half:] <= threshold).float().mean(1)) / 2
    error = (each.std() / len(each) ** 0.5).item()
    return Verified(each.mean().item(), error, threshold, same.mean().item(), other.mean().item())


def family_strangers(families: int, members: int = MEMBERS) -> Tensor:
    """[families · members, members - 1]: for everybody the others of their family, families in a row."""
    others = torch.tensor([[other for other in range(members) if other != own] for own in range(members)])
    return (torch.arange(families)[:, None, None] * members + others).flatten(0, 1)


@torch.inference_mode()
def embed(network: nn.Module, crops: np.ndarray) -> Tensor:
    """Unit vectors [..., 128] of crops [..., 112, 112, 3] uint8."""
    flat = torch.from_numpy(crops).flatten(0, -4).permute(0, 3, 1, 2)
    return torch.cat([network(part.float() / 255) for part in flat.split(64)]).unflatten(0, crops.shape[:-3])


def check_people(network: nn.Module, people: int, pictures: int = 4, first: int = FIRST["check"]) -> Verified:
    """Unseen strangers, in other hair, glasses, clothes, light, pose and size in each picture."""
    crops = [_unseen(sample_family(first + number)[0], pictures, SIZES, first + number) for number in range(people)]
    strangers = (torch.arange(people)[:, None] + torch.arange(1, 6)) % people
    return verification(embed(network, np.stack(crops)), strangers)


def check_families(
    network: nn.Module, families: int, pictures: int = 4, first: int = FIRST["check"] + (1 << 20)
) -> Verified:
    """Unseen people against their own family, who share every colour and mark; faces of 64 pixels and more."""
    crops = [
        _unseen(who, pictures, (64, SIZES[1]), first + number, member)
        for number in range(families)
        for member, who in enumerate(sample_family(first + number, MEMBERS))
    ]
    return verification(embed(network, np.stack(crops)), family_strangers(families))


def _unseen(who: Identity, pictures: int, sizes: tuple[float, float], *seed: int) -> np.ndarray:
    rng = np.random.default_rng([*seed, 0xCE])
    return np.stack([draw_face(who, rng, sizes) for _ in range(pictures)])


def check_sizes(network: nn.Module, people: int, size: int = 384, first: int = FIRST["check"] + (2 << 20)) -> Tensor:
    """Similarity [people, 4] of true pictures with faces of 1/4, 1/5, 1/6 and 1/7 to a portrait in another pose.

    The four show the same scene, the face alone is smaller.
    """
    rows = []
    for number in range(people):
        rng = np.random.default_rng([first, number])
        who = sample_family(first + number)[0]
        reference = render(portrait(who, Pose(*(rng.uniform(-1, 1, 3) * (20, 10, 8)).tolist()), 0.5), size)
        base = sample_scene(rng, 1, (1 / 4, 1 / 4), styles=("photo",), world=2)
        drawn = [reference]
        for side in (1 / 4, 1 / 5, 1 / 6, 1 / 7):
            x, y, old = base.people[0].box
            box = (x + (old - side) / 2, y + (old - side) / 2, side)
            drawn.append(render(replace(base, people=(replace(base.people[0], identity=who, box=box),)), size))
        crops = np.stack([face_crop(one.image, one.boxes[0]) for one in drawn])
        vectors = embed(network, crops)
        rows.append(vectors[1:] @ vectors[0])
    return torch.stack(rows)


def check(network: nn.Module, people: int) -> None:
    """Print the gate of the judges (the second miniature's step 0)."""
    print(f"{people} people in other hair each time: {check_people(network, people)}", flush=True)
    print(f"{people} people against their families, 64 px and more: {check_families(network, people // MEMBERS)}")
    similar = check_sizes(network, people // 2)
    lost = 100 * (1 - similar[:, 3].mean() / similar[:, 0].mean())
    error = 100 * (similar[:, 0] - similar[:, 3]).std() / similar[:, 0].mean() / math.sqrt(len(similar))
    means = ", ".join(f"{mean:.3f}" for mean in similar.mean(0))
    print(f"true pictures of {len(similar)} people at 1/4, 1/5, 1/6, 1/7: {means}; lost {lost:.1f} ± {error:.1f} %")


def main(arguments: argparse.Namespace) -> None:
    folder = arguments.runs / arguments.name
    if arguments.command == "train":
        precision, why = chosen_precision(arguments.precision, device())
        print(say_precision(precision, why), flush=True)
        plan = Plan(arguments.steps, FAMILIES * PAIR * PAIR, arguments.seed, arguments.rate, 8, precision)
        train(arguments.name, folder, plan, arguments.workers)
    elif arguments.command == "export":
        tensors = {key: value.half().contiguous() for key, value in state_weights(folder).items()}
        save_file(tensors, weights_file(arguments.name))
    elif arguments.shipped:
        check(load_judge(arguments.name), arguments.people)
    else:
        network = FaceRecogniser(SHAPES[arguments.name])
        network.load_state_dict(state_weights(folder))
        check(network.eval(), arguments.people)


if __name__ == "__main__":
    find_host()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["train", "check", "export"])
    parser.add_argument("name", choices=list(SHAPES))
    parser.add_argument("--runs", type=Path, default=Path("runs/second"), help="folder of states (%(default)s)")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=["auto", "no", "bf16", "fp16"], default="auto")
    parser.add_argument("--people", type=int, default=500, help="to check with (default %(default)s)")
    parser.add_argument("--shipped", action="store_true", help="check the shipped weights, not the run's")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw ahead; 0: the training draws")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: torch's own choice")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    main(arguments)
