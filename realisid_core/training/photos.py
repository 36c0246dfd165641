"""Photos somebody collected, in files or in a WebDataset, as a source of `prepare`."""

import codecs
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from glob import glob
from pathlib import Path

from ..identity.photo_path import PhotoPath
from ..perception.parsing import takes_bisenet
from .pictures import Candidate, Dropped, Portrait, Rules, make_portrait
from .requirements import needed

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
BOMS = (  # the longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Photos:
    """A `PictureSource`: pictures with captions beside them, or WebDataset tars.

    Args:
        images: a folder of either, a glob, or one file.
        rules: what is used and how; an "auto" parser is decided here, once for all pictures.
        shard_size: pictures looked at for one shard; a tar is one shard whatever its size.
    """

    def __init__(self, images: str, rules: Rules, shard_size: int = 512):
        self.images, self.rules, self.shard_size = images, settled(rules), shard_size
        self.image_size, self.faces = self.rules.image_size, self.rules.faces
        parser = "none" if self.rules.keep == "everything" else self.rules.parser
        self.photo_path = PhotoPath(self.rules.detector, "landmarks", 0.0, parser, self.rules.keep)

    def settings(self) -> dict[str, object]:
        rules = asdict(self.rules)
        if self.faces == 1:  # folders that were begun before there could be more
            del rules["faces"]
        return {"images": self.images, **rules}

    def items(self) -> list[str | list[str]]:
        """A tar's name, or the names of the pictures of a shard.

        Raises:
            ValueError: neither was found.
        """
        folder = Path(self.images)
        found = [str(path) for path in folder.glob("*")] if folder.is_dir() else glob(self.images)
        if tars := sorted(path for path in found if path.endswith(".tar")):
            return list(tars)
        files = sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in IMAGES)
        if not files:
            raise ValueError(f"No pictures ({', '.join(IMAGES)}) and no .tar were found at {self.images}.")
        return [files[start : start + self.shard_size] for start in range(0, len(files), self.shard_size)]

    def portraits(self, item: str | list[str], dropped: dict[str, list[str]]) -> Iterator[Portrait]:
        """The usable pictures of one item; `dropped` gets the names of the others, by reason."""
        for candidate in read_candidates(Path(item) if isinstance(item, str) else [Path(path) for path in item]):
            try:
                yield make_portrait(candidate, self.rules)
            except Dropped as reason:
                dropped[str(reason)].append(candidate.source)


def settled(rules: Rules) -> Rules:
    """The rules with "auto" decided, and with what that parser can keep."""
    if rules.keep == "everything":
        return rules
    if takes_bisenet(rules.parser):
        return replace(rules, parser="bisenet")
    if rules.parser == "landmarks" or rules.keep == "face":
        return replace(rules, parser="landmarks" if rules.parser == "landmarks" else "person", keep="face")
    return replace(rules, parser="person", keep="face and hair")


def read_candidates(item: Path | Iterable[Path]) -> Iterator[Candidate]:
    """The pictures of a WebDataset tar, or of image files with captions beside them."""
    if isinstance(item, Path):
        needed("webdataset")
        from webdataset.tariterators import group_by_keys, tar_file_expander

        with open(item, "rb") as stream:  # not by its name, which WebDataset would read as a URL
            for sample in group_by_keys(tar_file_expander([{"url": str(item), "stream": stream}])):
                image = next((sample[e[1:]] for e in IMAGES if e[1:] in sample), b"")
                yield _candidate(f"{item.name}/{sample['__key__']}", image, sample.get("txt"), sample.get("json"))
        return
    for path in item:
        text, facts = (_bytes_of(path.with_suffix(suffix)) for suffix in (".txt", ".json"))
        yield _candidate(str(path), _bytes_of(path) or b"", text, facts)


def _candidate(source: str, image: bytes, text: bytes | None, facts: bytes | None) -> Candidate:
    try:
        return Candidate(source, image, caption_of(text, facts))
    except Dropped as reason:
        return Candidate(source, image, None, str(reason))


def _bytes_of(path: Path) -> bytes | None:
    """What the file holds; None where it is not there or cannot be read: one such is no reason to stop."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def caption_of(text: bytes | None, facts: bytes | None) -> str:
    """The caption from a .txt, or from "caption" or "text" in a .json.

    Raises:
        Dropped: there is none, or it cannot be read without loss.
    """
    caption: object = None
    if text is not None:
        caption = _decoded(text)
    elif facts is not None:
        try:
            values = json.loads(_decoded(facts))
        except (ValueError, RecursionError) as error:
            raise Dropped("caption's JSON cannot be read") from error
        if isinstance(values, dict):
            caption = values.get("caption") or values.get("text")
    if caption and not isinstance(caption, str):
        raise Dropped("caption is no text")
    if not caption or not (caption := caption.strip()):
        raise Dropped("no caption")
    return caption


def _decoded(data: bytes) -> str:
    """UTF-8, or what a byte order mark names; raises Dropped for bytes that are neither: a guess would be garbage."""
    encoding = next((name for mark, name in BOMS if data.startswith(mark)), "utf-8-sig")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise Dropped("caption is not UTF-8") from error
    if "\ufffd" in text or "\0" in text:  # somebody else's lossy reading, or UTF-16 without its mark
        raise Dropped("caption is not UTF-8")
    return text
