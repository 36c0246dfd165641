"""The precision that a training computes in: bf16 only where the processor gains by it."""

import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_training import random_shards, training

from realisid_core.training import precision
from realisid_core.training.precision import autocast, chosen_precision
from realisid_core.training.settings import Settings
from realisid_core.training.setup import with_precision

PACK = Path(__file__).resolve().parent.parent
CPU = torch.device("cpu")


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="a switch of x86 processors")
def test_a_processor_without_bf16_instructions_trains_in_float32():
    """oneDNN can be told to use AVX2 alone, as on a processor that has nothing newer: bf16 costs ten times as much."""
    code = (
        "import realisid_core.training, torch; from realisid_core.training.precision import chosen_precision as c;"
        "print(c('auto', torch.device('cpu')))"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", code], cwd=PACK, env=environment, capture_output=True, text=True)
    assert done.stdout.startswith("('no', 'in bf16 a convolution takes"), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("share", "chosen"), [(0.4, "bf16"), (0.8, "bf16"), (2.0, "no"), (13.0, "no"), (float("inf"), "no")]
)
def test_bf16_is_taken_where_it_pays(monkeypatch, share, chosen):
    monkeypatch.setattr(precision, "bf16_time", lambda _: share)
    assert chosen_precision("auto", CPU)[0] == chosen
    assert chosen_precision("bf16", CPU) == ("bf16", "as given")


def test_a_precision_that_there_is_not_is_named():
    with pytest.raises(ValueError, match="precision is 'fp8'; give one of auto, no, bf16, fp16"):
        chosen_precision("fp8", CPU)


def test_a_resumed_run_keeps_the_precision_that_it_began_with(tmp_path, monkeypatch):
    training(random_shards(tmp_path / "data"), tmp_path, steps=1).run()  # in float32
    monkeypatch.setattr(precision, "bf16_time", lambda _: 0.1)
    asked = Settings("small", tmp_path / "data", tmp_path, steps=2)
    assert with_precision(asked)[0].precision == "bf16"
    resumed, why = with_precision(replace(asked, resume=True))
    assert (resumed.precision, why) == ("no", "as the run began")


def test_trainings_without_accelerate_round_alike():
    image, kernel = torch.randn(1, 2, 4, 4), torch.randn(2, 2, 3, 3)
    for name, dtype in (("no", torch.float32), ("bf16", torch.bfloat16)):
        with autocast(name, CPU):
            assert torch.conv2d(image, kernel).dtype == dtype
