"""Labels and truth: the classes that photos are told apart by, and which of them a photo is known to be of."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from vlsearch.errors import UnreadableFile, UsageError
from vlsearch.ingest.captions import PHOTO_COLUMNS, CaptionRow, match

LABEL_COLUMNS = ("label", "class", "class_name", "category", "tag")
FOLDERS = "folders"
"""what --evaluate takes for "the label is the name of the folder\""""


def key(label: str) -> str:
    """What labels are compared by: case, and whether words are parted by spaces, `_` or `-`, make no difference."""
    return " ".join(re.split(r"[\s_-]+", label.casefold().strip(" \t_-")))


def read_labels(file: Path) -> list[str]:
    """The labels of a text file, one a line, in its order; empty lines and those that begin with # are passed over.

    Raises UsageError for a file that does not exist or holds no label, and for a label that is there twice;
    UnreadableFile for a file that is no text.
    """
    labels: dict[str, tuple[str, int]] = {}
    for number, label in read_lines(file):
        same = key(label) or label
        if same in labels:
            earlier, first = labels[same]
            raise UsageError(
                f"{os.fspath(file)!r}: line {number}, {label!r}, is the same label as line {first}, {earlier!r}; "
                "take one of them out"
            )
        labels[same] = label, number
    if not labels:
        raise UsageError(f"{os.fspath(file)!r} holds no label; write one a line")
    return [label for label, _ in labels.values()]


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is neither empty nor begins with #, runs of spaces as one."""
    for number, line in enumerate(_text(file).splitlines(), 1):
        text = " ".join(line.split())
        if text and not text.startswith("#"):
            yield number, text


@dataclass
class Truth:
    """Which label photos are known to have."""

    of: dict[int, int] = field(default_factory=dict)
    """content id -> place of its label in the list"""
    unlabelled: int = 0
    """photos of which nothing is said"""
    unknown: dict[str, int] = field(default_factory=dict)
    """labels that are not in the list -> of how many photos"""
    contradicted: int = 0
    """photos that are said to be of several classes of the list"""
    unmatched: list[str] = field(default_factory=list)
    """photos of the file that the library does not have, or has several of that name"""


def truth_from_folders(places: Mapping[str, int], labels: Sequence[str]) -> Truth:
    """A photo's label is the name of the folder that it lies in. places: path -> content id."""
    said = ((content_id, PurePath(path).parent.name) for path, content_id in places.items())
    return _truth(said, places, labels)


def truth_from_file(file: Path, places: Mapping[str, int], labels: Sequence[str]) -> Truth:
    """Labels from a CSV, TSV or JSONL file with a column for the photo ("path", "file_name" …) and one for the label.

    Photos are matched by path, or by as much of its end as the file gives. Raises UsageError, UnreadableFile.
    """
    matched, unmatched = match(_rows(file), places)
    truth = _truth(((content_id, label) for content_id, label, _ in matched), places, labels)
    truth.unmatched = unmatched
    return truth


def _truth(said: Iterable[tuple[int, str]], places: Mapping[str, int], labels: Sequence[str]) -> Truth:
    place = {key(label): n for n, label in enumerate(labels)}
    truth = Truth()
    known: dict[int, set[int]] = {}
    unknown: dict[int, set[str]] = {}
    for content_id, label in said:
        if (n := place.get(key(label))) is not None:
            known.setdefault(content_id, set()).add(n)
        else:
            unknown.setdefault(content_id, set()).add(label)
    for content_id in set(places.values()):
        classes = known.get(content_id, set())
        if len(classes) == 1:
            truth.of[content_id] = next(iter(classes))
        elif classes:
            truth.contradicted += 1
        elif content_id in unknown:
            for label in unknown[content_id]:
                truth.unknown[label] = truth.unknown.get(label, 0) + 1
        else:
            truth.unlabelled += 1
    return truth


def _rows(file: Path) -> Iterator[CaptionRow]:
    text = _text(file)
    suffix = file.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    row = None
                yield _row(file, number, row)
        return
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if suffix == ".tsv" else ",", strict=True)
    try:
        for cells in reader:
            yield _row(file, reader.line_num, cells)
    except csv.Error as error:
        raise _bad(file, f"after line {reader.line_num}: {error}") from None


def _row(file: Path, number: int, row: Any) -> CaptionRow:
    columns = {str(name).strip().lower(): value for name, value in row.items()} if isinstance(row, dict) else {}
    photo, label = (
        next((columns[name] for name in names if name in columns), None) for names in (PHOTO_COLUMNS, LABEL_COLUMNS)
    )
    if not isinstance(photo, str) or not isinstance(label, str) or not photo.strip() or not label.strip():
        raise _bad(file, f"line {number} has no photo and label; expected the columns 'path' and 'label'")
    return CaptionRow(photo.strip(), label.strip())


def _bad(file: Path, what: str) -> UnreadableFile:
    return UnreadableFile(f"cannot read labels from {os.fspath(file)!r}: {what}")


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"no such file: {os.fspath(file)!r}") from None
    except OSError as error:
        raise UnreadableFile(f"cannot read {os.fspath(file)!r}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        what = f"line {line} is not UTF-8 text; save it in that encoding"
        raise UnreadableFile(f"cannot read {os.fspath(file)!r}: {what}") from None
