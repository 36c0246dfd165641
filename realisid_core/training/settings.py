"""What a training run is told; the defaults are the paper's ("Implementation Details")."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Attributes:
    base: "miniature", or an SDXL checkpoint file that ComfyUI reads.
    data: folder that `prepare` filled.
    output: folder of this run: logs, sample grids, states to resume from, the checkpoint.
    steps: optimiser steps in all.
    validation: folder of other shards; with every state, the loss on some of its samples is noted.
    start_from: a trained RealisID checkpoint to fine-tune; None starts from the base's encoder.
    batch_size: samples a process takes at once; times `accumulate` times the processes makes the step's batch.
    learning_rate, weight_decay: of AdamW.
    warmup: steps over which the learning rate rises from zero.
    face_weight: λ of Eq. 7.
    clip_gradient: largest norm of the gradient; 0 does not clip.
    ema: decay of the weights' moving average, which is what the checkpoint holds; 0 keeps none.
    local_size: side of the enlarged face region in latent cells.
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
    steps: int
    validation: Path | None = None
    start_from: Path | None = None
    batch_size: int = 2
    accumulate: int = 1
    learning_rate: float = 1e-5
    weight_decay: float = 1e-2
    warmup: int = 0
    face_weight: float = 1.0
    clip_gradient: float = 1.0
    ema: float = 0.9999
    local_size: int = 64
    window: int = 0
    outline: bool = False
    y_mode: str = "sizes"
    crop: bool = True
    precision: str = "auto"
    recompute: bool = False
    workers: int = 4
    save_every: int = 1000
    sample_every: int = 1000
    log_every: int = 10
    seed: int = 0
    resume: bool = False
