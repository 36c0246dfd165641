"""Fresh pictures: the face world handed to `prepare`, and a run that takes each sample once while it is written."""

import io
import subprocess
import sys
from itertools import islice
from pathlib import Path
from threading import Timer

import numpy as np
import pytest
import torch
from PIL import Image
from small_training import random_samples, random_shards, same, training, weights

from realisid_core.perception import detect_faces
from realisid_core.training import shards as shards_of
from realisid_core.training.data import batches, read_sample
from realisid_core.training.prepare import Job, prepare
from realisid_core.training.shards import FreshShards, Shards, write_shard
from research.world.training_pictures import WorldPictures

PACK = Path(__file__).resolve().parent.parent.parent
SIZE = 256


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    report = prepare(Job(folder, "miniature", WorldPictures(seed=3, pictures=8, image_size=SIZE, shard_size=3)))
    assert (report["kept"], report["shards"]) == (8, 3)
    return folder


def test_the_face_world_is_prepared_with_exact_landmarks(world):
    shards = Shards(world)
    samples = [read_sample(shards, shard, row) for shard, count in enumerate(shards.counts) for row in range(count)]
    assert len({sample.caption for sample in samples}) > 5
    found = 0
    for sample in samples:
        picture = Image.open(io.BytesIO(sample.thumbnail)).resize((512, 512), Image.Resampling.BICUBIC)
        faces = detect_faces(torch.from_numpy(np.array(picture)).float()[None] / 255, required=False, threshold=0.5)
        x0, _, x1, _ = sample.box.scaled(512, 512)
        found += any(abs((f.box[0] + f.box[2]) - (x0 + x1)) / 2 < 0.3 * (x1 - x0) for f in faces.faces[0])
    assert found >= 6


def test_a_picture_of_the_world_depends_on_seed_and_number_alone():
    source = WorldPictures(seed=5, pictures=100, image_size=128)
    (third,) = source.portraits([3, 4], {})
    again = list(source.portraits([2, 4], {}))[1]
    other = WorldPictures(seed=6, pictures=100, image_size=128).portrait(3)
    assert np.array_equal(third.image, again.image) and torch.equal(third.face_crop, again.face_crop)
    assert third.caption == again.caption and not np.array_equal(third.image, other.image)


def test_pictures_of_the_world_have_one_to_three_people_and_every_mask():
    source = WorldPictures(seed=1, pictures=100, image_size=96)
    portraits = [source.portrait(number) for number in range(24)]
    assert {portrait.caption.split(" wearing")[0].split(",")[0] for portrait in portraits} == {
        "a person",
        "two persons",
        "three persons",
    }
    alone = WorldPictures(seed=1, pictures=100, image_size=96, people=1)
    assert all(alone.portrait(number).caption.startswith("a person ") for number in range(8))
    zeroed = [(portrait.face_crop.amax(-1) == 0).float().mean().item() for portrait in portraits]
    assert min(zeroed) < 0.02 and max(zeroed) > 0.3  # nothing, and all but the face's outline


def test_a_world_begun_otherwise_is_not_gone_on_with(world):
    with pytest.raises(ValueError, match="was begun with people 3"):
        prepare(Job(world, "miniature", WorldPictures(3, 8, SIZE, people=2, shard_size=3)))


def test_the_core_prepares_photos_without_research():
    code = "import sys, realisid_core.training.__main__, realisid_core.training.prepare, realisid_core.training.loop;"
    code += "print([name for name in sys.modules if name.split('.')[0] == 'research'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=PACK, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_world_has_a_command_of_its_own(tmp_path):
    command = [sys.executable, "-m", "research.world", "prepare", "--pictures", "2", "--output", str(tmp_path)]
    done = subprocess.run([*command, "--image-size", "128"], cwd=PACK, capture_output=True, text=True)
    assert "2 pictures kept in 1 shards; dropped: none." in done.stdout, done.stderr


# A run that takes every sample once


def test_a_fresh_run_takes_every_sample_once_in_the_order_of_the_shards(tmp_path):
    random_shards(tmp_path, 3, 4)
    fresh = FreshShards(tmp_path)
    assert [fresh.where(number) for number in range(12)] == [(shard, row) for shard in range(3) for row in range(4)]


def test_a_fresh_run_waits_for_what_is_still_being_written(tmp_path):
    random_shards(tmp_path, 1, 4)
    fresh = FreshShards(tmp_path)
    later = Timer(1.0, lambda: write_shard(tmp_path, 1, random_samples(seed=1, count=4), {"dropped": {}}))
    later.start()
    assert fresh.where(5) == (1, 1)
    later.join()


def test_a_fresh_run_says_when_nothing_more_will_come(tmp_path, monkeypatch):
    random_shards(tmp_path, 1, 4)
    monkeypatch.setattr(shards_of, "PATIENCE", 0.1)
    with pytest.raises(ValueError, match=r"has 4 samples and the run needs number 5\. Keep `prepare` running"):
        FreshShards(tmp_path).where(4)
    monkeypatch.setattr(shards_of, "PATIENCE", 600)
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(ValueError, match="has 4 samples"):
        FreshShards(tmp_path).where(4)


def test_a_fresh_run_is_resumed_exactly_whatever_has_been_written_since(tmp_path):
    data = random_shards(tmp_path / "data", 2, 4)
    straight = training(data, tmp_path / "straight", fresh=True, steps=4)
    straight.run()
    part = random_shards(tmp_path / "part", 1, 4)  # the first shard is the same
    training(part, tmp_path / "halves", fresh=True, steps=2).run()
    resumed = training(data, tmp_path / "halves", fresh=True, steps=4)
    resumed.load_newest_state()
    resumed.run()
    assert same(weights(straight.trainee), weights(resumed.trainee))


def test_readers_in_other_processes_wait_too(tmp_path):
    data = random_shards(tmp_path / "data", 1, 4)
    run = training(data, tmp_path, fresh=True)
    stream = batches(run.data, run.share(), workers=2, pin=False)
    later = Timer(1.5, lambda: write_shard(data, 1, random_samples(seed=1, count=8), {"dropped": {}}))
    later.start()
    sources = [source for batch in islice(stream, 4) for source in batch.sources]
    later.join()
    assert len(set(sources)) == 8


def test_a_world_picture_comes_with_all_its_people():
    """The first of them as where one is asked for, if the picture is of as many."""
    source = WorldPictures(seed=1, pictures=100, image_size=96, people=4, faces=4)
    pictures = [source.portrait(number) for number in range(12)]
    assert {len(picture.faces) for picture in pictures} >= {1, 2, 3}
    for picture in pictures:
        middles = [points.mean(0) for _, points in picture.faces]
        assert all(abs(a - b).max() > 0.02 for i, a in enumerate(middles) for b in middles[:i])
        assert all(crop.any() for crop, _ in picture.faces)
    assert "faces" not in WorldPictures(seed=1, pictures=1, image_size=96).settings()
