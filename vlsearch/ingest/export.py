"""Captions to a file that others can read."""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlsearch.errors import UsageError
from vlsearch.ingest.captions import CaptionRow

if TYPE_CHECKING:
    from vlsearch.library import Library


def write_captions(rows: Iterable[CaptionRow], path: Path) -> int:
    """Write captions as the extension says: .jsonl, .csv, .tsv, .parquet, or .json (COCO). Returns how many.

    The file appears under its name when it is whole. Raises UsageError for another extension, for a place that cannot
    be written to, and, in all but the JSON formats, for a file name that is not valid UTF-8.
    """
    writers = {
        ".jsonl": _write_jsonl,
        ".csv": _write_csv,
        ".tsv": _write_tsv,
        ".parquet": _write_parquet,
        ".json": _write_coco,
    }
    name = repr(os.fspath(path))
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise UsageError(f"cannot write captions to {name}: its name should end in {', '.join(writers)}")
    part = path.with_name(path.name + ".part")
    rows = list(rows)
    try:
        writer(rows, part)
        part.replace(path)
    except UnicodeEncodeError:
        raise UsageError(f"cannot write captions to {name}: a photo's name is not UTF-8; .jsonl holds it") from None
    except OSError as error:
        raise UsageError(f"cannot write captions to {name}: {(error.strerror or str(error)).lower()}") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return len(rows)


def _write_jsonl(rows: list[CaptionRow], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for photo, text, language in rows:
            record = {"path": photo, "caption": text} | ({"language": language} if language else {})
            # Escapes keep a name whose bytes are no UTF-8; elsewhere the file stays readable.
            file.write(json.dumps(record, ensure_ascii=not _encodable(photo)) + "\n")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _write_csv(rows: list[CaptionRow], path: Path, delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(("path", "caption", "language"))
        writer.writerows(rows)


def _write_tsv(rows: list[CaptionRow], path: Path) -> None:
    _write_csv(rows, path, "\t")


def _write_parquet(rows: list[CaptionRow], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ("path", "caption", "language")
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    table = pa.table({name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)})
    with path.open("wb") as file:
        pq.write_table(table, file, compression="zstd")


def _write_coco(rows: list[CaptionRow], path: Path) -> None:
    ids: dict[str, int] = {}
    notes: list[dict[str, Any]] = []
    for number, (photo, text, language) in enumerate(rows, 1):
        note = {"id": number, "image_id": ids.setdefault(photo, len(ids) + 1), "caption": text}
        notes.append(note | ({"language": language} if language else {}))
    images = [{"id": number, "file_name": photo} for photo, number in ids.items()]
    data = json.dumps({"images": images, "annotations": notes}, ensure_ascii=not all(map(_encodable, ids)))
    path.write_text(data + "\n", encoding="utf-8", newline="\n")


def export_captions(library: Library, path: Path) -> int:
    """Write all captions of a library, as `write_captions` does; how many there were."""
    from vlsearch.catalog import queries

    with library.read() as c:
        captions = list(queries.all_captions(c))
        paths = queries.paths_of(c, [content_id for _, content_id, _, _, _ in captions])
    rows = [CaptionRow(paths[i][0], text, language) for _, i, text, _, language in captions if i in paths]
    return write_captions(rows, path)
