"""The editor's route: boxes of a picture's faces, whatever it is asked, within bounds."""

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor

import folder_paths
import numpy as np
import photos
import pytest
from aiohttp import ClientSession, web
from PIL import Image
from realisid_pack.nodes import photo_faces

from realisid_core.box_formats import parse_boxes

FRAME = {"width": 512, "height": 512}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The host's input folder, with the astronaut in it."""
    monkeypatch.setattr(folder_paths, "input_directory", str(tmp_path / "input"))
    (tmp_path / "input").mkdir()
    Image.fromarray(photos.pixels("astronaut")).save(tmp_path / "input" / "astronaut.png")
    return tmp_path / "input"


def ask(*bodies: bytes | dict, charset: str = "utf-8") -> list[tuple[int, dict]]:
    """Status and JSON of each request, all at once, over real HTTP."""

    async def talk():
        photo_faces._one_at_a_time = asyncio.Semaphore(1)  # of this loop
        app = web.Application()
        app.add_routes(photo_faces.ROUTES)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]

        async def one(session, body):
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers = {"Content-Type": f"application/json; charset={charset}"}
            async with session.post(f"http://127.0.0.1:{port}/realisid/faces", data=data, headers=headers) as answer:
                return answer.status, await answer.json()

        try:
            async with ClientSession() as session:
                return await asyncio.gather(*(one(session, body) for body in bodies))
        finally:
            await runner.cleanup()

    with ThreadPoolExecutor(1) as thread:  # a browser of other tests may have a loop in this one
        return thread.submit(asyncio.run, talk()).result()


def wanted(filename: str, **changes) -> dict:
    return {"filename": filename, "subfolder": "", "type": "input", **FRAME, **changes}


def box_of(body: dict) -> tuple:
    ((status, answer),) = ask(body)
    assert status == 200, answer
    return parse_boxes(answer["boxes"], 512, 512).boxes[0].scaled(512, 512)


def test_a_picture_has_its_faces_boxes(folder):
    assert photos.overlap(box_of(wanted("astronaut.png")), photos.ASTRONAUT_BOX) > 0.7


def test_a_linked_picture_is_there(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (folder / "astronaut.png").rename(tmp_path / "elsewhere" / "a.png")
    try:
        (folder / "linked.png").symlink_to(tmp_path / "elsewhere" / "a.png")
        (folder / "album").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    except OSError:
        pytest.skip("SKIPPED: links need a right that this account does not have.")
    assert box_of(wanted("linked.png")) == box_of(wanted("a.png", subfolder="album"))


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[1]", b"null", b"5", b'"x"', b"{", b"[" * 9000, b"\xff\xfe\x00", b'{"a": NaN}', b"{}"),
        b" " * 20_000,
        {},
        wanted("astronaut.png", width="x"),
        wanted("astronaut.png", width=None),
        wanted("astronaut.png", width=float("inf")),
        wanted("astronaut.png", height=10**30),
        wanted("astronaut.png", height=True),
        wanted("astronaut.png", height=0),
        wanted("a" * 900),
        wanted("a" * 5000),
        wanted("astronaut.png", subfolder=[1]),
        wanted("astronaut.png", type="models"),
        wanted("a\0b.png"),
        wanted("../input/../../etc/passwd"),
        wanted("/etc/passwd"),
        wanted(""),
    ],
)
def test_whatever_else_is_asked_gets_a_sentence(folder, body):
    ((status, answer),) = ask(body)
    assert status == 400 and answer["error"].endswith((".", "…}."))
    assert 20 < len(answer["error"]) < 400


def test_an_unknown_charset_is_no_matter(folder):
    ((status, _),) = ask(wanted("astronaut.png"), charset="klingon")
    assert status == 200


def test_a_picture_is_turned_as_load_image_turns_it(folder):
    turned = Image.fromarray(photos.pixels("astronaut")).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90° clockwise
    turned.save(folder / "turned.jpg", exif=exif, quality=95)
    assert np.abs(np.subtract(box_of(wanted("turned.jpg")), box_of(wanted("astronaut.png")))).max() < 6


@pytest.mark.parametrize("suffix", ["webp", "gif", "bmp", "tiff", "jpg"])
def test_formats_of_load_image_are_read(folder, suffix):
    Image.fromarray(photos.pixels("astronaut")).save(folder / f"picture.{suffix}")
    assert photos.overlap(box_of(wanted(f"picture.{suffix}")), photos.ASTRONAUT_BOX) > 0.7


def test_a_truncated_picture_is_read_as_load_image_reads_it(folder):
    Image.fromarray(photos.pixels("astronaut")).save(folder / "cut.jpg", quality=95)
    data = (folder / "cut.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(data[: int(len(data) * 0.9)])
    assert photos.overlap(box_of(wanted("cut.jpg")), photos.ASTRONAUT_BOX) > 0.7


def test_postscript_runs_no_program(folder, monkeypatch):
    """Pillow would hand it to Ghostscript."""
    Image.fromarray(photos.pixels("astronaut")).save(folder / "picture.eps")
    os.rename(folder / "picture.eps", folder / "picture.png")
    monkeypatch.setattr("subprocess.Popen", None)
    monkeypatch.setattr("subprocess.check_call", None)
    ((status, answer),) = ask(wanted("picture.png"))
    assert status == 400 and "cannot be read as a picture" in answer["error"]


@pytest.mark.parametrize("mode, side", [("RGBA", 7000), ("P", 8000), ("1", 20000)])
def test_a_small_file_of_a_huge_picture_is_refused_before_it_is_decoded(folder, mode, side):
    Image.new(mode, (side, side)).save(folder / "bomb.png")
    ((status, answer),) = ask(wanted("bomb.png"))
    assert status == 400 and "too large a picture" in answer["error"]


def test_a_large_photo_is_decoded_smaller(folder):
    Image.fromarray(photos.pixels("astronaut")).resize((8192, 8192)).save(folder / "large.jpg")
    assert photos.overlap(box_of(wanted("large.jpg")), photos.ASTRONAUT_BOX) > 0.7


def test_many_at_once_are_told_to_wait(folder):
    answers = ask(*[wanted("astronaut.png")] * 20)
    statuses = [status for status, _ in answers]
    assert set(statuses) == {200, 503} and statuses.count(200) >= photo_faces.MOST_WAITING
    assert not photo_faces._waiting
