"""The trainer as it is started: by `accelerate launch`, in one process and in two."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_training import random_shards

from realisid_core.checkpoint import load_checkpoint
from realisid_core.training.base import load_base
from realisid_core.training.dry_run import dry_run
from realisid_core.training.requirements import needed
from realisid_core.training.settings import Settings
from realisid_core.training.setup import make_config
from realisid_core.training.shards import DatasetInfo
from realisid_core.training.trainee import Trainee

PACK = Path(__file__).resolve().parent.parent
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def launch(data: Path, output: Path, processes: int, batch_size: int) -> dict:
    """Train the miniature for three steps; the trained weights."""
    parallel = ["--multi_gpu"] if processes > 1 else ["--cpu"]  # without a GPU the former starts processes on the CPU
    command = [sys.executable, "-m", "accelerate.commands.launch", *parallel, "--num_processes", str(processes)]
    command += ["--main_process_port", "0", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["-m", "realisid_core.training", "train", "--base", "miniature"]
    command += ["--data", str(data), "--output", str(output), "--steps", "3", "--batch-size", str(batch_size)]
    command += ["--learning-rate", "1e-3", "--precision", "no", "--workers", "0", "--local-size", "8", "--ema", "0"]
    command += ["--sample-every", "0"]
    done = subprocess.run(command, cwd=PACK, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return load_file(output / "state-00000003" / "model.safetensors")


def untrained(data: Path) -> dict:
    base = load_base("miniature")
    settings = Settings("miniature", data, data, steps=0, local_size=8)
    torch.manual_seed(settings.seed)
    return Trainee(base, make_config(settings, base, DatasetInfo.read(data))).state_dict()


def distance(a: dict, b: dict) -> float:
    return float(sum((a[key].double() - b[key]).square().sum() for key in a)) ** 0.5


def test_two_processes_train_what_one_does_with_the_doubled_batch(tmp_path):
    data = random_shards(tmp_path / "data", base="miniature")
    alone, together = launch(data, tmp_path / "one", 1, 2), launch(data, tmp_path / "two", 2, 1)
    assert alone.keys() == together.keys()
    start = untrained(data)
    assert distance(alone, together) < 1e-3 * distance(alone, start)
    for name in ("one", "two"):
        assert load_checkpoint(tmp_path / name / "realisid.safetensors").config.base == "miniature"
    logs = [(tmp_path / name / "losses.csv").read_text().splitlines()[-1].split(",") for name in ("one", "two")]
    assert logs[0][:2] == logs[1][:2] == ["3", "6"]
    assert float(logs[0][2]) == pytest.approx(float(logs[1][2]), rel=1e-4)


def test_a_dry_run_says_what_training_will_need(tmp_path):
    settings = Settings("miniature", random_shards(tmp_path / "data", base="miniature"), tmp_path, steps=1000)
    said = dry_run(replace(settings, precision="no", local_size=8, batch_size=1))
    assert "UNet 12.4 M (frozen), local branch 6.6 M, global branch 6.6 M" in said and " M learn (all)" in said
    memory = {line.split("GiB")[1].strip(): float(line.split()[0]) for line in said.splitlines() if line[:2] == "  "}
    assert memory["AdamW"] == pytest.approx(2 * memory["gradients"], abs=0.02)
    assert memory["activations, batch of 1 (measured)"] > 0.01
    trained = memory["gradients"]
    assert not any("temporary" in name for name in memory)  # AdamW is fused
    assert memory["text encoders"] > 0
    state = float(said.split("Disk: ")[1].split()[0])
    assert state == pytest.approx(4 * trained, abs=0.02)  # weights, two of AdamW, average
    assert "more while a sample grid is drawn" in said
    assert "s a step of 1 samples" in said and "1000 steps take" in said
    assert not list(tmp_path.glob("state-*"))


def test_a_missing_package_is_named_with_what_to_install():
    with pytest.raises(ImportError, match=r"needs the Python package no_such_thing.*requirements-training\.txt"):
        needed("no_such_thing.part")


def test_a_mistake_is_one_line_and_not_a_traceback(tmp_path):
    command = [sys.executable, "-m", "realisid_core.training", "train", "--base", "miniature", "--data", str(tmp_path)]
    command += ["--output", str(tmp_path / "run"), "--steps", "1"]
    done = subprocess.run(command, cwd=PACK, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Run `prepare` first" in done.stderr and "Traceback" not in done.stderr
