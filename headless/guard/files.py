"""Damaged checkpoints: every one is refused with a sentence that names the file, or is as good as before."""

import json
import struct
import tempfile
from pathlib import Path

import numpy as np

from .outcome import Kind, Outcome
from .trials import Report

FIELD_VALUES = [None, True, "abc", "", -1, 0, -8, 10**6, 10**12, 1.5, [], ["face"], {}, "é" * 300, [[[]]]]
METADATA = ["[1,2]", "null", "5", '"text"', "", "{", "[" * 5000, '{"format_version": "1"}', "{}", "NaN"]


def damaged_files(checkpoint: Path, seed: int, count: int) -> Report:
    """`count` damaged copies of a RealisID checkpoint, read as *Load Model* reads them."""
    from realisid_core.checkpoint import load_checkpoint

    report = Report("damaged files")
    good = checkpoint.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "damaged.safetensors")
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            data, what = damaged(good, rng)
            path.write_bytes(data)
            report.note(_load(load_checkpoint, path), number=number, damage=what)
    return report


def _load(load, path: Path) -> Outcome:
    try:
        load(path)
    except ValueError as error:
        named = path.name in str(error) or path.stem in str(error)
        return Outcome(Kind.STOPPED if named else Kind.BARE, str(error))
    except Exception as error:
        return Outcome(Kind.BARE, f"{type(error).__name__}: {error}")
    return Outcome(Kind.PICTURE)


def damaged(good: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """One copy with one damage, and what it is: of the bytes, of the header's structure, or of a field's value."""
    (size,) = struct.unpack("<Q", good[:8])
    header = json.loads(good[8 : 8 + size])
    body = good[8 + size :]
    kinds = [_cut, _flipped, _length, _tensor_entry, _metadata, _field, _unknown_field, _missing_tensor, _not_finite]
    return kinds[int(rng.integers(len(kinds)))](good, header, body, rng)


def _cut(good, header, body, rng):
    at = int(rng.integers(len(good)))
    return good[:at], f"cut after {at} bytes"


def _flipped(good, header, body, rng):
    at = int(rng.integers(min(len(good), 20000)))
    return good[:at] + bytes([good[at] ^ (1 << int(rng.integers(8)))]) + good[at + 1 :], f"a bit flipped at byte {at}"


def _length(good, header, body, rng):
    size = int(rng.choice([0, 1, 7, 2**31, 2**63 - 1, len(good), len(good) * 2]))
    return struct.pack("<Q", size) + good[8:], f"header length {size}"


def _tensor_entry(good, header, body, rng):
    key = str(rng.choice([key for key in header if key != "__metadata__"]))
    entry = dict(header[key])
    field = str(rng.choice(["shape", "dtype", "data_offsets"]))
    values = {"shape": [[], [0], [10**9, 10**9], [-1], "abc"], "dtype": ["F64", "I64", "BOOL", "F8_E4M3", "X"]}
    values["data_offsets"] = [[0, 0], [0, 10**12], [5, 1], None]
    entry[field] = values[field][int(rng.integers(len(values[field])))]
    return _packed({**header, key: entry}, body), f"{key}: {field} {entry[field]}"


def _metadata(good, header, body, rng):
    value = METADATA[int(rng.integers(len(METADATA)))]
    return _packed({**header, "__metadata__": {"realisid": value}}, body), f"metadata {value[:40]}"


def _field(good, header, body, rng):
    config = json.loads(header["__metadata__"]["realisid"])
    field = str(rng.choice(list(config)))
    config[field] = FIELD_VALUES[int(rng.integers(len(FIELD_VALUES)))]
    return _packed({**header, "__metadata__": {"realisid": json.dumps(config)}}, body), f"{field} = {config[field]!r}"


def _unknown_field(good, header, body, rng):
    config = json.loads(header["__metadata__"]["realisid"]) | {"surprise": 1}
    return _packed({**header, "__metadata__": {"realisid": json.dumps(config)}}, body), "a field nobody knows"


def _missing_tensor(good, header, body, rng):
    key = str(rng.choice([key for key in header if key != "__metadata__"]))
    renamed = {(k if k != key else k + "_other"): v for k, v in header.items()}
    return _packed(renamed, body), f"{key} renamed"


def _not_finite(good, header, body, rng):
    key = str(rng.choice([key for key, value in header.items() if key != "__metadata__" and value["dtype"] == "F16"]))
    start, end = header[key]["data_offsets"]
    at = start + 2 * int(rng.integers((end - start) // 2))
    return _packed(header, body[:at] + b"\x00\x7e" + body[at + 2 :]), f"NaN in {key}"


def _packed(header: dict, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body
