"""Files of datasets to records: JSON, JSON lines and Parquet, whatever the records mean."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlsearch.errors import UnreadableFile, UsageError


@dataclass(frozen=True)
class Record:
    """One entry of a file, and where it stands. Every method raises UnreadableFile, which says so, for what is not as
    it should be."""

    path: Path
    where: str
    fields: Mapping[str, Any]

    def text(self, key: str) -> str:
        """Of a field that holds a text, which may be empty, without white space around it."""
        value = self._field(key)
        if not isinstance(value, str):
            raise self.wrong(f"{key!r} is not a text")
        return self._clean(key, value)

    def name(self, key: str) -> str:
        """Of a field that names something: never empty."""
        if not (value := self.text(key)):
            raise self.wrong(f"{key!r} is empty")
        return value

    def optional(self, key: str) -> str:
        """A text, or "" where there is no such field."""
        return self.text(key) if self.fields.get(key) is not None else ""

    def texts(self, key: str) -> tuple[str, ...]:
        """Of a field that holds a text or a list of texts, which may be empty."""
        value = self._field(key)
        several = value if isinstance(value, list) else [value]
        if not all(isinstance(text, str) for text in several):
            raise self.wrong(f"{key!r} is neither a text nor a list of texts")
        return tuple(self._clean(key, text) for text in several)

    def whole(self, key: str) -> int:
        value = self._field(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value % 1 != 0:
            raise self.wrong(f"{key!r} is not a whole number")
        return int(value)

    def wrong(self, what: str) -> UnreadableFile:
        return unreadable(self.path, f"{self.where}: {what}")

    def _clean(self, key: str, text: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise self.wrong(f"{key!r} holds half a character, which no text can") from None
        return text.strip()

    def _field(self, key: str) -> Any:
        if key not in self.fields:
            raise self.wrong(f"there is no {key!r}")
        return self.fields[key]


def unreadable(path: Path, what: str) -> UnreadableFile:
    return UnreadableFile(f"cannot read a dataset from {os.fspath(path)!r}: {what}")


def read_records(path: Path) -> list[Record]:
    """The entries of a file, in its order; how it is written is told from its extension.

    JSON may be a list of objects, an object of objects (SugarCrepe), or captions as COCO's own files and Karpathy's
    have them, which become one record {image, captions} a photo (Karpathy's: of the split "test").
    Raises UsageError when there is no such file, UnreadableFile for one that is damaged or cut short.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in (".parquet", ".pq"):
            records = list(_parquet(path))
        elif suffix in (".jsonl", ".ndjson"):
            records = list(_lines(path))
        elif suffix == ".json":
            records = list(_json(path))
        else:
            raise unreadable(path, "expected a .json, .jsonl or .parquet file")
    except FileNotFoundError:
        raise UsageError(f"no such file: {os.fspath(path)!r}") from None
    except OSError as error:
        raise unreadable(path, (error.strerror or str(error)).lower()) from None
    if not records:
        raise unreadable(path, "it holds no entries; get the file again")
    return records


def _lines(path: Path) -> Iterator[Record]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _record(path, f"line {number}", _parsed(path, line, number))


def _json(path: Path) -> Iterator[Record]:
    data = _parsed(path, path.read_bytes())
    if isinstance(data, dict) and isinstance(data.get("images"), list):
        images = list(_records(path, "image", data["images"]))
        if "annotations" in data:
            yield from _coco(path, images, data["annotations"])
        else:
            yield from _karpathy(images)
    elif isinstance(data, list):
        yield from _records(path, "item", data)
    elif isinstance(data, dict):
        for key, value in data.items():
            yield _record(path, f"item {key!r}", value)
    else:
        raise unreadable(path, "expected a list or an object")


def _parsed(path: Path, data: bytes, line: int | None = None) -> Any:
    """`data` as JSON. A file that was cut short ends inside of something, and the message says where."""
    at = "" if line is None else f"line {line}: "
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise unreadable(path, f"{at}byte {error.start + 1:,} is not UTF-8; get the file again") from None
    except json.JSONDecodeError as error:
        place = f"column {error.colno:,}" if line is not None else f"line {error.lineno:,}, column {error.colno:,}"
        message = f"{at}no valid JSON at {place} ({error.msg}): it is cut short or damaged; get the file again"
        raise unreadable(path, message) from None
    except RecursionError:
        raise unreadable(path, f"{at}nested too deeply") from None


def _parquet(path: Path) -> Iterator[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            rows = pq.read_table(file).to_pylist()
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:100]
        raise unreadable(path, f"no valid Parquet ({reason}): it is cut short or damaged; get the file again") from None
    yield from _records(path, "row", rows)


def _records(path: Path, kind: str, values: Iterable[Any]) -> Iterator[Record]:
    for number, value in enumerate(values, 1):
        yield _record(path, f"{kind} {number}", value)


def _record(path: Path, where: str, value: Any) -> Record:
    if not isinstance(value, dict):
        raise unreadable(path, f"{where} is not an object")
    return Record(path, where, value)


def _coco(path: Path, images: Iterable[Record], annotations: Any) -> Iterator[Record]:
    if not isinstance(annotations, list):
        raise unreadable(path, "'annotations' is not a list")
    of_image: dict[int, list[str]] = {}
    for note in _records(path, "annotation", annotations):
        of_image.setdefault(note.whole("image_id"), []).append(note.text("caption"))
    for image in images:
        fields = {"image": image.name("file_name"), "captions": of_image.get(image.whole("id"), [])}
        yield Record(path, image.where, fields)


def _karpathy(images: Iterable[Record]) -> Iterator[Record]:
    for image in images:
        if image.fields.get("split", "test") != "test":
            continue
        sentences = image.fields.get("sentences")
        if not isinstance(sentences, list):
            raise image.wrong("there are no 'sentences'")
        folder = image.optional("filepath")
        name = image.name("filename")
        captions = [sentence.text("raw") for sentence in _records(image.path, f"{image.where}, sentence", sentences)]
        yield Record(image.path, image.where, {"image": f"{folder}/{name}" if folder else name, "captions": captions})
