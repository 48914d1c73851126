"""Caption files of the kinds that people have, to rows; rows to photos; rows to files again."""

from __future__ import annotations

import csv
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vlsearch.errors import UnreadableFile, UsageError
from vlsearch.ingest.notes import from_xmp

PHOTO_COLUMNS = (
    *("path", "file_path", "filepath", "image_path", "img_path", "photo_path"),
    *("file_name", "filename", "image_name", "image", "photo", "img", "file"),
)
TEXT_COLUMNS = (
    *("caption", "captions", "text", "texts", "sentence", "sentences"),
    *("raw", "comment", "description", "title"),
)
LANGUAGE_COLUMNS = ("language", "lang")
"""Names of columns and keys, in any case; where a file has several, the first of these."""

EXPECTED = (
    "expected COCO or Karpathy JSON, a Flickr token file (name.jpg#0, tab, caption), or CSV, TSV, JSON, JSONL or "
    "Parquet with columns such as 'path' and 'caption'"
)

_TOKEN = re.compile(r"([^\t]+)#\d+\t(.*)")


class CaptionRow(NamedTuple):
    photo: str
    """a path or a file name, as the file has it"""
    text: str
    language: str | None = None


def read_captions(path: Path) -> Iterator[CaptionRow]:
    """The captions of one file, in its order; what it holds is told from its extension and its first bytes.

    Raises UsageError for a file that does not exist, UnreadableFile for one of another kind or with a damaged line
    (the message names the line), when the iterator gets there.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in (".parquet", ".pq"):
            yield from _parquet(path)
        elif suffix == ".json":
            yield from _json(path)
        elif suffix in (".jsonl", ".ndjson"):
            yield from _json_lines(path)
        else:
            yield from _table(path)
    except FileNotFoundError:
        raise UsageError(f"no such file: {os.fspath(path)!r}") from None
    except OSError as error:
        raise _bad(path, f"{(error.strerror or str(error)).lower()}; {EXPECTED}") from None


def read_sidecars(paths: Iterable[str]) -> Iterator[CaptionRow]:
    """Captions that lie beside the photos: each line that is not blank in photo.jpg.txt or else in photo.txt, and the
    description (no keywords) in photo.jpg.xmp or else in photo.xmp."""
    for photo in paths:
        for suffix, read in ((".txt", _caption_lines), (".xmp", _xmp)):
            for beside in (Path(photo + suffix), Path(photo).with_suffix(suffix)):
                try:
                    for text in read(beside):
                        yield CaptionRow(photo, text)
                    break
                except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                    continue
                except OSError as error:
                    raise _bad(beside, (error.strerror or str(error)).lower()) from None


def _caption_lines(path: Path) -> Iterator[str]:
    for _, line in _lines(path):
        yield from texts_of_cell(line)


def _xmp(path: Path) -> Iterator[str]:
    if caption := from_xmp(path.read_bytes()).caption:
        yield caption


def _bad(path: Path, what: str) -> UnreadableFile:
    return UnreadableFile(f"cannot read captions from {os.fspath(path)!r}: {what}")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and lines, with their line ends."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            yield number, _utf8(path, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, number)


def _utf8(path: Path, data: bytes, first_line: int) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = first_line + data.count(b"\n", 0, error.start)
        advice = "save the file in that encoding" if line > 1 else EXPECTED
        raise _bad(path, f"line {line} is not UTF-8 text; {advice}") from None


def _json(path: Path) -> Iterator[CaptionRow]:
    text = _utf8(path, path.read_bytes().removeprefix(b"\xef\xbb\xbf"), 1)
    try:
        data = json.loads(text)
    except RecursionError:
        raise _bad(path, f"nested too deeply; {EXPECTED}") from None
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
            yield from _json_lines(path)
            return
        raise _bad(path, f"no valid JSON ({error}); {EXPECTED}") from None
    try:
        if isinstance(data, list):
            for number, item in enumerate(data, 1):
                yield from _record(path, f"item {number}", item)
        elif isinstance(data, dict) and isinstance(data.get("images"), list) and "annotations" in data:
            yield from _coco(data)
        elif isinstance(data, dict) and isinstance(data.get("images"), list):
            yield from _karpathy(data["images"])
        else:
            raise _bad(path, EXPECTED)
    except KeyError as error:
        raise _bad(path, f"an entry has no {error}; {EXPECTED}") from None
    except (TypeError, AttributeError):
        raise _bad(path, f"an entry is of another shape; {EXPECTED}") from None


def _coco(data: dict[str, Any]) -> Iterator[CaptionRow]:
    names = {image["id"]: str(image["file_name"]) for image in data["images"]}
    for note in data["annotations"]:
        # Subsets often keep the annotations of photos they leave out: these are reported as photos that are not there.
        photo = names.get(note["image_id"]) or f"image {note['image_id']}"
        for text in texts_of_cell(note["caption"]):
            yield CaptionRow(photo, text, _language(note))


def _karpathy(images: list[dict[str, Any]]) -> Iterator[CaptionRow]:
    for image in images:
        folder = image.get("filepath")
        photo = f"{folder}/{image['filename']}" if folder else image["filename"]
        for sentence in image["sentences"]:
            for text in texts_of_cell(sentence["raw"]):
                yield CaptionRow(photo, text)


def _json_lines(path: Path) -> Iterator[CaptionRow]:
    for number, line in _lines(path):
        if not line.isspace():
            try:
                item = json.loads(line)
            except (ValueError, RecursionError):
                raise _bad(path, f"line {number} is not a JSON object; {EXPECTED}") from None
            yield from _record(path, f"line {number}", item)


def _record(path: Path, where: str, item: Any) -> Iterator[CaptionRow]:
    if not isinstance(item, dict):
        raise _bad(path, f"{where} is not an object; {EXPECTED}")
    columns = {str(key).strip().lower(): value for key, value in item.items()}
    photo_column, text_column = _first(PHOTO_COLUMNS, columns), _first(TEXT_COLUMNS, columns)
    if photo_column is None or text_column is None:
        missing = "photo ('path')" if photo_column is None else "caption ('caption')"
        raise _bad(path, f"{where} has no {missing}; {EXPECTED}")
    photo = columns[photo_column]
    if isinstance(photo, dict):
        photo = photo.get("path")  # how Hugging Face datasets write a photo
    if not isinstance(photo, str) or not photo.strip():
        raise _bad(path, f"{where}: {photo_column!r} is not a path")
    try:
        for text in texts_of_cell(columns[text_column]):
            yield CaptionRow(photo, text, _language(columns))
    except TypeError:
        raise _bad(path, f"{where}: {text_column!r} is neither text nor a list of texts") from None


def _first(names: Sequence[str], columns: Iterable[str]) -> str | None:
    return next((name for name in names if name in columns), None)


def _language(columns: Mapping[str, Any]) -> str | None:
    name = _first(LANGUAGE_COLUMNS, columns)
    value = columns[name] if name else None
    return value if isinstance(value, str) and value else None


def texts_of_cell(value: Any) -> Iterator[str]:
    """The texts in a cell: one, a list of them, or a list of objects that hold them; blank ones are left out."""
    if isinstance(value, str):
        if text := value.strip():
            yield text
    elif isinstance(value, list):
        for part in value:
            yield from texts_of_cell(part)
    elif isinstance(value, dict) and (name := _first(TEXT_COLUMNS, value)):
        yield from texts_of_cell(value[name])
    elif value is not None:
        raise TypeError


def _parquet(path: Path) -> Iterator[CaptionRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            parquet = pq.ParquetFile(file)
            fields = {field.name.strip().lower(): field for field in parquet.schema_arrow}
            wanted = [_first(names, fields) for names in (PHOTO_COLUMNS, TEXT_COLUMNS, LANGUAGE_COLUMNS)]
            if wanted[0] is None or wanted[1] is None:
                raise _bad(path, f"its columns are {', '.join(fields) or 'none'}; {EXPECTED}")
            # Datasets with the photos inside hold them as {bytes, path}: the bytes stay unread.
            names = [fields[name].name for name in wanted if name is not None]
            if pa.types.is_struct(fields[wanted[0]].type):
                names[0] += ".path"
            number = 0
            for batch in parquet.iter_batches(columns=names):
                for item in batch.to_pylist():
                    number += 1
                    yield from _record(path, f"row {number}", item)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise _bad(path, f"no valid Parquet ({' '.join(str(error).split())[:100]}); {EXPECTED}") from None


def _table(path: Path) -> Iterator[CaptionRow]:
    """Text with one caption a line, told apart by its first line."""
    start = next((line for _, line in _lines(path) if not line.isspace()), "")
    if _TOKEN.match(start):
        for number, line in _lines(path):
            if found := _TOKEN.match(line):
                yield from (CaptionRow(found[1], text) for text in texts_of_cell(found[2]))
            elif not line.isspace():
                raise _bad(path, f"line {number} is not 'name.jpg#0', a tab and a caption")
        return
    for delimiter in "\t,|;":
        header = [name.strip(' "\r\n').lower() for name in start.split(delimiter)]
        if _first(PHOTO_COLUMNS, header) and _first(TEXT_COLUMNS, header):
            yield from _delimited(path, delimiter, header)
            return
    raise _bad(path, EXPECTED)


def _delimited(path: Path, delimiter: str, header: list[str]) -> Iterator[CaptionRow]:
    lines = (line for _, line in _lines(path))
    if delimiter == "|":
        reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        before_header = True
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if before_header:
                before_header = False
                continue
            if delimiter == "|" and len(cells) == len(header) - 1 and (lost := re.match(r"\s*(\d+)\s+(.+)", cells[-1])):
                cells[-1:] = lost.groups()  # one line of Flickr30k's results.csv lacks its bar
            if len(cells) != len(header):
                what = f"line {reader.line_num} has {len(cells)} cells, the first line {len(header)}"
                raise _bad(path, f"{what}; a caption that holds {delimiter!r} must be in quotes")
            yield from _record(path, f"line {reader.line_num}", dict(zip(header, map(str.strip, cells), strict=True)))
    except csv.Error as error:
        raise _bad(path, f"line {reader.line_num}: {error}") from None


def match(rows: Iterable[CaptionRow], photos: Mapping[str, int]) -> tuple[list[tuple[int, str, str | None]], list[str]]:
    """Find each caption's photo among `photos` (full path to content id).

    A row's photo is its full path; else the photo whose path ends alike for the most components, the file name at
    least; letters that differ only in case or in Unicode composition count as alike, but equal ones go first. Where
    several photos of different content end alike, none is taken: a wrong caption is worse than a missing one.

    Returns (content id, text, language) of the rows that have a photo, and the others' `photo`, one entry a row.
    """
    find = _finder(photos)
    found: dict[str, int | None] = {}
    matched: list[tuple[int, str, str | None]] = []
    unmatched: list[str] = []
    for photo, text, language in rows:
        if photo not in found:
            found[photo] = find(photo)
        content = found[photo]
        if content is None:
            unmatched.append(photo)
        else:
            matched.append((content, text, language))
    return matched, unmatched


def _finder(photos: Mapping[str, int]) -> Callable[[str], int | None]:
    endings: list[dict[str, list[str]]] = []
    """by number of components - 1, made when first needed: folded ending of a path to the paths that end so"""

    def ending(path: str, depth: int) -> str:
        return "/".join(path.rsplit("/", depth + 1)[-depth - 1 :])

    def folded(path: str) -> str:
        return unicodedata.normalize("NFC", path.replace("\\", "/")).casefold()

    def find(photo: str) -> int | None:
        if photo in photos:
            return photos[photo]
        wanted = folded(photo).removeprefix("./")
        candidates: list[str] = []
        for depth in range(wanted.count("/") + 1):
            if depth == len(endings):
                endings.append({})
                for path in photos:
                    endings[depth].setdefault(ending(folded(path), depth), []).append(path)
            closer = endings[depth].get(ending(wanted, depth))
            if closer is None:
                break
            candidates = closer
            if len(candidates) == 1:
                break
        equal = [path for path in candidates if ending(path, 0) == ending(photo, 0)]
        contents = {photos[path] for path in equal or candidates}
        return contents.pop() if len(contents) == 1 else None

    return find
