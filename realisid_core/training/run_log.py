"""What a run tells of itself: losses in tables and in TensorBoard, and sample grids."""

from pathlib import Path

import numpy as np
from PIL import Image

from .loss_table import LossTable


class RunLog:
    """`losses.csv`, `validation.csv`, `samples/` and TensorBoard's log in a run's folder."""

    def __init__(self, folder: Path, accelerator):
        self.folder, self.accelerator = folder, accelerator
        self.losses = LossTable(folder / "losses.csv")
        self.validations = LossTable(folder / "validation.csv")

    def step(self, step: int, samples: int, loss: float, rate: float) -> None:
        self.accelerator.log({"loss": loss, "learning rate": rate, "samples": samples}, step=step)
        if self.accelerator.is_main_process:
            self.losses.note(step, samples=samples, loss=f"{loss:.6f}", learning_rate=rate)

    def validation(self, step: int, loss: float) -> None:
        self.accelerator.log({"validation loss": loss}, step=step)
        if self.accelerator.is_main_process:
            self.validations.note(step, loss=f"{loss:.6f}")

    def grid(self, step: int, grid: Image.Image) -> None:
        """Of the main process alone."""
        (self.folder / "samples").mkdir(exist_ok=True)
        grid.save(self.folder / "samples" / f"step-{step:08d}.jpg", quality=90)
        writer = self.accelerator.get_tracker("tensorboard").writer
        writer.add_image("samples", np.asarray(grid), step, dataformats="HWC")

    def forget_after(self, step: int) -> None:
        """Lines of steps that a resumed run takes again go."""
        if self.accelerator.is_main_process:
            for table in (self.losses, self.validations):
                table.forget_after(step)
