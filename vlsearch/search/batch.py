"""Many queries at once: read from lines, answered in blocks, written as JSON lines or Parquet."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from vlsearch.catalog.rows import IMAGE
from vlsearch.errors import UnreadableFile, UsageError
from vlsearch.search.query import Term, describe, parse
from vlsearch.vectors.store import TEMPORARY, write_durably

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlsearch.search.engine import Hit
    from vlsearch.search.prompts import Prompts

BLOCK = 1024
"""queries that are answered together"""
KEYS = {"id", "query", "terms"}
TERM_KEYS = {"text", "image", "weight"}

Bad = Callable[[str], object]
"""is told, in one line, of a query that has no answer, and why; the others go on"""


@dataclass(frozen=True)
class Query:
    id: int | str
    """as it is given, or the number of its line"""
    terms: tuple[Term, ...]
    line: int
    """1 is the first"""

    @property
    def text(self) -> str:
        return describe(self.terms)


class Answer(NamedTuple):
    query: Query
    hits: list[Hit]
    """best first"""


class Answering(Protocol):
    """What a batch needs of `engine.Engine`."""

    def embed_many(self, queries: Sequence[Sequence[Term]], prompts: Prompts | None = None) -> NDArray[np.float32]: ...

    def nearest(
        self, xq: NDArray[np.float32], k: int, kind: str = IMAGE, allowed: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]: ...

    def hits(self, D: NDArray[np.float32], I: NDArray[np.int64], kind: str = IMAGE) -> list[list[Hit]]: ...  # noqa: E741


def read_queries(lines: Iterable[bytes], bad: Bad) -> Iterator[list[Query]]:
    """The queries of a file, BLOCK at a time. A line is a query's short form, or a JSON object
    {"id": …, "query": "the short form", "terms": [{"text": … or "image": …, "weight": …}, …]} with a query, terms or
    both; empty lines are passed over. `bad` is told of a line that is neither."""
    queries = _queries(lines, bad)
    while block := list(islice(queries, BLOCK)):
        yield block


def run_batch(
    engine: Answering,
    queries: Iterable[Sequence[Query]],
    k: int,
    kind: str = IMAGE,
    *,
    bad: Bad,
    prompts: Prompts | None = None,
    allowed: NDArray[np.int64] | None = None,
    min_score: float | None = None,
) -> Iterator[Answer]:
    """The answers to blocks of queries, in their order: the k nearest each, as `Engine.nearest` finds them, but for
    those below `min_score`. `bad` is told of a query that cannot be asked (a picture that is broken, terms that cancel
    out)."""
    for block in queries:
        asked, xq = _embedded(engine, block, prompts, bad)
        if asked:
            D, I = engine.nearest(xq, k, kind, allowed)  # noqa: E741
            for query, hits in zip(asked, engine.hits(D, I, kind), strict=True):
                if min_score is not None:
                    hits = [hit for hit in hits if hit.score is not None and hit.score >= min_score]
                yield Answer(query, hits)


def write_results(answers: Iterable[Answer], to: Path | IO[str], captions: bool = False) -> int:
    """Write answers as JSON lines, or as Parquet where the name ends in .parquet; returns how many.

    A file appears under its name when it is whole, and durably. JSON: {"id", "query", "hits": [{"rank", "score",
    "path", "id"}, …]}, and its "caption" in a hit where captions were asked for. Parquet: a row a hit, with query_id
    (text), query, rank, score, path (bytes that are no UTF-8 as \\xNN), id, and with `captions` caption.
    Raises UsageError for a place that cannot be written to.
    """
    if not isinstance(to, Path):
        return _write_json(answers, lambda line: to.write(line))
    counted: list[int] = []
    parquet = to.suffix.lower() == ".parquet"

    def write(file: IO[bytes]) -> None:
        counted.append(
            _write_parquet(answers, file, captions)
            if parquet
            else _write_json(answers, lambda line: file.write(line.encode()))
        )

    try:
        if to.exists() and not to.is_file():  # such as /dev/stdout, which must not be replaced
            with to.open("wb") as file:
                write(file)
        else:
            write_durably(to, write)
    except OSError as error:
        raise UsageError(f"cannot write to {str(to)!r}: {(error.strerror or str(error)).lower()}") from None
    finally:
        with contextlib.suppress(OSError):
            to.with_name(to.name + TEMPORARY).unlink(missing_ok=True)
    return counted[0]


def _queries(lines: Iterable[bytes], bad: Bad) -> Iterator[Query]:
    for number, raw in enumerate(lines, 1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            if line:
                yield _given(line, number) if line.startswith("{") else Query(number, parse(line), number)
        except UnicodeDecodeError:
            bad(f"line {number}: it is no UTF-8 text; left out")
        except UsageError as error:
            bad(f"line {number}: {error}; left out")


def _given(line: str, number: int) -> Query:
    try:
        given = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"no JSON object ({error}); \\{{ begins a text with a brace") from None
    _only(given, KEYS, "a query")
    name, text, terms = given.get("id", number), given.get("query", ""), given.get("terms", [])
    if isinstance(name, bool) or not isinstance(name, int | str):
        raise UsageError('"id" is neither a number nor a text')
    if not isinstance(text, str) or not isinstance(terms, list):
        raise UsageError('"query" must be a text and "terms" a list')
    found = (*(parse(text) if text.strip() or not terms else ()), *map(_term, terms))
    return Query(name, found, number)


def _term(given: Any) -> Term:
    _only(given, TERM_KEYS, "a term")
    text, image, weight = given.get("text"), given.get("image"), given.get("weight", 1.0)
    if not isinstance(text, str | None) or not isinstance(image, str | None):
        raise UsageError('"text" and "image" of a term must be texts')
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise UsageError('"weight" of a term must be a number')
    try:
        return Term(text, image, float(weight))
    except OverflowError:
        raise UsageError("the weight of a term is too large") from None


def _only(given: Any, keys: set[str], what: str) -> None:
    if not isinstance(given, dict):
        raise UsageError(f"{what} must be a JSON object")
    if unknown := given.keys() - keys:
        raise UsageError(f"{what} has no {', '.join(sorted(map(repr, unknown)))}, only {', '.join(sorted(keys))}")


def _embedded(
    engine: Answering, block: Sequence[Query], prompts: Prompts | None, bad: Bad
) -> tuple[list[Query], NDArray[np.float32]]:
    """The queries that can be asked, and their vectors (nq, d). Where one cannot, halves are tried, down to it."""
    try:
        return list(block), engine.embed_many([query.terms for query in block], prompts)
    except (UsageError, UnreadableFile) as error:
        if len(block) == 1:
            bad(f"line {block[0].line}: {error}; left out")
            return [], np.empty((0, 0), np.float32)
    middle = len(block) // 2
    parts = [_embedded(engine, part, prompts, bad) for part in (block[:middle], block[middle:])]
    rows = [xq for asked, xq in parts if asked]
    return [query for asked, _ in parts for query in asked], np.concatenate(rows) if rows else parts[0][1]


def _write_json(answers: Iterable[Answer], write: Callable[[str], object]) -> int:
    count = 0
    for query, hits in answers:
        rows = [
            {"rank": hit.rank, "score": hit.score, "path": hit.path, "id": hit.id}
            | ({} if hit.caption is None else {"caption": hit.caption})
            for hit in hits
        ]
        write(json.dumps({"id": query.id, "query": query.text, "hits": rows}) + "\n")
        count += 1
    return count


def _write_parquet(answers: Iterable[Answer], file: IO[bytes], captions: bool) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"query_id": pa.string(), "query": pa.string(), "rank": pa.int32(), "score": pa.float32()}
    types |= {"path": pa.string(), "id": pa.int64()}
    if captions:
        types["caption"] = pa.string()
    schema, remaining, count = pa.schema(types), iter(answers), 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while block := list(islice(remaining, BLOCK)):
            rows = [(str(query.id), query.text, hit) for query, hits in block for hit in hits]
            columns: dict[str, Any] = {
                "query_id": [_plain(name) for name, _, _ in rows],
                "query": [_plain(text) for _, text, _ in rows],
                "rank": [hit.rank for _, _, hit in rows],
                "score": [hit.score for _, _, hit in rows],
                "path": [os.fsencode(hit.path).decode("utf-8", "backslashreplace") for _, _, hit in rows],
                "id": [hit.id for _, _, hit in rows],
                "caption": [hit.caption for _, _, hit in rows],
            }
            writer.write_table(pa.table({name: columns[name] for name in types}, schema))
            count += len(block)
    return count


def _plain(text: str) -> str:
    """Parquet holds UTF-8 only, JSON half a pair of surrogates as well."""
    return text.encode("utf-8", "backslashreplace").decode()
