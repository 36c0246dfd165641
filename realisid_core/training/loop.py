"""The training run: batches in, steps taken, states and checkpoints written."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from ..branches.local import PoseHint, local_view
from ..checkpoint import build, save_checkpoint
from .base import Base, load_base
from .data import Batch, RunSamples, Share, batches
from .ema import averaged_model, prepared_average
from .family import FamilySamples, new_trainee
from .learning import merged
from .precision import say_precision
from .run_log import RunLog
from .settings import Settings
from .setup import checked_window, make_accelerator, make_config, make_optimizer, with_precision, working_dtype
from .shards import DatasetInfo, FreshShards, Shards
from .start import start_from
from .states import finish_state, newest_state, progress_of, states_in, unfinished_state
from .step import batch_loss
from .trainee import Trainee, recompute_in_backward

CHECKPOINT = "realisid.safetensors"
VALIDATED = 256  # samples of the validation data, always the same with the same draws
SKIPPED_AT_MOST = 5  # steps in a row whose gradient is not finite
SCALE_SEARCH = 20  # as many that fp16 may need to find its scale


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


class Training:
    """Everything a run holds on to. `steps_done` steps are behind it, and `samples_seen` samples of the run."""

    def __init__(self, settings: Settings, accelerator, base: Base):
        self.settings, self.accelerator, self.base = settings, accelerator, base
        self.folder = settings.output
        self.folder.mkdir(parents=True, exist_ok=True)
        shards = (FreshShards if settings.fresh else Shards)(settings.data)
        self.config = make_config(settings, self.base, shards.info)
        self.data = self._samples_of(shards, settings.seed)
        self.validation = self._validation_data() if settings.validation else None
        torch.manual_seed(settings.seed)  # of the hint blocks and the projector: the same in every process
        trainee = new_trainee(self.base, self.config, settings.unet)
        self.names = trainee.names
        if settings.start_from:
            start_from(settings.start_from, trainee)
        trainee.learn_only(settings.train, working_dtype(settings, self.device))
        self.base.text("")  # before anything is moved to the accelerator
        self.base.freeze(self.device, working_dtype(settings, self.device))
        if self._sharded:
            trainee.to(memory_format=torch.contiguous_format)  # FSDP takes no other
        where = torch.device("cpu") if settings.ema_on_cpu else None
        self.average = averaged_model(trainee, settings.ema, where) if settings.ema else None
        if settings.recompute:
            recompute_in_backward(trainee, self.base.model.diffusion_model)
        self._prepare(trainee)
        self.log = RunLog(self.folder, accelerator)
        self.steps_done = self.samples_seen = self.skipped = 0

    def _prepare(self, trainee: Trainee) -> None:
        """Hand what changes to accelerate: it moves, wraps, saves and loads it."""
        s = self.settings
        optimizer = make_optimizer(s, [value for value in trainee.parameters() if value.requires_grad], self.device)
        self.schedule = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / max(s.warmup, 1)))
        self.accelerator.register_for_checkpointing(self.schedule)
        self.trainee, self.optimizer = self.accelerator.prepare(trainee, optimizer)
        if self.average and not s.ema_on_cpu:  # as FSDP wraps the trainee, so that each process averages its own part
            self.average.module = prepared_average(self.accelerator, self.average.module)

    def _samples_of(self, shards: Shards, seed: int) -> RunSamples:
        s = self.settings
        hint = PoseHint(local_view(s.crop, s.local_size), s.outline)
        timesteps = len(self.base.model.model_sampling.sigmas)
        options = shards, hint, seed, timesteps, checked_window(s.window, shards.info)
        return FamilySamples(*options, family=s.family) if s.family else RunSamples(*options)

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
        recent = []
        while self.steps_done < s.steps:
            recent.append(self.step(stream))
            bar.update()
            if due(self.steps_done, s.log_every, s.steps):
                loss = self.accelerator.gather(torch.stack(recent).nanmean()).nanmean().item()
                recent.clear()
                bar.set_postfix(loss=f"{loss:.4f}")
                rate = self.optimizer.param_groups[0]["lr"]
                self.log.step(self.steps_done, self.samples_seen, loss, rate)
            if due(self.steps_done, s.save_every, s.steps):
                self.save()
                if self.validation:
                    self.log.validation(self.steps_done, self.validation_loss())
            if s.sample_every and due(self.steps_done, s.sample_every, s.steps):
                self.sample()
        bar.close()
        self.accelerator.end_training()

    def share(self) -> Share:
        return Share(
            self.samples_seen, self.settings.batch_size, self.accelerator.process_index, self.accelerator.num_processes
        )

    def step(self, stream: Iterator[Batch]) -> Tensor:
        """One optimiser step on `accumulate` batches; this process's mean loss, detached; NaN where it was skipped.

        Raises:
            ValueError: too many steps in a row had to be skipped.
        """
        taken, losses, stepped = [], [], False
        for batch in islice(stream, self.settings.accumulate):
            with self.accelerator.accumulate(self.trainee):
                loss = self.loss(self.trainee, batch)
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients:
                    stepped = self._update()
            taken.append(batch)
            losses.append(loss.detach())
        self.steps_done += 1
        self.samples_seen += self.samples_per_step
        if not stepped:
            self._skip(taken)
            return torch.full_like(losses[0], torch.nan)
        self.skipped = 0
        if self.average:
            self.average.update_parameters(self.trainee)
        return torch.stack(losses).mean()

    def _update(self) -> bool:
        """Whether the optimiser stepped: it does not where the gradient is not finite, in any process."""
        clip = self.settings.clip_gradient or torch.inf
        norm = self.accelerator.clip_grad_norm_(self.trainee.parameters(), clip)
        if finite := bool(torch.isfinite(norm)) or self.accelerator.scaler is not None:
            self.optimizer.step()  # with fp16, its scaler looks at the gradient, and adapts
            finite = not self.accelerator.optimizer_step_was_skipped
        self.optimizer.zero_grad()
        self.schedule.step()
        return finite

    def _skip(self, taken: list[Batch]) -> None:
        """Say which samples a skipped step may be due to, and give up where it goes on."""
        self.skipped += 1
        broken = [source for batch in taken for source in batch.broken()]
        told = f"step {self.steps_done} was skipped: its gradient is not finite"
        tqdm.write(told + (f"; values of {', '.join(broken)} are not. Prepare them anew." if broken else "."))
        if self.skipped >= (SKIPPED_AT_MOST if self.accelerator.scaler is None else SCALE_SEARCH):
            raise ValueError(f"{self.skipped} steps in a row had no finite gradient. {self._last_good()}")

    def _last_good(self) -> str:
        states = states_in(self.folder)
        where = f"{states[-1].name} is the last good state" if states else "No state was written"
        return f"{where}. Look for broken samples in the data, or lower --learning-rate, and --resume."

    def loss(self, trainee: nn.Module, batch: Batch) -> Tensor:
        with self.accelerator.autocast():
            return batch_loss(self.base, trainee, batch, self.settings.face_weight, self.device)

    @property
    def averaged(self) -> nn.Module:
        """The trainee with its averaged weights, where there are any."""
        return self.average.module if self.average else self.trainee

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Eq. 7 of the averaged weights, of all processes, on pictures that are not trained on."""
        share = replace(self.share(), start=0)
        count = -(-VALIDATED // (share.batch_size * share.processes))
        stream = islice(batches(self.validation, share, workers=0, pin=False), count)
        averaged = self.averaged.to(self.device)
        losses = torch.stack([self.loss(averaged, batch) for batch in stream])
        if self.settings.ema_on_cpu:
            averaged.to("cpu")
        return self.accelerator.gather(losses.mean()).mean().item()

    # What is written

    def save(self) -> None:
        """The state to resume from, then the checkpoint as it stands.

        Raises:
            ValueError: a weight is not finite; nothing is written, and no older state goes.
        """
        for module in (self.trainee, self.averaged):
            for name, value in module.named_parameters():
                if not torch.isfinite(value).all():
                    raise ValueError(f"At step {self.steps_done} {name} is not finite. {self._last_good()}")
        unfinished = unfinished_state(self.folder, self.steps_done)
        self.accelerator.save_state(str(unfinished))
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            done = {"steps_done": self.steps_done, "samples_seen": self.samples_seen, "run": self._same_run()}
            finish_state(unfinished, done | {"averaged": int(self.average.n_averaged) if self.average else 0})
        self.export(self.folder / CHECKPOINT)
        self.accelerator.wait_for_everyone()

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """The checkpoint's parts: averaged weights in float16 on the CPU."""
        parts: dict[str, dict[str, Tensor]] = {}
        for key, value in merged(self.accelerator.get_state_dict(self.averaged)).items():
            part, _, rest = key.partition(".")
            parts.setdefault(self.names[part], {})[rest] = value.to("cpu", torch.float16)
        return parts

    def export(self, path: Path) -> None:
        """The checkpoint that RealisID_LoadModel reads."""
        parts = self.parts()
        if self.accelerator.is_main_process:
            save_checkpoint(path, self.config, parts)

    def sample(self) -> None:
        """A grid of pictures by the averaged weights as they are."""
        from .samples import sample_grid

        state = {f"{part}.{key}": value for part, values in self.parts().items() for key, value in values.items()}
        if self.accelerator.is_main_process:
            grid = sample_grid(self.base, build(self.config, state, f"step {self.steps_done}"), self.data)
            self.log.grid(self.steps_done, grid)
            self.base.take_back(self.device)
        self.accelerator.wait_for_everyone()

    # Resuming

    def load_newest_state(self) -> None:
        """Go on exactly where the newest state was saved.

        Raises:
            ValueError: there is none, or it is of a run with other settings.
        """
        newest = newest_state(self.folder, self._same_run())
        self.accelerator.load_state(str(newest))
        progress = progress_of(newest)
        self.steps_done, self.samples_seen = progress["steps_done"], progress["samples_seen"]
        if self.average:
            self.average.n_averaged.fill_(progress["averaged"])
        self.log.forget_after(self.steps_done)

    def _same_run(self) -> dict:
        """What must not change between a run and its resumption."""
        names = ("face_weight", "window", "ema", "seed", "learning_rate", "weight_decay", "warmup", "clip_gradient",
                 "precision", "fresh", "train", "optimizer")  # fmt: skip
        settings = {name: getattr(self.settings, name) for name in names}
        count = None if self.settings.fresh else len(self.data.shards)
        if not self.settings.unet:  # states of before there was such a choice do not name it
            settings["unet"] = False
        return settings | asdict(self.config) | {"samples per step": self.samples_per_step, "number of samples": count}

    @property
    def _sharded(self) -> bool:
        return self.accelerator.distributed_type.name == "FSDP"


def due(step: int, every: int, last: int) -> bool:
    return step == last or bool(every and step % every == 0)
