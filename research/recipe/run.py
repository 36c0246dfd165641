"""What every training here shares: its folder, exact resuming, the log of its losses."""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from realisid_core.training.loss_table import LossTable
from realisid_core.training.precision import autocast
from realisid_core.training.setup import keep_freed_memory

LOG_EVERY = 50


@dataclass(frozen=True)
class Plan:
    """How a part is trained: `batch` items a step, peak learning rate `rate`, `precision` "no", "bf16" or "fp16"."""

    steps: int
    batch: int
    seed: int
    rate: float
    save_minutes: float
    precision: str

    def autocast(self) -> AbstractContextManager:
        """The forward pass's rounding."""
        return autocast(self.precision, device())


def device() -> torch.device:
    return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")


def generator(seed: int, step: int) -> torch.Generator:
    """The randomness of one step: nothing of it needs to be saved to resume exactly."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def learning_rate(step: int, steps: int, peak: float, warmup: int = 200, decay: float = 0.3) -> float:
    """Warm-up, plateau, and a linear fall to a hundredth over the last `decay` of the run."""
    left = (steps - step) / (decay * steps)
    return peak * min(1.0, (step + 1) / warmup) * max(0.01, min(1.0, left))


class Run:
    """One training, in one folder: `state.pt`, written whole or not at all, and `losses.csv`.

    Attributes:
        step: how many steps are done; where the folder holds a state, training goes on exactly there.
    """

    def __init__(self, folder: Path, parts: Mapping[str, Any]):
        self.folder, self.parts, self.step = folder, parts, 0
        self.recent: list[dict[str, Tensor]] = []
        folder.mkdir(parents=True, exist_ok=True)
        if device().type == "cpu":
            keep_freed_memory()
        if (folder / "state.pt").exists():
            state = torch.load(folder / "state.pt", map_location=device(), weights_only=True)
            self.step = state["step"]
            for name, part in parts.items():
                load_part(part, state[name])
        self.losses = LossTable(folder / "losses.csv")
        self.losses.forget_after(self.step)

    def steps(self, last: int, save_minutes: float) -> Iterator[int]:
        """Numbers of the steps to take, up to `last`; saves on the way and at the end.

        SIGTERM ends the run after the step in hand, saved like the end.
        """
        asked: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
        saved = began = time.monotonic()
        first = self.step
        while self.step < last:
            yield self.step
            self.step += 1
            now = time.monotonic()
            if self.step % LOG_EVERY == 0 or self.step == last:
                self._write_log((now - began) / (self.step - first))
            if now - saved > 60 * save_minutes or self.step == last or asked:
                self.save()
                saved = now
            if asked:
                return

    def save(self) -> None:
        unfinished = self.folder / "state.pt.part"
        torch.save({"step": self.step, **{name: part.state_dict() for name, part in self.parts.items()}}, unfinished)
        os.replace(unfinished, self.folder / "state.pt")

    def note(self, **losses: Tensor) -> None:
        self.recent.append({name: loss.detach() for name, loss in losses.items()})

    def _write_log(self, seconds: float) -> None:
        means = {
            name: torch.stack([row[name] for row in self.recent if name in row]).mean().item()
            for name in {name: None for row in self.recent for name in row}
        }
        self.recent.clear()
        row = {name: f"{mean:.5f}" for name, mean in means.items()}
        self.losses.note(self.step, **row, seconds_per_step=f"{seconds:.3f}")
        print(self.step, {name: round(mean, 5) for name, mean in means.items()}, f"{seconds:.2f} s a step", flush=True)


def load_part(part: Any, state: Mapping[str, Any]) -> None:
    """A part of a run's state; states from before averages were torch's `AveragedModel` are read too."""
    if "shadow" in state:
        names = [name for name, _ in part.module.named_parameters()]
        part.module.load_state_dict(dict(zip(names, state["shadow"], strict=True)), strict=False)
        part.n_averaged.fill_(state["steps"])
    else:
        part.load_state_dict(state)


def take_step(loss: Tensor, module: nn.Module, optimizer: torch.optim.Optimizer, rate: float) -> None:
    """One optimiser step with the gradient's norm clipped to 1."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimizer.step()
