"""What the parser keeps, and where facexlib's weights come from. The weights are made here, in its own layout."""

import hashlib
import http.server
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import folder_paths
import numpy as np
import photos
import pytest
import torch
from PIL import Image
from realisid_pack.nodes.previews import masks_picture

from realisid_core import geometry
from realisid_core.perception import (
    KEEP,
    Parsing,
    detect_faces,
    detection,
    face_landmarks,
    faces_from_boxes,
    masked_crops,
    model_files,
    parse_faces,
    parsing,
)
from realisid_core.perception.landmark_paths import FACE_OVAL


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty models/facexlib, and no network loaded yet."""
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "facexlib", ([str(tmp_path)], {".pth"}))
    yield tmp_path
    parsing._bisenet_model.cache_clear()
    detection._retinaface_model.cache_clear()


def place(folder, monkeypatch, module, name: str, weights: dict) -> model_files.ModelFile:
    """Save `weights` as the model file `name` of `module`, which from now on expects this very file."""
    model = getattr(module, name)
    torch.save(weights, folder / model.name)
    data = (folder / model.name).read_bytes()
    expected = replace(model, size=len(data), sha256=digest(data))
    monkeypatch.setattr(module, name, expected)
    return expected


def bisenet(seed: int = 0):
    from facexlib.parsing.bisenet import BiSeNet

    torch.manual_seed(seed)
    return BiSeNet(num_class=19).eval()


def of_one_class(number: int):
    """A BiSeNet that sees one class everywhere."""
    network = bisenet()
    head = network.conv_out
    head.conv.bn.weight.data.zero_()
    head.conv.bn.bias.data.fill_(1)  # so that every feature is 1
    head.conv_out.weight.data.zero_()
    head.conv_out.weight.data[number] = 1
    return network


@pytest.fixture
def faces():
    return detect_faces(photos.side_by_side())


def test_the_landmarks_outline_serves_without_weights(faces, folder):
    parsed = parse_faces(faces, "landmarks", "face")
    assert parsed.parsed == Parsing("landmarks", "face")
    landmarks = face_landmarks(faces)["frames"][0]
    for face, marks in zip(parsed.faces[0], landmarks, strict=True):
        assert face.mask.shape == (512, 1024) and face.mask.min() >= 0 and face.mask.max() == 1
        for x, y in marks["landmarks_xy"][[1, 33, 263, 61, 291]].round().astype(int):  # nose, eyes, mouth
            assert face.mask[y, x] == 1
        x0, y0, x1, y1 = marks["bbox_xyxy"]
        assert photos.overlap((x0, y0, x1, y1), extent(face.mask)) > 0.95
        ring = marks["landmarks_xy"][list(FACE_OVAL)]
        assert area(ring) <= face.mask.sum() <= area(ring) + length(ring)  # at most the edge's pixels more
    said = parse_faces(faces, "landmarks", "face and hair").parsed
    assert said == Parsing("landmarks", "face") and "no hair: choose the method person" in str(said)


def test_weights_without_facexlib_do_not_stop_what_chooses_by_itself(faces, folder, monkeypatch):
    (folder / model_files.BISENET.name).write_bytes(b"another pack's")
    monkeypatch.setitem(sys.modules, "facexlib", None)
    assert parse_faces(faces, "auto", "face").parsed == Parsing("person", "face")


def area(ring: np.ndarray) -> float:
    """By the shoelace formula."""
    (x, y), (to_x, to_y) = ring.T, np.roll(ring, -1, axis=0).T
    return abs(x @ to_y - to_x @ y) / 2


def length(ring: np.ndarray) -> float:
    return np.linalg.norm(ring - np.roll(ring, -1, axis=0), axis=1).sum()


def extent(mask: torch.Tensor) -> tuple:
    rows, columns = (mask > 0.5).any(1).nonzero(), (mask > 0.5).any(0).nonzero()
    return columns[0].item(), rows[0].item(), columns[-1].item() + 1, rows[-1].item() + 1


def test_crops_are_the_box_with_the_rest_zeroed(faces, folder):
    parsed = parse_faces(faces, "landmarks", "face")
    crops = masked_crops(parsed, 224)
    assert crops.shape == (2, 224, 224, 3)
    for crop, face in zip(crops, parsed.faces[0], strict=True):
        picture = Image.fromarray(parsed.pixels(0))
        expected = picture.resize((224, 224), Image.Resampling.BICUBIC, box=face.box)  # wholly inside the frame
        mask = Image.fromarray(face.mask.numpy()).resize((224, 224), Image.Resampling.BICUBIC, box=face.box)
        expected = np.asarray(expected) / 255 * np.asarray(mask).clip(0, 1)[..., None]
        assert np.abs(crop.numpy() - expected).max() < 0.01
        assert not crop[0, 0].any() and crop[112, 112].sum() > 0.5


def test_everything_zeroes_nothing(faces):
    parsed = parse_faces(faces, keep="everything")
    assert torch.equal(masked_crops(parsed, 96), masked_crops(faces, 96))
    assert masks_picture(parsed).shape == (2, 512, 512, 3)


@pytest.mark.parametrize("options", [{"method": "sam"}, {"keep": "shoes"}])
def test_unknown_choices_are_named(faces, options):
    with pytest.raises(ValueError, match=r"expected one of"):
        parse_faces(faces, **options)


def test_bisenet_gives_what_facexlibs_own_network_gives(faces, folder, monkeypatch):
    network = bisenet(3)
    place(folder, monkeypatch, parsing, "BISENET", network.state_dict())
    parsed = parse_faces(faces, "auto", "head and neck")
    assert parsed.parsed == Parsing("bisenet", "head and neck") and str(parsed.parsed) == "BiSeNet: head and neck"
    face = parsed.faces[0][0]
    x0, y0, x1, y1 = geometry.square(*face.found, parsing.SURROUNDINGS)  # inside the frame for this face
    crop = Image.fromarray(parsed.pixels(0)).resize((512, 512), Image.Resampling.BICUBIC, box=(x0, y0, x1, y1))
    x = torch.from_numpy(np.array(crop)).permute(2, 0, 1)[None].float() / 255
    x = (x - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with torch.no_grad():
        classes = network(x)[0][0].argmax(0)
    kept = torch.isin(classes, torch.tensor(KEEP["head and neck"])).float()
    assert 0.02 < kept.mean() < 0.98
    in_box = Image.fromarray(face.mask.numpy()).resize((512, 512), Image.Resampling.BILINEAR, box=(x0, y0, x1, y1))
    assert np.abs(np.asarray(in_box) - kept.numpy()).mean() < 0.15  # the mask has the photo's resolution, not 512
    outside = face.mask.clone()
    outside[int(y0) - 1 : int(y1) + 2, int(x0) - 1 : int(x1) + 2] = 0
    assert not outside.any()


@pytest.mark.parametrize(
    "number, keep, kept",
    [(17, "face", False), (17, "face and hair", True), (16, "head and neck", False), (10, "face", True)],
)
def test_keep_chooses_among_the_classes(folder, monkeypatch, number, keep, kept):
    """17 is hair, 16 cloth, 10 the nose."""
    place(folder, monkeypatch, parsing, "BISENET", of_one_class(number).state_dict())
    crops = masked_crops(parse_faces(detect_faces(photos.photo()), "bisenet", keep), 32)
    assert crops.any().item() == kept


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("module, name", [(parsing, "BISENET"), (detection, "RETINAFACE")])
def test_weights_that_cannot_be_had_are_named_with_path_size_and_source(faces, folder, monkeypatch, module, name):
    model = replace(getattr(module, name), url=f"http://127.0.0.1:{closed_port()}/weights.pth")
    monkeypatch.setattr(module, name, model)
    with pytest.raises(ValueError) as error:
        if module is parsing:
            parse_faces(faces, "bisenet")
        else:
            detect_faces(photos.photo(), "retinaface")
    for said in (str(folder / model.name), f"{model.size:,} bytes", model.url, model.sha256):
        assert said in str(error.value)
    assert list(folder.iterdir()) == []


@pytest.fixture
def web():
    """A web server on this machine; what it serves is in `web.files`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.files[self.path])

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files = {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_download_is_checked_before_it_is_kept(folder, web):
    data = bytes(range(256)) * 9000
    web.files = {"/good": data, "/other": data[::-1]}
    at = f"http://127.0.0.1:{web.server_port}"
    model = replace(model_files.BISENET, size=len(data), sha256=digest(data), url=f"{at}/other")
    with pytest.raises(ValueError, match=r"/other sent is refused.*2,304,000 bytes"):
        model_files.obtain(model)
    assert list(folder.iterdir()) == []
    path = model_files.obtain(replace(model, url=f"{at}/good"))
    assert path == folder / model.name and path.read_bytes() == data
    web.files = {}
    assert model_files.obtain(model) == path  # from now on without the network
    path.write_bytes(data[:-1])
    with pytest.raises(ValueError, match=r"is refused.*Delete it"):
        model_files.obtain(model)


def test_three_downloads_at_once_all_have_the_file(folder, web):
    data = bytes(range(256)) * 9000
    web.files = {"/good": data}
    model = replace(
        model_files.BISENET, size=len(data), sha256=digest(data), url=f"http://127.0.0.1:{web.server_port}/good"
    )
    with ThreadPoolExecutor(3) as pool:
        paths = list(pool.map(model_files.obtain, [model] * 3))
    assert set(paths) == {folder / model.name} and paths[0].read_bytes() == data
    assert list(folder.iterdir()) == [paths[0]]


def test_a_server_that_does_not_speak_http_is_a_sentence(folder):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: listener.accept()[0].sendall(b"nonsense\r\n\r\n"), daemon=True).start()
        model = replace(model_files.BISENET, url=f"http://127.0.0.1:{listener.getsockname()[1]}/x")
        with pytest.raises(ValueError, match="is missing and could not be downloaded"):
            model_files.obtain(model)


def test_a_failing_clean_up_hides_nothing(folder, web, monkeypatch):
    web.files = {"/other": b"other"}
    model = replace(model_files.BISENET, url=f"http://127.0.0.1:{web.server_port}/other")

    def refuse(*_, **__):
        raise PermissionError("in use")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(ValueError, match="/other sent is refused"):
        model_files.obtain(model)


class Trap:
    """A pickle that would leave a mark if anything parsed it."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


def test_a_pickle_that_runs_code_is_refused_even_with_the_right_hash(faces, folder, monkeypatch, tmp_path_factory):
    mark = tmp_path_factory.mktemp("trap") / "sprung"
    place(folder, monkeypatch, parsing, "BISENET", {"cp": Trap(mark)})
    with pytest.raises(Exception, match=r"[Ww]eights"):
        parse_faces(faces, "bisenet")
    assert not mark.exists()


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_weights_of_another_network_are_refused_by_key(faces, folder, monkeypatch, change):
    weights = bisenet().state_dict()
    if change == "missing":
        del weights["ffm.conv1.weight"]
    else:
        weights["extra" if change == "extra" else "ffm.conv1.weight"] = torch.zeros(3)
    place(folder, monkeypatch, parsing, "BISENET", weights)
    with pytest.raises(ValueError, match="'extra'" if change == "extra" else "'ffm.conv1.weight'"):
        parse_faces(faces, "bisenet")


def test_a_damaged_shipped_model_is_refused_by_hash(tmp_path, monkeypatch):
    data = bytearray(model_files.read_shipped(model_files.YUNET))
    data[1000] ^= 1
    (tmp_path / model_files.YUNET.name).write_bytes(data)
    monkeypatch.setattr(model_files, "SHIPPED", tmp_path)
    with pytest.raises(ValueError, match=r"is refused.*sha256 8f2383e4"):
        model_files.read_shipped(model_files.YUNET)
    with pytest.raises(ValueError, match=r"face_landmarker.task is missing \(3,758,596 bytes"):
        model_files.read_shipped(model_files.FACE_LANDMARKER)


def test_the_table_describes_what_is_shipped():
    shipped = [
        model for model in vars(model_files).values() if isinstance(model, model_files.ModelFile) and model.shipped
    ]
    assert len(shipped) == 3
    for model in shipped:
        assert len(model_files.read_shipped(model)) == model.size


@pytest.mark.filterwarnings("ignore:.*weight")  # facexlib asks torchvision for a ResNet in the old way
def test_retinaface_reads_its_heads(folder, monkeypatch):
    """With every head zero but its bias, the answer is known: facexlib's prior boxes at that confidence."""
    from facexlib.detection.retinaface import RetinaFace

    network = RetinaFace("resnet50", device="cpu")
    for head in (*network.ClassHead, *network.BboxHead, *network.LandmarkHead):
        head.conv1x1.weight.data.zero_()
        head.conv1x1.bias.data.zero_()
    for head in network.ClassHead:
        head.conv1x1.bias.data[1::2] = 2.0
    weights = {f"module.{key}": value for key, value in network.state_dict().items()}  # as the released file has them
    place(folder, monkeypatch, detection, "RETINAFACE", weights)
    monkeypatch.setattr(detection, "landmarks_available", lambda: False)  # there are hundreds of "faces"
    faces = detect_faces(photos.photo()[:, :256, :256], "retinaface", threshold=0.5).faces[0]
    assert len(faces) > 50
    assert {round(face.score, 4) for face in faces} == {0.8808}  # the softmax of (0, 2)
    sides = {round((face.found[2] - face.found[0]) / 256 * 640) for face in faces}
    assert sides <= {16, 32, 64, 128, 256, 512} and len(sides) > 2
    for face in faces[:20]:
        middle = np.array([face.found[:2], face.found[2:]]).mean(0)
        assert np.abs(face.points - middle).max() < 1e-3


def test_faces_remember_how_they_came_to_be(faces, folder):
    """What a checkpoint's config can be compared with."""
    parsed = parse_faces(detect_faces(photos.photo(), margin=0.2), "landmarks", "face and hair")
    assert (parsed.detector, parsed.margin, parsed.parsed) == ("yunet", 0.2, Parsing("landmarks", "face"))
    given = parse_faces(faces_from_boxes(photos.photo(), parsed.bounding_boxes()), keep="everything")
    assert (given.detector, given.box, str(given.parsed)) == ("", "given", "nothing zeroed")
