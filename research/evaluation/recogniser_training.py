"""Trains the recogniser of the face world: `python -m research.evaluation.recogniser_training`.

Cosine softmax with a margin over the training identities (CosFace, Wang et al. 2018), and the identity's attributes,
which the world knows, read from the same vector. Identities have seeds of 2³² and above; all else draws from below.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from realisid_core.bootstrap import find_host, start_worker

from ..world import Person, Scene, identity_vector, render, sample_identity, sample_pose, sample_scene
from ..world.identity import CATEGORIES

TRAINING, HELD_OUT = 1 << 32, 1 << 33  # the first seeds of either
SIZES = (32, 144)  # px of a face's side
SCALE, COSINE_MARGIN = 16.0, 0.1


def draw_person(seed: int, pictures: int, unsteady: bool) -> tuple[np.ndarray, np.ndarray]:
    """Crops [pictures, 80, 80, 3] of one identity in different pictures, and its identity vector.

    `unsteady`: boxes as far off as detectors put them, light, blur and compression as generated pictures have them.
    """
    from realisid_core.metrics.drawn_people import recognition_crop

    who = sample_identity(seed)
    crops = []
    for number in range(pictures):
        rng = np.random.default_rng([seed, number])
        side = float(np.exp(rng.uniform(*np.log(SIZES))))
        size = round(side / 0.52)
        scene = _scene(who, rng, side / size)
        drawn = render(scene, size)
        image = _worn(drawn.image, rng) if unsteady else drawn.image
        x0, y0, x1, y1 = drawn.boxes[0]
        centre = np.array((x0 + x1, y0 + y1)) / 2 + unsteady * rng.normal(0, 0.035, 2) * side
        half = side / 2 * (rng.uniform(0.9, 1.12) if unsteady else 1.0)
        crops.append(recognition_crop(image, (*(centre - half), *(centre + half))))
    return np.stack(crops), identity_vector(who)


def _scene(who, rng: np.random.Generator, side: float) -> Scene:
    """The person large in the picture; now and then somebody else close by, who must not matter."""
    scene = sample_scene(rng, 2 if rng.random() < 0.2 else 1)
    x, y = 0.5 - side / 2 + rng.uniform(-0.05, 0.05), 0.55 - side / 2
    first = Person(who, sample_pose(rng), (x, y, side), scene.people[0].shirt)
    others = [
        replace(person, box=(x + rng.choice((-1, 1)) * rng.uniform(0.8, 1.1) * side, y, 0.98 * side))
        for person in scene.people[1:]
    ]
    return replace(scene, people=(first, *others))


def _worn(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.1))
    if rng.random() < 0.5:
        quality = int(rng.integers(40, 95))
        image = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    changed = image * rng.uniform(0.88, 1.12) + rng.uniform(-10, 10, 3) + rng.normal(0, rng.uniform(0, 5), image.shape)
    return np.clip(changed, 0, 255).astype(np.uint8)


def draw_people(first: int, count: int, pictures: int, unsteady: bool, workers: int) -> tuple[Tensor, Tensor]:
    """Crops [count, pictures, 3, 80, 80] uint8 and identity vectors [count, A]."""
    draw = partial(draw_person, pictures=pictures, unsteady=unsteady)
    people = range(first, first + count)
    if workers == 1:
        drawn = list(tqdm(map(draw, people), total=count, unit="person"))
    else:
        with ProcessPoolExecutor(workers, get_context("spawn"), initializer=start_worker) as pool:
            drawn = list(tqdm(pool.map(draw, people, chunksize=8), total=count, unit="person"))
    crops, vectors = zip(*drawn, strict=True)
    return torch.from_numpy(np.stack(crops)).permute(0, 1, 4, 2, 3).contiguous(), torch.from_numpy(np.stack(vectors))


def attribute_loss(read: Tensor, vectors: Tensor) -> Tensor:
    """Of attributes read [N, A] from identity vectors [N, A]: squares for numbers, cross-entropy for each category."""
    sizes = [len(values) for values in CATEGORIES.values()]
    plain = read.shape[1] - sum(sizes)
    loss = F.mse_loss(read[:, :plain], vectors[:, :plain])
    for logits, one_hot in zip(read[:, plain:].split(sizes, 1), vectors[:, plain:].split(sizes, 1), strict=True):
        loss = loss + F.cross_entropy(logits, one_hot)
    return loss


def train(crops: Tensor, vectors: Tensor, epochs: int, batch: int, rate: float, seed: int) -> nn.Module:
    from realisid_core.metrics.drawn_people import WIDTH, Recogniser
    from realisid_core.training.precision import AUTO, autocast, chosen_precision, say_precision

    torch.manual_seed(seed)
    people, pictures = crops.shape[:2]
    network = Recogniser().to(memory_format=torch.channels_last)
    centres = nn.Parameter(torch.randn(people, WIDTH))
    attributes = nn.Linear(WIDTH, vectors.shape[1])
    weights = [*network.parameters(), centres, *attributes.parameters()]
    optimizer = torch.optim.AdamW(weights, rate, weight_decay=1e-2)
    steps = epochs * people * pictures // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    order = torch.cat([torch.randperm(people * pictures) for _ in range(epochs)])[: steps * batch].split(batch)
    cpu = torch.device("cpu")
    precision, why = chosen_precision(AUTO, cpu)
    tqdm.write(say_precision(precision, why))
    for number, chosen in enumerate(tqdm(order, unit="step")):
        labels = chosen // pictures
        images = crops.flatten(0, 1)[chosen].float() / 255
        flip = torch.rand(len(images)) < 0.5  # people here are left-right alike but for moles and a parting
        images[flip] = images[flip].flip(-1)
        with autocast(precision, cpu):
            vector = network(images.contiguous(memory_format=torch.channels_last))
        vector = F.normalize(vector.float(), dim=1)
        cosines = vector @ F.normalize(centres, dim=1).T - COSINE_MARGIN * F.one_hot(labels, people)
        identified = F.cross_entropy(SCALE * cosines, labels)
        read = attribute_loss(attributes(vector * WIDTH**0.5), vectors[labels])
        loss = identified + read
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if number % 50 == 0 or number == steps - 1:
            tqdm.write(f"step {number} identity {identified.item():.3f} attributes {read.item():.3f}")
    return network.eval()


@torch.inference_mode()
def verification(network: nn.Module, crops: Tensor) -> dict[str, float]:
    """Same or not, for every pair of pictures of one person and as many pairs of two people.

    The threshold is chosen on the first half of the people and applied to the second.
    """
    people, pictures = crops.shape[:2]
    vectors = torch.cat([network(part.float() / 255) for part in crops.flatten(0, 1).split(128)])
    vectors = vectors.unflatten(0, (people, pictures))
    first, second = torch.triu_indices(pictures, pictures, 1)
    same = (vectors[:, first] * vectors[:, second]).sum(-1)
    half = people // 2
    stranger = torch.cat((torch.arange(half).roll(1), half + torch.arange(people - half).roll(1)))
    other = (vectors[:, first] * vectors[stranger][:, second]).sum(-1)
    candidates = torch.cat((same[:half].flatten(), other[:half].flatten())).sort().values
    right = torch.stack([(same[:half] > c).float().mean() + (other[:half] <= c).float().mean() for c in candidates])
    threshold = candidates[right.argmax()]
    accuracy = ((same[half:] > threshold).float().mean() + (other[half:] <= threshold).float().mean()) / 2
    return {
        "accuracy": accuracy.item(),
        "threshold": threshold.item(),
        "same": same.mean().item(),
        "other": other.mean().item(),
    }


def held_out(people: int, workers: int, first: int = HELD_OUT) -> Tensor:
    """Crops of people that the recogniser was not trained on, six pictures each, boxes exact."""
    return draw_people(first, people, 6, False, workers)[0]


def main(arguments: argparse.Namespace) -> None:
    from realisid_core.metrics.drawn_people import WEIGHTS, load_recogniser

    if not arguments.check:
        crops, vectors = draw_people(TRAINING, arguments.people, arguments.pictures, True, arguments.workers)
        network = train(crops, vectors, arguments.epochs, arguments.batch, arguments.rate, arguments.seed)
        save_file({key: value.half().contiguous() for key, value in network.state_dict().items()}, WEIGHTS)
    result = verification(load_recogniser(), held_out(arguments.held_out, arguments.workers))
    print(f"{arguments.held_out} held-out people, six pictures each, faces of {SIZES[0]} to {SIZES[1]} px:")
    print("  ".join(f"{name} {value:.4f}" for name, value in result.items()))


if __name__ == "__main__":
    find_host()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=2200)
    parser.add_argument("--pictures", type=int, default=8, help="of each of them (default %(default)s)")
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", type=int, default=500, help="people to verify (default %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--check", action="store_true", help="only verify with the weights that are there")
    main(parser.parse_args())
