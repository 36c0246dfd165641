"""A sample of the standing guard's trials; `python -m headless.guard` runs thousands of them (docs/reliability.md)."""

import pytest
from conftest import PACK
from realisid_pack.headless.guard.files import damaged_files
from realisid_pack.headless.guard.trials import interrupts, random_graphs

SEED = 1  # not the command's, so that the test and the command try other graphs
CHECKPOINT = PACK / "realisid_core" / "miniature" / "weights" / "realisid.safetensors"


@pytest.mark.parametrize("first", range(0, 100, 25))
def test_every_random_graph_ends_in_a_picture_or_in_a_sentence(server, first):
    report = random_graphs(server, SEED, range(first, first + 25))
    assert report.bad == []
    assert report.counts["plain graphs bit-identical"] == 1
    assert report.counts["picture"] > 0


def test_an_interrupted_run_leaves_nothing_behind(server):
    report = interrupts(server, SEED, 10)
    assert report.bad == []
    assert report.counts["interrupted"] > 0


def test_a_damaged_checkpoint_is_refused_by_name_or_reads_as_before():
    assert damaged_files(CHECKPOINT, SEED, 60).bad == []
