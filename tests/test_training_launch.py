"""The trainer as it is started: by `accelerate launch`, in one process and in two."""

import os
import shutil
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
from realisid_core.training.trainee import PART_NAMES, Trainee

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


SHARDED = (
    *("--use_fsdp", "--fsdp_version", "2", "--fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP"),
    *("--fsdp_transformer_layer_cls_to_wrap", "ResBlock,SpatialTransformer"),
    *("--fsdp_state_dict_type", "SHARDED_STATE_DICT", "--fsdp_cpu_ram_efficient_loading", "false"),
)


def run_of_twenty(data: Path, output: Path, sharded: bool, *options: str) -> tuple[list[float], dict]:
    """Its losses, and the checkpoint's averaged weights."""
    processes, how = ("2", SHARDED) if sharded else ("1", ("--cpu",))
    command = [sys.executable, "-m", "accelerate.commands.launch", *how, "--num_processes", processes]
    command += ["--main_process_port", "0", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += [str(PACK / "tests" / "fsdp_on_cpu.py"), "train", "--base", "miniature", "--data", str(data)]
    command += ["--output", str(output), "--steps", "20", "--batch-size", "1" if sharded else "2", "--save-every", "10"]
    command += ["--learning-rate", "1e-4", "--precision", "no", "--workers", "0", "--local-size", "8", "--ema", "0.9"]
    command += ["--sample-every", "0", "--log-every", "1", *options]
    environment = ENVIRONMENT | {"PYTHONPATH": str(PACK)}
    done = subprocess.run(command, cwd=PACK, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = (output / "losses.csv").read_text().splitlines()[1:]
    return [float(row.split(",")[2]) for row in rows], load_file(output / "realisid.safetensors")


def test_fsdp2_on_two_processes_trains_what_one_process_trains_and_resumes_exactly(tmp_path):
    data = random_shards(tmp_path / "data", base="miniature")
    losses, whole = run_of_twenty(data, tmp_path / "one", False)
    apart, shared = run_of_twenty(data, tmp_path / "two", True)
    assert (tmp_path / "two" / "state-00000020" / "pytorch_model_fsdp_1").is_dir(), "it was shared out, and the average"
    assert len(losses) == 20 and apart == pytest.approx(losses, rel=1e-4)
    start = {key: value.half() for key, value in checkpoint_of(data).items()}
    assert whole.keys() == shared.keys()
    assert distance(whole, shared) < 0.02 * distance(whole, start)
    assert load_checkpoint(tmp_path / "two" / "realisid.safetensors").config.base == "miniature"

    shutil.rmtree(tmp_path / "two" / "state-00000020")
    (tmp_path / "two" / "realisid.safetensors").unlink()
    again, resumed = run_of_twenty(data, tmp_path / "two", True, "--resume")
    assert again == apart
    with pytest.raises(AssertionError, match="--ema-on-cpu does not go with FSDP"):
        run_of_twenty(data, tmp_path / "three", True, "--ema-on-cpu")
    assert all(torch.equal(resumed[key], shared[key]) for key in shared), "bit for bit"


def checkpoint_of(data: Path) -> dict:
    """The weights before the first step, by the checkpoint's keys."""
    keys = ((key.partition("."), value) for key, value in untrained(data).items())
    return {f"{PART_NAMES[part]}.{rest}": value for (part, _, rest), value in keys}


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
