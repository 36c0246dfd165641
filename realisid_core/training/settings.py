"""What a training run is told; the defaults are the paper's ("Implementation Details")."""

from dataclasses import dataclass, field, fields
from pathlib import Path

from ..config import RealisIDConfig, flag, matching, number, one_of, rule_of, shown, whole
from ..geometry import MAX_BOXES
from .learning import ALL, EXPECTED, can_learn
from .precision import AUTO, DTYPES

MANY = 10**9
OPTIMIZERS = ("adamw", "adamw8bit")
local_size_field = next(each for each in fields(RealisIDConfig) if each.name == "local_size")


@dataclass(frozen=True)
class Settings:
    """Attributes:
    base: "miniature", or an SDXL checkpoint file that ComfyUI reads.
    data: folder that `prepare` filled.
    output: folder of this run: logs, sample grids, states to resume from, the checkpoint.
    steps: optimiser steps in all.
    validation: folder of other shards; with every state, the loss on some of its samples is noted.
    start_from: a trained RealisID checkpoint to fine-tune, or "instantid:" and IdentityNet's file; None starts from
        the base's encoder.
    train: which weights of the branches learn, "all", "attention" or "lora:RANK" (`learning`).
    fresh: take each sample of `data` once, in order, and wait for those that `prepare` has yet to write.
    batch_size: samples a process takes at once; times `accumulate` times the processes makes the step's batch.
    optimizer: "adamw", or "adamw8bit" of bitsandbytes, whose state takes a quarter.
    learning_rate, weight_decay: of the optimiser.
    warmup: steps over which the learning rate rises from zero.
    face_weight: λ of Eq. 7.
    clip_gradient: largest norm of the gradient; 0 does not clip.
    ema: decay of the weights' moving average, which is what the checkpoint holds; 0 keeps none.
    ema_on_cpu: keep that average in the computer's memory, not the accelerator's.
    local_size: side of the enlarged face region in latent cells.
    family: InstantFamily: so many faces of a picture are stacked; 0 trains RealisID, on one face.
    mask: InstantFamily: how tokens of others are hidden, "exclude" or the paper's "literal".
    unet: InstantFamily: False trains the ablation whose UNet reads no faces.
    window: side in latent cells of the part of each picture, round the face, that is trained on; 0: the whole.
    outline: draw the face's outline into the pose-expression image.
    y_mode: the branches' vector conditioning, "sizes" or "prompt".
    crop: False trains the ablation, whose local branch sees the whole latent.
    precision: "no" (float32), "bf16", "fp16", or "auto": bf16 where the processor gains by it (`chosen_precision`).
    recompute: gradient checkpointing.
    workers: processes that read ahead.
    save_every, sample_every, log_every: steps; 0 never (a run always saves at its end).
    resume: go on from the newest state in `output`.
    """

    base: str
    data: Path
    output: Path
    steps: int = whole(0, 0, MANY)
    validation: Path | None = None
    start_from: str | Path | None = None
    train: str = matching(ALL, EXPECTED, can_learn)
    fresh: bool = flag(False)
    batch_size: int = whole(2, 1, MANY)
    accumulate: int = whole(1, 1, MANY)
    optimizer: str = one_of("adamw", *OPTIMIZERS)
    learning_rate: float = number(1e-5, 0, 1)
    weight_decay: float = number(1e-2, 0, 1)
    warmup: int = whole(0, 0, MANY)
    face_weight: float = number(1.0, 0, 1e6)
    clip_gradient: float = number(1.0, 0, 1e6)
    ema: float = number(0.9999, 0, 1)
    ema_on_cpu: bool = flag(False)
    local_size: int = field(default=64, metadata=local_size_field.metadata)
    family: int = whole(0, 0, MAX_BOXES)
    mask: str = one_of("exclude", "exclude", "literal")
    unet: bool = flag(True)
    window: int = 0
    outline: bool = flag(False)
    y_mode: str = one_of("sizes", "sizes", "prompt")
    crop: bool = flag(True)
    precision: str = one_of(AUTO, AUTO, *DTYPES)
    recompute: bool = flag(False)
    workers: int = whole(4, 0, 256)
    save_every: int = whole(1000, 0, MANY)
    sample_every: int = whole(1000, 0, MANY)
    log_every: int = whole(10, 0, MANY)
    seed: int = whole(0, 0, 2**63)
    resume: bool = flag(False)

    def __post_init__(self) -> None:
        """Raises ValueError naming the first option with a value that it cannot have, and what was expected."""
        for each in fields(self):
            value = getattr(self, each.name)
            if each.metadata and not rule_of(each).holds(value):
                option = each.name.replace("_", "-")
                raise ValueError(f"--{option} is {shown(value)}; expected {rule_of(each).expected}.")
        if self.family and self.window:
            raise ValueError(f"--window is {self.window}; expected 0 with --family, which trains on whole pictures.")
