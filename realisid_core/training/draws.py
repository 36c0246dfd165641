"""What chance decides about a training sample, as a function of the seed and the sample's number alone.

So the draws are the same whichever process, worker or run meets the sample: resuming is exact, and two processes train
what one with the doubled batch would.
"""

from dataclasses import dataclass

import numpy as np

DROP_PROBABILITY = 0.05


@dataclass(frozen=True)
class Draw:
    """Attributes:
    timestep: of the noise schedule, uniform in 0 … T − 1 (the paper's t ~ U(1, T)).
    noise: ε, standard normal, [C, H, W] float32.
    drop_identity, drop_text: whether the sample goes without its ID embedding, without its text, or both.
    place: two numbers in 0..1, where a window lies about the face, down and across.
    """

    timestep: int
    noise: np.ndarray
    drop_identity: bool
    drop_text: bool
    place: tuple[float, float]


def draw(seed: int, number: int, shape: tuple[int, ...], timesteps: int) -> Draw:
    """The draw of sample `number` of the run: one of three exclusive drops with probability 0.05 each (IP-Adapter)."""
    random = np.random.default_rng([seed, number])
    kind = random.random()
    return Draw(
        timestep=int(random.integers(timesteps)),
        noise=random.standard_normal(shape, dtype=np.float32),
        drop_identity=kind < DROP_PROBABILITY or 2 * DROP_PROBABILITY <= kind < 3 * DROP_PROBABILITY,
        drop_text=DROP_PROBABILITY <= kind < 3 * DROP_PROBABILITY,
        place=tuple(random.random(2).tolist()),
    )
