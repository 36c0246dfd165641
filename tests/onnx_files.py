"""Tiny ONNX files, written byte by byte: there is no onnx package among the requirements."""

from pathlib import Path

import numpy as np


def _varint(value: int) -> bytes:
    out = b""
    while True:
        value, low = value >> 7, value & 127
        out += bytes([low | (128 if value else 0)])
        if not value:
            return out


def _field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    value = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _tensor(name: str, values: np.ndarray, external: bool = False) -> bytes:
    kind = 1 if values.dtype == np.float32 else 7
    dims = b"".join(_field(1, size) for size in values.shape)
    if external:
        place = _field(13, _field(1, "location") + _field(2, "weights.bin")) + _field(14, 1)
        return dims + _field(2, kind) + _field(8, name) + place
    return dims + _field(2, kind) + _field(8, name) + _field(9, values.tobytes())


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    dims = b"".join(_field(1, _field(1, size)) for size in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, dims)))


def _node(kind: str, inputs: list[str], output: str, attributes: bytes = b"") -> bytes:
    return b"".join(_field(1, one) for one in inputs) + _field(2, output) + _field(4, kind) + attributes


def recogniser_file(path: Path, weights: np.ndarray, external: bool = False) -> Path:
    """A network whose vector is `weights` [N, 3] times the means of the three channels of a face of 112 pixels."""
    count = len(weights)
    transposed = _field(5, _field(1, "transB") + _field(20, 2) + _field(3, 1))
    graph = (
        _field(1, _node("GlobalAveragePool", ["face"], "means"))
        + _field(1, _node("Flatten", ["means"], "flat"))
        + _field(1, _node("Gemm", ["flat", "weights", "bias"], "vector", transposed))
        + _field(2, "recogniser")
        + _field(5, _tensor("weights", weights, external))
        + _field(5, _tensor("bias", np.zeros(count, np.float32)))
        + _field(11, _value("face", (1, 3, 112, 112)))
        + _field(12, _value("vector", (1, count)))
    )
    path.write_bytes(_field(1, 8) + _field(8, _field(1, "") + _field(2, 13)) + _field(7, graph))
    return path
