"""The training run: batches in, steps taken, states and checkpoints written."""

import json
import shutil
from contextlib import nullcontext
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ..branches.local import PoseHint, local_view
from ..checkpoint import RealisIDConfig, load_checkpoint, save_checkpoint
from ..geometry import LATENT_CELL
from .base import Base, load_base
from .data import Batch, RunSamples, Share, batches
from .ema import Average
from .loss_table import LossTable
from .precision import AUTO, DTYPES, chosen_precision, say_precision
from .requirements import needed
from .settings import Settings
from .shards import DatasetInfo, Shards
from .step import batch_loss
from .trainee import Trainee, recompute_in_backward

CHECKPOINT = "realisid.safetensors"
STATES_KEPT = 2
VALIDATED = 256  # samples of the validation data, always the same with the same draws
WINDOW_STEP = 8  # latent cells: the UNet halves them twice, and SDXL itself is trained on multiples of eight


def train(settings: Settings) -> Path:
    """Train from `settings`; returns the checkpoint's path.

    Raises:
        ValueError: a base, a data set and settings that do not belong together, or an output folder that holds another
            run's states; says which.
        ImportError: accelerate or tensorboard missing.
    """
    DatasetInfo.read(settings.data)  # a mistake is to show before anything large is loaded
    if not settings.resume and (found := states_in(settings.output)):
        raise ValueError(
            f"{settings.output} holds the states of a run ({found[-1].name} is the newest). Give --resume to go on, "
            "or another --output."
        )
    settings, why = with_precision(settings)
    accelerator = make_accelerator(settings)  # it tells the host which GPU is this process's
    accelerator.print(say_precision(settings.precision, why))
    training = Training(settings, accelerator, load_base(settings.base, working_dtype(settings, accelerator.device)))
    if settings.resume:
        training.load_newest_state()
    training.run()
    return training.folder / CHECKPOINT


def with_precision(settings: Settings) -> tuple[Settings, str]:
    """The settings with "auto" decided, and why in words. A run that is resumed keeps the precision it has."""
    if settings.precision == AUTO and settings.resume and (states := states_in(settings.output)):
        return replace(settings, precision=progress_of(states[-1])["run"]["precision"]), "as the run began"
    available = torch.accelerator.is_available()
    device = torch.accelerator.current_accelerator() if available else torch.device("cpu")
    precision, why = chosen_precision(settings.precision, device)
    return replace(settings, precision=precision), why


def make_accelerator(settings: Settings):
    """accelerate's Accelerator. Raises ImportError where a package is missing, ValueError under DeepSpeed."""
    needed("tensorboard")
    accelerator = needed("accelerate").Accelerator(
        cpu=not torch.accelerator.is_available(),
        mixed_precision=settings.precision,
        gradient_accumulation_steps=settings.accumulate,
        log_with="tensorboard",
        project_dir=str(settings.output),
    )
    if accelerator.state.deepspeed_plugin is not None:
        raise ValueError(
            "DeepSpeed keeps the weights in half precision and steps by itself, so --ema, --clip-gradient and "
            "--accumulate would have no effect. Choose FSDP in `accelerate config`."
        )
    return accelerator


def states_in(folder: Path) -> list[Path]:
    """The states of a run in its folder, the newest last."""
    return sorted(path for path in folder.glob("state-*") if path.suffix != ".part")


def progress_of(state: Path) -> dict:
    """How far a state is, and the settings of its run."""
    return json.loads((state / "progress.json").read_text(encoding="utf-8"))


def make_config(settings: Settings, base: Base, info: DatasetInfo) -> RealisIDConfig:
    """What the checkpoint will say of itself. Raises ValueError where the data were prepared for another base."""
    channels = base.model.latent_format.latent_channels
    if (info.base, info.latent_channels) != (base.name, channels):
        raise ValueError(
            f"The data in {settings.data} were prepared for {info.base} ({info.latent_channels} latent channels); "
            f"the base is {base.name} ({channels}). Prepare them with the same --base."
        )
    return RealisIDConfig(
        base=base.name,
        context_dim=base.unet_config["context_dim"],
        clip_vision=info.clip_vision,
        clip_tokens=info.clip_tokens,
        clip_width=info.clip_width,
        local_size=settings.local_size,
        keep=info.keep,
        outline=settings.outline,
        y_mode=settings.y_mode,
        crop=settings.crop,
    )


def checked_window(window: int, info: DatasetInfo) -> int:
    """Raises ValueError for a window that the UNet cannot halve, or that is no part of the data's pictures."""
    side = info.image_size // LATENT_CELL
    if window and (window % WINDOW_STEP or not 0 < window < side):
        raise ValueError(
            f"--window {window} is not possible: the data's latents are {side} cells wide; give a multiple of "
            f"{WINDOW_STEP} below that, or 0 for whole pictures."
        )
    return window


def working_dtype(settings: Settings, device: torch.device) -> torch.dtype:
    """What the frozen UNet is kept in: the precision of the computation; on the CPU float32, which autocast rounds."""
    return DTYPES[settings.precision] if device.type != "cpu" else torch.float32


class Training:
    """Everything a run holds on to. `steps_done` steps are behind it, and `samples_seen` samples of the run."""

    def __init__(self, settings: Settings, accelerator, base: Base):
        self.settings, self.accelerator, self.base = settings, accelerator, base
        self.folder = settings.output
        self.folder.mkdir(parents=True, exist_ok=True)
        shards = Shards(settings.data)
        self.config = make_config(settings, self.base, shards.info)
        self.data = self._samples_of(shards, settings.seed)
        self.validation = self._validation_data() if settings.validation else None
        torch.manual_seed(settings.seed)  # of the hint blocks and the projector: the same in every process
        trainee = Trainee(self.base, self.config)
        if settings.start_from:
            trainee.start_from(load_checkpoint(settings.start_from))
        self.base.text("")  # before anything is moved to the accelerator
        self.base.freeze(self.device, working_dtype(settings, self.device))
        if settings.recompute:
            recompute_in_backward(trainee, self.base.model.diffusion_model)
        if self._sharded:
            trainee.to(memory_format=torch.contiguous_format)  # FSDP takes no other
        optimizer = torch.optim.AdamW(
            trainee.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.trainee, self.optimizer = self.accelerator.prepare(trainee, optimizer)
        self.average = Average(self.trainee.parameters(), settings.ema) if settings.ema else None
        self.losses = LossTable(self.folder / "losses.csv")
        self.validation_losses = LossTable(self.folder / "validation.csv")
        self.steps_done = self.samples_seen = 0

    def _samples_of(self, shards: Shards, seed: int) -> RunSamples:
        s = self.settings
        hint = PoseHint(local_view(s.crop, s.local_size), s.outline)
        timesteps = len(self.base.model.model_sampling.sigmas)
        return RunSamples(shards, hint, seed, timesteps, checked_window(s.window, shards.info))

    def _validation_data(self) -> RunSamples:
        settings = replace(self.settings, data=self.settings.validation)
        shards = Shards(settings.data)
        if differing := make_config(settings, self.base, shards.info).differences(self.config):
            raise ValueError(f"{settings.data} was prepared with {differing}; prepare it like --data.")
        return self._samples_of(shards, seed=0)

    @property
    def device(self) -> torch.device:
        return self.accelerator.device

    @property
    def samples_per_step(self) -> int:
        return self.settings.batch_size * self.settings.accumulate * self.accelerator.num_processes

    def run(self) -> None:
        """Steps until `settings.steps`, with everything that happens every so many of them."""
        s = self.settings
        stream = batches(self.data, self.share(), s.workers, pin=self.device.type == "cuda")
        self.accelerator.init_trackers("log")
        bar = tqdm(total=s.steps, initial=self.steps_done, disable=not self.accelerator.is_main_process, unit="step")
        recent: list[torch.Tensor] = []
        while self.steps_done < s.steps:
            recent.append(self.step(stream))
            bar.update()
            if due(self.steps_done, s.log_every, s.steps):
                loss = self.accelerator.gather(torch.stack(recent).mean()).mean().item()
                recent.clear()
                bar.set_postfix(loss=f"{loss:.4f}")
                self.log(loss)
            if due(self.steps_done, s.save_every, s.steps):
                self.save()
                if self.validation:
                    self.log_validation(self.validation_loss())
            if s.sample_every and due(self.steps_done, s.sample_every, s.steps):
                self.sample()
        bar.close()
        self.accelerator.end_training()

    def share(self) -> Share:
        return Share(
            self.samples_seen, self.settings.batch_size, self.accelerator.process_index, self.accelerator.num_processes
        )

    def step(self, stream) -> torch.Tensor:
        """One optimiser step on `accumulate` batches; this process's mean loss, detached."""
        s = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = s.learning_rate * min(1.0, (self.steps_done + 1) / max(s.warmup, 1))
        losses = []
        for batch in islice(stream, s.accumulate):
            with self.accelerator.accumulate(self.trainee):
                loss = self.loss(batch)
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients and s.clip_gradient:
                    self.accelerator.clip_grad_norm_(self.trainee.parameters(), s.clip_gradient)
                self.optimizer.step()
                self.optimizer.zero_grad()
            losses.append(loss.detach())
        self.steps_done += 1
        self.samples_seen += self.samples_per_step
        if self.average:
            self.average.update()
        return torch.stack(losses).mean()

    def loss(self, batch: Batch) -> torch.Tensor:
        with self.accelerator.autocast():
            return batch_loss(self.base, self.trainee, batch, self.settings.face_weight, self.device)

    def _averaged(self):
        """The trainee has its averaged weights inside, where there are any."""
        return self.average.in_place() if self.average else nullcontext()

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Eq. 7 of the averaged weights, of all processes, on pictures that are not trained on."""
        share = replace(self.share(), start=0)
        count = -(-VALIDATED // (share.batch_size * share.processes))
        stream = islice(batches(self.validation, share, workers=0, pin=False), count)
        with self._averaged():
            losses = torch.stack([self.loss(batch) for batch in stream])
        return self.accelerator.gather(losses.mean()).mean().item()

    # What is written

    def log(self, loss: float) -> None:
        """One line to TensorBoard and to losses.csv."""
        rate = self.optimizer.param_groups[0]["lr"]
        self.accelerator.log({"loss": loss, "learning rate": rate, "samples": self.samples_seen}, step=self.steps_done)
        if self.accelerator.is_main_process:
            self.losses.note(self.steps_done, samples=self.samples_seen, loss=f"{loss:.6f}", learning_rate=rate)

    def log_validation(self, loss: float) -> None:
        """One line to TensorBoard and to validation.csv."""
        self.accelerator.log({"validation loss": loss}, step=self.steps_done)
        if self.accelerator.is_main_process:
            self.validation_losses.note(self.steps_done, loss=f"{loss:.6f}")

    def save(self) -> None:
        """The state to resume from, then the checkpoint as it stands."""
        name = f"state-{self.steps_done:08d}"
        unfinished = self.folder / f"{name}.part"
        self.accelerator.save_state(str(unfinished))
        if self.average and (self._sharded or self.accelerator.is_main_process):
            torch.save(self.average.state_dict(), unfinished / self._average_file)
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            progress = {"steps_done": self.steps_done, "samples_seen": self.samples_seen, "run": self._same_run()}
            (unfinished / "progress.json").write_text(json.dumps(progress), encoding="utf-8")
            shutil.rmtree(self.folder / name, ignore_errors=True)
            unfinished.rename(self.folder / name)
            for old in states_in(self.folder)[:-STATES_KEPT]:
                shutil.rmtree(old)
        self.export(self.folder / CHECKPOINT)
        self.accelerator.wait_for_everyone()

    def export(self, path: Path) -> None:
        """The checkpoint that RealisID_LoadModel reads: averaged weights in float16."""
        names = {"local": "local", "global_": "global", "projector": "id_projector"}
        parts: dict[str, dict] = {name: {} for name in names.values()}
        with self._averaged():
            for key, value in self.accelerator.get_state_dict(self.trainee).items():
                part, _, rest = key.partition(".")
                parts[names[part]][rest] = value.to("cpu", torch.float16, copy=True)  # of weights that will change back
        if self.accelerator.is_main_process:
            save_checkpoint(path, self.config, parts)

    def sample(self) -> None:
        """A grid of pictures by the checkpoint just saved."""
        from .samples import sample_grid

        if not (self.folder / CHECKPOINT).exists():
            self.export(self.folder / CHECKPOINT)
        if self.accelerator.is_main_process:
            grid = sample_grid(self.base, self.folder / CHECKPOINT, self.data)
            (self.folder / "samples").mkdir(exist_ok=True)
            grid.save(self.folder / "samples" / f"step-{self.steps_done:08d}.jpg", quality=90)
            writer = self.accelerator.get_tracker("tensorboard").writer
            writer.add_image("samples", np.asarray(grid), self.steps_done, dataformats="HWC")
        self.base.model.to(self.device)  # the host may have moved it
        self.accelerator.wait_for_everyone()

    # Resuming

    def load_newest_state(self) -> None:
        """Go on exactly where the newest state was saved.

        Raises:
            ValueError: there is none, or it is of a run with other settings.
        """
        if not (states := states_in(self.folder)):
            raise ValueError(f"There is no state in {self.folder} to resume from. Start without --resume.")
        newest = states[-1]
        progress = progress_of(newest)
        mine, theirs = self._same_run(), progress["run"]
        if differing := [key for key in mine if mine[key] != theirs.get(key)]:
            raise ValueError(
                f"{newest.name} is of a run with another {', '.join(differing)}; give the same to resume exactly."
            )
        self.accelerator.load_state(str(newest))
        if self.accelerator.is_main_process:
            for table in (self.losses, self.validation_losses):
                table.forget_after(progress["steps_done"])
        if self.average:
            self.average.load_state_dict(
                torch.load(newest / self._average_file, map_location=self.device, weights_only=True)
            )
        self.steps_done, self.samples_seen = progress["steps_done"], progress["samples_seen"]

    def _same_run(self) -> dict:
        """What must not change between a run and its resumption."""
        names = ("face_weight", "window", "ema", "seed", "learning_rate", "weight_decay", "warmup", "clip_gradient",
                 "precision")  # fmt: skip
        settings = {name: getattr(self.settings, name) for name in names}
        counts = {"samples per step": self.samples_per_step, "number of samples": len(self.data.shards)}
        return settings | asdict(self.config) | counts

    @property
    def _sharded(self) -> bool:
        return self.accelerator.distributed_type.name == "FSDP"

    @property
    def _average_file(self) -> str:
        return f"average-{self.accelerator.process_index if self._sharded else 0}.pt"


def due(step: int, every: int, last: int) -> bool:
    return step == last or bool(every and step % every == 0)
