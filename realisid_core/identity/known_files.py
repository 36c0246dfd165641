"""Public files that users have, known by their SHA-256: what they are, and which must not be taken for another."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class KnownFile:
    """Attributes:
    name: in words.
    size: bytes.
    refused: why it cannot serve, in a sentence; empty where it can.
    """

    name: str
    size: int | None = None
    refused: str = ""


RECOGNISERS = {
    "4ab1d6435d639628a6f3e5008dd4f929edf4c4124b1a7169e1048f9fef534cdf": KnownFile("antelopev2's glintr100"),
    "a7933ea5330113b01c9b60351d8f4c33003f145d8470ac5f0e52ee2effe25c60": KnownFile(
        "AuraFace's glintr100",
        260694151,
        "It has the same file name as antelopev2's, but its vectors are of another space, which InstantID cannot read. "
        "Use glintr100.onnx of insightface's antelopev2.",
    ),
}
ADAPTERS = {
    "02b3618e36d803784166660520098089a81388e61a93ef8002aa79a5b1c546e1": KnownFile("InstantID's adapter", 1691134141),
}
IDENTITY_NETS = {
    "c8127be9f174101ebdafee9964d856b49b634435cf6daa396d3f593cf0bbbb05": KnownFile("IdentityNet", 2502139136),
}


def sha256(path: str | Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):  # hashlib.file_digest came with Python 3.11
            digest.update(block)
    return digest.hexdigest()
