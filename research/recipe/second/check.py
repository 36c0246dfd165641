"""The gate of the autoencoder: what true pictures of unseen people lose by going through it, from 1/4 to 1/7."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from realisid_core.metrics.pose import BLENDSHAPES
from realisid_core.miniature import initial
from realisid_core.miniature.networks import SECOND
from realisid_core.perception import head_pose
from realisid_core.training.ema import averaged_model

from ...evaluation.judges import recognise
from ...evaluation.shape import distance, read_face, shape_vector
from ...world import Person, Pose, portrait, render, sample_person, sample_pose, sample_scene
from ..run import load_part

FIRST = 22 << 33  # the people's seeds; nothing else uses these
SIDES = {"1/4": 1 / 4, "1/5": 1 / 5, "1/6": 1 / 6, "1/7": 1 / 7}
KINDS = ("true", "autoencoded")
PORTRAIT = 512  # px, faces of half of that


def averaged(module: nn.Module, folder: Path) -> nn.Module:
    """`module` with the averaged weights of the state in `folder`, ready to use."""
    average = averaged_model(module, 0.999)
    load_part(average, torch.load(folder / "state.pt", map_location="cpu", weights_only=True)["average"])
    return average.module.eval()


def load_autoencoder(folder: Path) -> nn.Module:
    return averaged(initial.vae_module(SECOND), folder)


@torch.inference_mode()
def autoencoded(model: nn.Module, picture: np.ndarray) -> np.ndarray:
    """[S, S, 3] uint8 through the latents' means."""
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    mean = model.quant_conv(model.encoder(pixels)).chunk(2, dim=1)[0]
    decoded = model.decoder(model.post_quant_conv(mean))[0]
    return ((decoded.permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()


def check_autoencoder(model: nn.Module, judge: nn.Module | None, people: int, show=print) -> None:
    """Print the figures of true and autoencoded pictures at each size, with standard errors over people."""
    rows = {(kind, side): [] for kind in KINDS for side in SIDES}
    for number in range(people):
        for key, values in _person(model, judge, number).items():
            rows[key].append(values)
    names = ("similarity", "shape", "degrees", "blendshapes", "L1 in the box")
    show(f"{people} unseen people, one picture each at {SECOND.image_size}²: {', '.join(names)}")
    table = {key: np.array(values) for key, values in rows.items()}
    for (kind, side), values in table.items():
        means, errors = np.nanmean(values, 0), np.nanstd(values, 0) / np.sqrt(people)
        cells = "  ".join(f"{mean:.4f} ± {error:.4f}" for mean, error in zip(means, errors, strict=True))
        show(f"{kind:12} {side}  {cells}")
    for kind in KINDS:
        first, last = table[kind, "1/4"][:, 0], table[kind, "1/7"][:, 0]
        error = (first - last).std() / np.sqrt(people) / first.mean()
        show(f"{kind}: lost from 1/4 to 1/7 {100 * (1 - last.mean() / first.mean()):.1f} ± {100 * error:.1f} %")
    for place, name in ((2, "degrees"), (3, "blendshapes")):
        ratios = [np.nanmean(table["autoencoded", s][:, place]) / np.nanmean(table["true", s][:, place]) for s in SIDES]
        show(f"{name}: error of the true pictures' × " + ", ".join(f"{ratio:.2f}" for ratio in ratios))


def _person(model: nn.Module, judge: nn.Module | None, number: int) -> dict[tuple[str, str], list[float]]:
    """Of one person, the same scene at every size."""
    rng = np.random.default_rng([FIRST, number])
    who, pose = sample_person(FIRST + number), sample_pose(rng)
    turn = rng.uniform(-1, 1, 3) * (20, 10, 8)
    reference = render(portrait(who, Pose(*turn.tolist())), PORTRAIT)
    large = render(portrait(who, pose), PORTRAIT)
    asked = read_face(large.image, large.boxes[0])
    shape = read_face(reference.image, reference.boxes[0])
    base = sample_scene(rng, 1, (1 / 4, 1 / 4), styles=("photo",), world=2)
    result = {}
    for name, side in SIDES.items():
        x, y, old = base.people[0].box
        box = (x + (old - side) / 2, y + (old - side) / 2, side)
        scene = replace(base, people=(Person(who, pose, box, base.people[0].shirt),))
        drawn = render(scene, SECOND.image_size)
        for kind, picture in zip(KINDS, (drawn.image, autoencoded(model, drawn.image)), strict=True):
            similar = _similarity(judge, picture, drawn.boxes[0], reference)
            result[kind, name] = [similar, *_read(picture, drawn.boxes[0], asked, shape), _error(picture, drawn)]
    return result


def _similarity(judge: nn.Module | None, picture: np.ndarray, box: tuple, reference) -> float:
    if judge is None:
        return float("nan")
    vectors = recognise(judge, [picture, reference.image], [box, reference.boxes[0]])
    return (vectors[0] @ vectors[1]).item()


def _read(picture: np.ndarray, box: tuple, asked: dict | None, shape: dict | None) -> list[float]:
    """Distance of shapes to the reference; mean error of angles (degrees) and blendshapes to the large picture."""
    face = read_face(picture, box)
    if face is None or asked is None or shape is None:
        return [float("nan")] * 3
    angles = np.abs(np.subtract(head_pose(face), head_pose(asked))).mean()
    names = [name for names in BLENDSHAPES.values() for name in names]
    blendshapes = np.mean([abs(face["blendshapes"][name] - asked["blendshapes"][name]) for name in names])
    vectors = (torch.from_numpy(shape_vector(one)) for one in (face, shape))
    return [distance(*vectors).item(), float(angles), float(blendshapes)]


def _error(picture: np.ndarray, drawn) -> float:
    x0, y0, x1, y1 = (max(0, round(value)) for value in drawn.boxes[0])
    inside = np.s_[y0:y1, x0:x1]
    return float(np.abs(picture[inside].astype(int) - drawn.image[inside]).mean() / 255)
