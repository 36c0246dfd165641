"""What a training step costs on this machine: `python benchmarks/training.py --help`.

The miniature's branches learn from windows of the face world's scenes, none of which comes twice. Each step is followed
by a bare one: forward and backward pass alone, on a batch that is already there. What a step takes beyond the bare one
is the trainer's own: reading and drawing, captions, optimiser, average. Medians of the process's CPU seconds, which
other work on the machine does not change, and of the clock.
"""

# ruff: noqa: E402

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PACK = Path(__file__).resolve().parent.parent
sys.path.append(str(PACK))

from realisid_core.bootstrap import find_host

find_host()

import numpy as np
import torch

from realisid_core.identity.photo_path import WORLD
from realisid_core.miniature import networks
from realisid_core.training.base import load_base
from realisid_core.training.data import batches
from realisid_core.training.loop import Training
from realisid_core.training.settings import Settings
from realisid_core.training.setup import make_accelerator, working_dtype
from realisid_core.training.shards import DatasetInfo, npy, write_shard
from research.world import caption, sample_scene
from research.world.render import project_person


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", choices=("no", "bf16"), required=True)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--window", type=int, default=16, help="latent cells (%(default)s)")
    parser.add_argument("--local-size", type=int, default=32, help="latent cells (%(default)s)")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        taken = measure(options, Path(folder))
    print(json.dumps(vars(options) | taken))


def measure(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Medians: CPU seconds and seconds of a step, CPU seconds of a bare one, and the trainer's share of the former."""
    write_samples(folder, options.batch_size * (options.steps + 3))
    settings = Settings(
        "miniature", folder, folder / "run", steps=1000, batch_size=options.batch_size, window=options.window,
        local_size=options.local_size, precision=options.precision, workers=0, fresh=True,
    )  # fmt: skip
    accelerator = make_accelerator(settings)
    training = Training(settings, accelerator, load_base("miniature", working_dtype(settings, accelerator.device)))
    stream = batches(training.data, training.share(), 0, pin=False)
    kept = next(stream)

    def bare() -> None:
        accelerator.backward(training.loss(training.trainee, kept))
        training.optimizer.zero_grad()

    steps, bares = [], []
    for number in range(options.steps + 2):
        steps.append(timed(lambda: training.step(stream).item()))
        bares.append(timed(bare))
        if number < 2:  # these allocate what later ones reuse
            steps.clear(), bares.clear()
    cpu, seconds = (statistics.median(values) for values in zip(*steps, strict=True))
    alone = statistics.median(values[0] for values in bares)
    return {"cpu_seconds": cpu, "seconds": seconds, "bare_cpu_seconds": alone, "own_share": 1 - alone / cpu}


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """(CPU seconds of this process, seconds)."""
    cpu, start = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - start


def write_samples(folder: Path, count: int) -> None:
    """A shard of random latents and features with the captions and faces of scenes of the face world."""
    rng = np.random.default_rng(0)
    size, tokens, width = (
        networks.FIRST.image_size,
        networks.IMAGE_TOKENS,
        networks.FIRST.image_encoder_config()["hidden_size"],
    )
    DatasetInfo("miniature", size, networks.FIRST.latent_channels, "miniature", tokens, width, WORLD).write(folder)

    def sample() -> dict[str, bytes]:
        scene = sample_scene(rng, people=(1, 3))
        facts = {"caption": caption(scene), "source": "", "sizes": [size, size, 0, 0, size, size]}
        shape = (networks.FIRST.latent_channels, size // 8, size // 8)
        return {
            "latent.npy": npy(rng.standard_normal(shape).astype(np.float16)),
            "features.npy": npy(rng.standard_normal((tokens, width)).astype(np.float16)),
            "landmarks.npy": npy((project_person(scene.people[0], size).landmarks / size).astype(np.float32)),
            "json": json.dumps(facts).encode(),
            "jpg": b"",
        }

    write_shard(folder, 0, (sample() for _ in range(count)), {"dropped": {}})


if __name__ == "__main__":
    main()
