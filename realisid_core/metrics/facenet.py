"""FaceNet as the papers use it: facenet-pytorch's InceptionResnetV1, of what its detector's box shows."""

import os
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..checks import first_line
from ..perception import Faces

FILE = "20180402-114759-vggface2.pt"
FOLDER = "facenet"
SOURCE = "https://github.com/timesler/facenet-pytorch/releases/tag/v2.2.9"


class FaceNet:
    """A `Judge` from the weights of facenet-pytorch, read with `weights_only`.

    Raises:
        ValueError: the package is missing, or the file does not fit its network.
    """

    name = "FaceNet (VGGFace2)"
    note = ""

    def __init__(self, path: str | Path):
        try:
            from facenet_pytorch import InceptionResnetV1
        except ImportError as error:
            raise ValueError(
                "The judge facenet needs the Python package facenet-pytorch: run `python -m pip install "
                f"facenet-pytorch --no-deps` in ComfyUI's Python and restart, or choose another judge. ({error})"
            ) from error
        network = InceptionResnetV1()
        try:
            weights = torch.load(path, map_location="cpu", weights_only=True)
            network.load_state_dict({key: value for key, value in weights.items() if not key.startswith("logits.")})
        except Exception as error:  # what readers raise differs by version and by what is broken
            raise ValueError(
                f"{Path(path).name} is not facenet-pytorch's InceptionResnetV1 ({first_line(error)}). Fetch {FILE} "
                f"from {SOURCE}."
            ) from error
        self._network = network.eval().requires_grad_(False)

    @classmethod
    def of_users_file(cls) -> "FaceNet":
        """From models/facenet, or where facenet-pytorch itself keeps it. Raises ValueError where it is in neither."""
        import folder_paths

        own = Path(folder_paths.models_dir) / FOLDER
        torch_home = Path(os.environ.get("TORCH_HOME", Path.home() / ".cache" / "torch")) / "checkpoints"
        for folder in (own, torch_home):
            if (folder / FILE).is_file():
                return cls(folder / FILE)
        raise ValueError(
            f"judge facenet: {FILE} is not in models/{FOLDER}. Fetch it (107 MB) from {SOURCE}, or choose another "
            "judge."
        )

    @torch.inference_mode()
    def vectors(self, faces: Faces) -> Tensor:
        """The box is cut out and stretched to 160 pixels, as facenet-pytorch does after MTCNN."""
        from facenet_pytorch import extract_face, fixed_image_standardization

        crops = []
        for index, face in faces:
            pixels = Image.fromarray(faces.pixels(index))
            if _reaches(face.found, pixels.size):
                crops.append(fixed_image_standardization(extract_face(pixels, face.found)))
            else:
                crops.append(torch.full((3, 160, 160), float("nan")))
        return torch.cat([self._network(batch) for batch in torch.stack(crops).split(32)])


def _reaches(box: tuple[float, float, float, float], size: tuple[int, int]) -> bool:
    """Whether a pixel at least of the picture lies in the box."""
    x0, y0, x1, y1 = box
    return int(min(x1, size[0])) > int(max(x0, 0)) and int(min(y1, size[1])) > int(max(y0, 0))
