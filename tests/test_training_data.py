"""`prepare` on real photos: what it keeps, what it drops and why, and going on after being killed."""

import json
import os
import subprocess
import sys
import tarfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from einops import reduce
from photos import EXAMPLES, pixels, side_by_side
from PIL import Image
from small_training import random_shards, training

from realisid_core.geometry import from_pixels
from realisid_core.identity.clip_projector import fingerprint_of
from realisid_core.identity.photo_path import WORLD, PhotoPath
from realisid_core.miniature.loading import load_miniature
from realisid_core.perception import crop_frame, detect_faces, face_landmarks
from realisid_core.training import prepare as preparing
from realisid_core.training.base import load_base
from realisid_core.training.data import read_faces, read_sample
from realisid_core.training.photos import Photos, caption_of, read_candidates
from realisid_core.training.pictures import Dropped, Rules, make_portrait, read_picture, square_crop
from realisid_core.training.prepare import Job, describe, encoders, prepare
from realisid_core.training.settings import Settings
from realisid_core.training.setup import make_config
from realisid_core.training.shards import DatasetInfo, Shards, is_done, npy, read_npy, write_shard

PACK = Path(__file__).resolve().parent.parent
RULES = Rules(image_size=256, smallest_side=128)


def job(output: Path, images: Path, rules: Rules = RULES, **options) -> Job:
    return Job(output, "miniature", Photos(str(images), rules, **options))


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
    return output, prepare(job(output, folder))


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
    report = prepare(job(output, tmp_path))
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


def test_a_picture_that_went_is_one_picture_lost(tmp_path):
    path = tmp_path / "somebody.jpg"
    path.with_suffix(".txt").write_text("somebody")
    (found,) = read_candidates([path])
    assert (found.data, found.caption) == (b"", "somebody")


CAPTION = "ein Mädchen, 女孩"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_caption_in_a_unicode_encoding_is_read_as_it_was_written(encoding):
    assert caption_of(CAPTION.encode(encoding), None) == CAPTION
    assert caption_of(None, json.dumps({"caption": CAPTION}, ensure_ascii=False).encode(encoding)) == CAPTION


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("ein Mädchen".encode("latin-1"), "caption is not UTF-8"),
        (CAPTION.encode("gb18030"), "caption is not UTF-8"),
        ("a girl".encode("utf-16-le"), "caption is not UTF-8"),
        ("ein M\ufffddchen".encode(), "caption is not UTF-8"),
        (b"\xef\xbb\xbf \n", "no caption"),
    ],
)
def test_a_caption_that_would_come_through_as_garbage_is_dropped_and_reported(tmp_path, data, reason):
    save(pixels("astronaut"), tmp_path / "a.png", caption=None)
    (tmp_path / "a.txt").write_bytes(data)
    (found,) = read_candidates([tmp_path / "a.png"])
    with pytest.raises(Dropped, match=reason):
        make_portrait(found, RULES)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ('{"caption": "é"}'.encode("latin-1"), "caption is not UTF-8"),
        (b'{"caption": ["a", "b"]}', "caption is no text"),
        (b'{"caption": 5}', "caption is no text"),
        (b'{"caption": ', "caption's JSON cannot be read"),
        (b"[" * 100000, "caption's JSON cannot be read"),
        (b"[]", "no caption"),
    ],
)
def test_a_caption_in_json_is_text_or_nothing(facts, reason):
    with pytest.raises(Dropped, match=reason):
        caption_of(None, facts)


def test_a_picture_of_16_bits_is_not_cut_off_at_255(tmp_path):
    grey = np.tile(np.linspace(0, 65535, 200).astype(np.uint16), (100, 1))
    Image.fromarray(grey).save(tmp_path / "grey.png")
    read = np.asarray(read_picture((tmp_path / "grey.png").read_bytes()))
    assert read.shape == (100, 200, 3) and abs(read[..., 0].astype(int) - grey / 257).max() <= 1
    Image.fromarray(np.zeros((9, 9), np.float32)).save(tmp_path / "floats.tiff")
    with pytest.raises(Dropped, match="not a picture of 8 or 16 bits"):
        read_picture((tmp_path / "floats.tiff").read_bytes())


def test_a_sample_with_a_value_that_is_not_finite_is_dropped(prepared, folder, monkeypatch, tmp_path):
    """One such cell would make every weight NaN."""
    vae, clip_vision = encoders("miniature", None)

    class Overflowing:  # as half precision's do, here and there
        latent_channels = vae.latent_channels

        def encode(self, pixels):
            latents = vae.encode(pixels)
            latents[0, 0, 3, 3] = 1e6  # inf in float16
            return latents

    monkeypatch.setattr(preparing, "encoders", lambda *_: (Overflowing(), clip_vision))
    report = prepare(job(tmp_path, folder))
    assert report["kept"] == 1 and report["dropped"]["latent not finite"] == 1


def test_a_folder_begun_otherwise_is_not_gone_on_with(prepared, tmp_path):
    with pytest.raises(ValueError, match=r"was begun with images '.*', smallest_side 128"):
        prepare(job(prepared[0], tmp_path, replace(RULES, smallest_side=64)))


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
    report = prepare(job(tmp_path, folder, shard_size=1))
    assert report["dropped"] == prepared[1]["dropped"] and report["kept"] == 2
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())
    assert not list(tmp_path.glob("*.part"))


def test_shards_of_other_settings_are_not_mixed(prepared, folder):
    with pytest.raises(ValueError, match=r"prepared with another .*keep"):
        prepare(job(prepared[0], folder, Rules(256, 128, parser="landmarks", keep="everything")))


@pytest.mark.parametrize("size", [0, -64, 100, 250])
def test_a_size_that_the_networks_cannot_halve_is_refused(tmp_path, size):
    with pytest.raises(ValueError, match=f"Pictures of {size} pixels cannot be trained on; --image-size takes"):
        prepare(job(tmp_path / "out", tmp_path, replace(RULES, image_size=size)))


def test_a_place_without_pictures_is_refused(tmp_path):
    with pytest.raises(ValueError, match="No pictures"):
        prepare(job(tmp_path / "out", tmp_path / "nothing here"))


def test_the_square_is_the_middle_unless_the_face_is_not_in_it():
    assert square_crop(300, 200, (130, 80, 170, 120)) == (50, 0, 200)
    assert square_crop(300, 200, (10, 80, 50, 120)) == (0, 0, 200)
    assert square_crop(300, 200, (40, 80, 80, 120)) == (20, 0, 200)
    assert square_crop(200, 300, (80, 250, 140, 310)) == (0, 100, 200)


def test_a_data_set_and_its_checkpoints_say_how_photos_became_crops(prepared):
    """As `make_portrait` does it with these rules; and whose weights the image encoder has."""
    info = DatasetInfo.read(prepared[0])
    assert info.photo_path == PhotoPath("yunet", "landmarks", 0.0, "person", "face and hair")
    assert info.clip_fingerprint == fingerprint_of(load_miniature().clip_vision)
    settings = Settings("miniature", prepared[0], prepared[0], 1)
    config = make_config(settings, load_base("miniature"), info)
    assert (config.photo_path, config.clip_fingerprint) == (info.photo_path, info.clip_fingerprint)


def test_a_data_set_from_before_that_says_what_it_can(prepared, tmp_path):
    values = asdict(DatasetInfo.read(prepared[0]))
    del values["photo_path"], values["clip_fingerprint"]
    for base, expected in (("miniature", WORLD), ("sdxl", PhotoPath("yunet", "detector", 0.0, "landmarks", "face"))):
        (tmp_path / "dataset.json").write_text(json.dumps({**values, "base": base, "keep": "face"}))
        assert DatasetInfo.read(tmp_path).photo_path == expected


def test_a_picture_of_several_people_is_kept_with_all_of_them(tmp_path):
    """Shards of version 2; with one face asked for, they stay as they were."""
    folder, output = tmp_path / "pictures", tmp_path / "shards"
    folder.mkdir()
    two = (side_by_side()[0].numpy() * 255).astype(np.uint8)
    save(np.pad(two, ((256, 256), (0, 0), (0, 0)), constant_values=120), folder / "two people.png", "two people")
    save(pixels("astronaut"), folder / "one.png", "one")
    save(np.tile(two, (1, 2, 1)), folder / "four in a row.png", "four people")
    report = prepare(job(output, folder, replace(RULES, faces=2)))
    assert (report["kept"], report["dropped"]) == (2, {"more than 2 faces": 1})
    assert (
        "faces too far apart for a square"
        in prepare(job(tmp_path / "more", folder, replace(RULES, faces=8)))["dropped"]
    )
    shards = Shards(output)
    assert shards.info.format_version == 2
    samples = {found[0].caption: found for found in (read_faces(shards, 0, row) for row in range(2))}
    assert {caption: len(found) for caption, found in samples.items()} == {"one": 1, "two people": 2}
    left, right = sorted(samples["two people"], key=lambda face: face.box.x)
    assert left.box.x + left.box.width < right.box.x
    assert not torch.equal(left.features, right.features)
    assert torch.equal(left.latent, right.latent)
    alone = make_portrait(candidate(folder / "one.png"), RULES)
    assert np.allclose(alone.landmarks * 256, samples["one"][0].face["landmarks_xy"], atol=1e-3)


def candidate(path: Path):
    return next(iter(read_candidates([path])))


def test_samples_of_several_faces_train_by_their_first_where_one_is_asked_for(tmp_path):
    data = random_shards(tmp_path / "data")
    one = read_sample(Shards(data), 0, 0)
    assert len(read_faces(Shards(data), 0, 0)) == 1
    (tmp_path / "several").mkdir()
    replace(DatasetInfo.read(data), format_version=2).write(tmp_path / "several")
    members = Shards(data).read(0, 0)
    twice = {
        name: npy(np.stack([read_npy(members[name])] * 2)) if name in ("features.npy", "landmarks.npy") else value
        for name, value in members.items()
    }
    write_shard(tmp_path / "several", 0, [twice] * 4, {"dropped": {}})
    several = read_sample(Shards(tmp_path / "several"), 0, 0)
    assert several.box == one.box
    assert torch.equal(several.features, one.features)
    training(tmp_path / "several", tmp_path / "run", steps=1).run()


def test_shards_of_a_later_version_are_refused(tmp_path):
    data = random_shards(tmp_path / "data")
    facts = json.loads((data / "dataset.json").read_text(encoding="utf-8"))
    (data / "dataset.json").write_text(json.dumps(facts | {"format_version": 3}), encoding="utf-8")
    with pytest.raises(ValueError, match="format version 3; expected 1 or 2"):
        DatasetInfo.read(data)
