"""The texts that an audit needs vectors of, for a model that runs elsewhere (docs/vectors.md)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from vlsearch.audit.report.files import write_file
from vlsearch.errors import UsageError
from vlsearch.printable import printable


def export_texts(path: Path, texts: Iterable[str]) -> int:
    """Write each distinct text once, in order: .parquet (column `key`), .jsonl (objects with `key`), or .txt, one a
    line. Returns how many.

    The file appears under its name when it is whole. Raises UsageError for another name, for a place that cannot be
    written, for texts that are not Unicode, and in .txt for texts that are not one line.
    """
    writers = {".parquet": _write_parquet, ".jsonl": _write_jsonl, ".txt": _write_txt}
    name = f"'{printable(str(path))}'"
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise UsageError(f"cannot write texts to {name}: its name should end in {', '.join(writers)}")
    distinct = list(dict.fromkeys(texts))
    if path.suffix.lower() == ".txt" and (odd := [text for text in distinct if text.splitlines() != [text]]):
        raise UsageError(f"cannot write texts to {name}: {len(odd):,} of them are not one line; .jsonl holds them")
    if any("\ud800" <= letter <= "\udfff" for text in distinct for letter in text):
        raise UsageError(f"cannot write texts to {name}: some hold what is no character; mend the captions")
    write_file(path, lambda file: writer(distinct, file))
    return len(distinct)


def _write_parquet(texts: list[str], file: IO[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"key": pa.array(texts, pa.string())}), file, compression="zstd")


def _write_jsonl(texts: list[str], file: IO[bytes]) -> None:
    file.writelines(json.dumps({"key": text}, ensure_ascii=False).encode() + b"\n" for text in texts)


def _write_txt(texts: list[str], file: IO[bytes]) -> None:
    file.writelines(text.encode() + b"\n" for text in texts)
