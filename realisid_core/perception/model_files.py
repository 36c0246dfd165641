"""Every model file of perception: where it comes from, its size and its hash; nothing is parsed before it matches."""

import contextlib
import hashlib
import http.client
import tempfile
import urllib.request
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import comfy.model_management
import comfy.utils
import torch

SHIPPED = Path(__file__).parent / "weights"
CHUNK = 1 << 20
TIMEOUT = 20  # seconds without a byte
READABLE = 0o644  # temporary files are their maker's alone


@dataclass(frozen=True)
class ModelFile:
    """`shipped` files lie in the pack; the others under ComfyUI's models folder, fetched from `url` at first use."""

    name: str
    size: int
    sha256: str
    url: str
    licence: str
    shipped: bool = False
    folder: str = "facexlib"  # of ComfyUI/models; there other packs keep these very files


YUNET = ModelFile(
    "face_detection_yunet_2023mar.onnx",
    232_589,
    "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    "https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet",
    "MIT",
    shipped=True,
)
FACE_LANDMARKER = ModelFile(
    "face_landmarker.task",
    3_758_596,
    "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
    "Apache-2.0",
    shipped=True,
)
SELFIE_SEGMENTER = ModelFile(
    "selfie_segmentation.tflite",
    249_024,
    "8d13b7fae74af625c641226813616a2117bd6bca19eb3b75574621fc08557f27",
    "https://ai.google.dev/edge/mediapipe/solutions/vision/image_segmenter",
    "Apache-2.0",
    shipped=True,
)
RETINAFACE = ModelFile(
    "detection_Resnet50_Final.pth",
    109_497_761,
    "6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
    "https://github.com/xinntao/facexlib/releases/download/v0.1.0/detection_Resnet50_Final.pth",
    "MIT",
)
BISENET = ModelFile(
    "parsing_bisenet.pth",
    53_289_463,
    "468e13ca13a9b43cc0881a9f99083a430e9c0a38abd935431d1c28ee94b26567",
    "https://github.com/xinntao/facexlib/releases/download/v0.2.0/parsing_bisenet.pth",
    "MIT",
)
SFACE = ModelFile(
    "face_recognition_sface_2021dec.onnx",
    38_696_353,
    "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
    "https://github.com/opencv/opencv_zoo/raw/main/models/face_recognition_sface/face_recognition_sface_2021dec.onnx",
    "Apache-2.0",
    folder="sface",
)


def read_shipped(model: ModelFile) -> bytes:
    """The bytes of a model that lies in the pack (bytes, not a path: OpenCV and MediaPipe fail on non-ASCII paths).

    Raises:
        ValueError: the file is missing or is not the one the pack was made with.
    """
    path = SHIPPED / model.name
    if not path.is_file():
        raise ValueError(
            f"{path} is missing ({model.size:,} bytes, part of this pack). Reinstall the pack, or fetch {model.url}."
        )
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != model.sha256:
        raise ValueError(f"{path} is refused: {_mismatch(model, len(data))} Reinstall the pack, or fetch {model.url}.")
    return data


def placed(model: ModelFile) -> Path | None:
    """Where the file lies under ComfyUI's model folders, or None."""
    for folder in _folders(model):
        if (folder / model.name).is_file():
            return folder / model.name
    return None


def obtain(model: ModelFile) -> Path:
    """The path of a file that lies under ComfyUI's models folder, downloaded if need be, its hash checked.

    Raises:
        ValueError: it cannot be downloaded (exact path, size and source are in the message), or it is another file.
    """
    path = placed(model)
    if path is None:
        path = _folders(model)[0] / model.name
        _download(model, path)
    if not _matches(model, path, path.stat().st_mtime_ns):
        size = path.stat().st_size
        raise ValueError(f"{path} is refused: {_mismatch(model, size)} Delete it, then fetch {model.url}.")
    return path


def load_weights(model: ModelFile) -> dict:
    """The tensors of a facexlib checkpoint, its hash checked first and unpickled with `weights_only`."""
    weights = torch.load(obtain(model), map_location="cpu", weights_only=True)
    return {key.removeprefix("module."): value for key, value in weights.items()}


def load_checked(network, weights: dict, model: ModelFile) -> None:
    """Put `weights` into `network`; a key or shape that differs is refused by name."""
    own = network.state_dict()
    wrong = [key for key in own if key not in weights or weights[key].shape != own[key].shape]
    wrong += [key for key in weights if key not in own]
    if wrong:
        raise ValueError(f"{model.name} does not fit facexlib's network: {len(wrong)} keys differ, first {wrong[0]!r}.")
    network.load_state_dict(weights)


def _folders(model: ModelFile) -> list[Path]:
    import folder_paths

    folder_paths.add_model_folder_path(model.folder, str(Path(folder_paths.models_dir) / model.folder))
    return [Path(folder) for folder in folder_paths.get_folder_paths(model.folder)]


@lru_cache
def _matches(model: ModelFile, path: Path, changed: int) -> bool:
    """Whether the file's hash is the model's; `changed` is part of the key, so that a replaced file is read again."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest() == model.sha256


def _download(model: ModelFile, path: Path) -> None:
    """Fetch `path` whole or not at all; several may do so at once, each into a file of its own."""
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            urllib.request.urlopen(model.url, timeout=TIMEOUT) as source,
            tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.", delete=False) as file,
        ):
            part = Path(file.name)
            digest, size = _copy(source, file, model)
        if digest != model.sha256:
            raise ValueError(
                f"What {model.url} sent is refused: {_mismatch(model, size)} Try again, or place {path} by hand."
            )
        part.chmod(READABLE)
        part.replace(path)
    except (OSError, http.client.HTTPException) as error:
        if path.is_file():  # somebody else was quicker, and on Windows it may be open
            return
        raise ValueError(
            f"{path} is missing and could not be downloaded ({error or type(error).__name__}). Fetch {model.url} "
            f"({model.size:,} bytes, sha256 {model.sha256}) and put it there."
        ) from error
    finally:
        if part is not None:
            with contextlib.suppress(OSError):  # what went wrong before is worth more
                part.unlink(missing_ok=True)


def _copy(source: BinaryIO, file: BinaryIO, model: ModelFile) -> tuple[str, int]:
    """The hash and size of what was copied; no more than the model has, and as long as nobody interrupts."""
    progress = comfy.utils.ProgressBar(model.size)
    digest, size = hashlib.sha256(), 0
    while size <= model.size and (chunk := source.read(CHUNK)):
        comfy.model_management.throw_exception_if_processing_interrupted()
        file.write(chunk)
        digest.update(chunk)
        size += len(chunk)
        progress.update(len(chunk))
    return digest.hexdigest(), size


def _mismatch(model: ModelFile, size: int) -> str:
    return f"it has {size:,} bytes or other contents; expected {model.size:,} bytes with sha256 {model.sha256}."
