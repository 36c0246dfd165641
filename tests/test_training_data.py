"""`prepare` on real photos: what it keeps, what it drops and why, and going on after being killed."""

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from einops import reduce
from photos import EXAMPLES, pixels, side_by_side
from PIL import Image

from realisid_core.geometry import from_pixels
from realisid_core.perception import crop_frame, detect_faces, face_landmarks
from realisid_core.training.data import read_sample
from realisid_core.training.pictures import Rules, make_portrait, read_candidates, square_crop
from realisid_core.training.prepare import Job, describe, encoders, prepare
from realisid_core.training.shards import Shards, is_done

PACK = Path(__file__).resolve().parent.parent
RULES = Rules(image_size=256, smallest_side=128)


def save(array: np.ndarray, path: Path, caption: str | None = "a person") -> None:
    Image.fromarray(array).save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two portraits; a picture without a face, one with two people, a broken one, a tiny one, one without caption."""
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("astronaut", "grace_hopper"):
        (folder / f"{name}.jpg").write_bytes((EXAMPLES / f"{name}.jpg").read_bytes())
    (folder / "astronaut.txt").write_text("a woman in a spacesuit", encoding="utf-8")
    (folder / "grace_hopper.json").write_text(json.dumps({"caption": "an admiral"}), encoding="utf-8")
    save(np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 256, 3)), folder / "nobody.png")
    save((side_by_side()[0].numpy() * 255).astype(np.uint8), folder / "two people.png")
    save(pixels("astronaut")[::8, ::8], folder / "tiny.png")
    save(pixels("astronaut"), folder / "wordless.png", caption=None)
    (folder / "broken.jpg").write_bytes((EXAMPLES / "astronaut.jpg").read_bytes()[:3000])
    (folder / "broken.txt").write_text("half of a picture", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def prepared(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("shards")
    return output, prepare(Job(output, "miniature", RULES, images=str(folder)))


def test_the_report_says_what_was_dropped_and_why(prepared):
    output, report = prepared
    names = {reason: [Path(name).name for name in files] for reason, files in report["dropped_files"].items()}
    assert report["kept"] == 2
    assert names == {
        "no face": ["nobody.png"],
        "more than one face": ["two people.png"],
        "unreadable": ["broken.jpg"],
        "too small": ["tiny.png"],
        "no caption": ["wordless.png"],
    }
    assert json.loads((output / "report.json").read_text(encoding="utf-8")) == report
    assert describe(report).startswith("2 pictures kept in 1 shards; dropped: 1 more than one face, 1 no caption")


def test_the_contact_sheet_shows_what_was_kept(prepared):
    with Image.open(prepared[0] / "contact_sheet.jpg") as sheet:
        tiles = np.asarray(sheet.resize((32, 16)))
    assert sheet.width == 2 * sheet.height
    assert np.ptp(tiles[:, :16]) > 100 and np.ptp(tiles[:, 16:]) > 100


def test_a_kept_sample_is_its_picture_cropped_square(prepared, folder):
    shards = Shards(prepared[0])
    sample = read_sample(shards, 0, 1)
    assert sample.caption == "an admiral"
    height, width = pixels("grace_hopper").shape[:2]
    side = min(height, width)
    assert sample.sizes[:2] == (height, width) and sample.sizes[4:] == (256, 256)
    top, left = (round(start * side / 256) for start in sample.sizes[2:4])
    expected = Image.fromarray(pixels("grace_hopper")[top : top + side, left : left + side])
    portrait = make_portrait(next(read_candidates([folder / "grace_hopper.jpg"])), RULES)
    resized = np.asarray(expected.resize((256, 256), Image.Resampling.LANCZOS))
    ours, theirs = (
        reduce(each.astype(float), "(y b) (x a) c -> y x c", "mean", a=8, b=8) for each in (portrait.image, resized)
    )
    assert np.abs(ours - theirs).mean() < 3  # the crop's corner is known in whole pixels of the small square
    image = torch.from_numpy(portrait.image.copy()).float()[None] / 255
    with torch.no_grad():
        assert torch.allclose(encoders("miniature", None)[0].encode(image)[0], sample.latent, atol=5e-3)
    face = face_landmarks(detect_faces(torch.from_numpy(resized.copy()).float()[None] / 255))["frames"][0][0]
    corners = np.array(from_pixels(*crop_frame(face), 256, 256).scaled(256, 256))
    assert np.abs(np.array(sample.box.scaled(256, 256)) - corners).max() < 6


def test_a_webdataset_gives_what_the_folder_gives(prepared, folder, tmp_path):
    with tarfile.open(tmp_path / "web.tar", "w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name.replace(" ", "_"))
    output = tmp_path / "shards"
    report = prepare(Job(output, "miniature", RULES, images=str(tmp_path)))
    assert report["dropped"] == prepared[1]["dropped"]
    ours, theirs = (sorted(read_all(at), key=lambda s: s.caption) for at in (output, prepared[0]))
    for a, b in zip(ours, theirs, strict=True):
        assert a.caption == b.caption and torch.equal(a.latent, b.latent) and torch.equal(a.features, b.features)


def test_a_webdataset_lies_wherever_its_name_says(folder, tmp_path):
    """Drive letters, backslashes and # mean something in WebDataset's own addresses."""
    path = tmp_path / "C#{1..2}.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("astronaut.jpg", "astronaut.txt"):
            tar.add(folder / name, name)
    assert [candidate.caption for candidate in read_candidates(path)] == ["a woman in a spacesuit"]


def test_a_caption_in_another_encoding_or_a_picture_that_went_is_one_picture_lost(tmp_path):
    path = tmp_path / "somebody.jpg"
    path.with_suffix(".json").write_bytes('{"caption": "é"}'.encode("latin-1"))
    (found,) = read_candidates([path])
    assert (found.data, found.caption) == (b"", None)


def test_a_folder_begun_otherwise_is_not_gone_on_with(prepared, tmp_path):
    with pytest.raises(ValueError, match=r"was begun with images '.*', smallest_side 128"):
        prepare(Job(prepared[0], "miniature", replace(RULES, smallest_side=64), images=str(tmp_path)))


def read_all(output: Path) -> list:
    shards = Shards(output)
    return [read_sample(shards, shard, row) for shard, count in enumerate(shards.counts) for row in range(count)]


def test_it_goes_on_after_being_killed(prepared, folder, tmp_path):
    options = ["--images", str(folder), "--base", "miniature", "--output", str(tmp_path), "--shard-size", "1"]
    command = [sys.executable, "-m", "realisid_core.training", "prepare", *options, "--smallest-side", "128"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=PACK, env=environment, stderr=subprocess.DEVNULL) as process:
        while not is_done(tmp_path, 1) and process.poll() is None:
            time.sleep(0.05)
        process.kill()
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("shard-*.json")}
    assert 0 < len(done) < 7
    report = prepare(Job(tmp_path, "miniature", RULES, images=str(folder), shard_size=1))
    assert report["dropped"] == prepared[1]["dropped"] and report["kept"] == 2
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())
    assert not list(tmp_path.glob("*.part"))


def test_shards_of_other_settings_are_not_mixed(prepared, folder):
    with pytest.raises(ValueError, match="prepared with another keep"):
        prepare(Job(prepared[0], "miniature", Rules(256, 128, parser="landmarks", keep="everything"), str(folder)))


def test_a_place_without_pictures_is_refused(tmp_path):
    with pytest.raises(ValueError, match="No pictures"):
        prepare(Job(tmp_path / "out", "miniature", RULES, images=str(tmp_path / "nothing here")))


def test_the_square_is_the_middle_unless_the_face_is_not_in_it():
    assert square_crop(300, 200, (130, 80, 170, 120)) == (50, 0, 200)
    assert square_crop(300, 200, (10, 80, 50, 120)) == (0, 0, 200)
    assert square_crop(300, 200, (40, 80, 80, 120)) == (20, 0, 200)
    assert square_crop(200, 300, (80, 250, 140, 310)) == (0, 100, 200)


def test_the_face_world_is_prepared_with_exact_landmarks(tmp_path):
    report = prepare(Job(tmp_path, "miniature", RULES, world=6, seed=3, shard_size=3))
    assert report["kept"] == 6 and report["shards"] == 2
    samples = read_all(tmp_path)
    assert len({sample.caption for sample in samples}) > 3
    found = 0
    for sample in samples:
        image = small_picture(sample)
        faces = detect_faces(image, required=False, threshold=0.5).faces[0]
        box = sample.box.scaled(256, 256)
        found += any(abs((f.box[0] + f.box[2]) / 2 - (box[0] + box[2]) / 2) < 0.3 * (box[2] - box[0]) for f in faces)
    assert found >= 4


def small_picture(sample) -> torch.Tensor:
    picture = Image.open(io.BytesIO(sample.thumbnail)).resize((256, 256), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(picture)).float()[None] / 255
