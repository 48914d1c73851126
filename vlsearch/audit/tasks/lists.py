"""Without captions: each query and its perturbed forms are asked, and their result lists compared."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.perturb import lookup, perturb, prepared
from vlsearch.audit.report.lists import ListResult, ListsReport
from vlsearch.audit.stats import interval
from vlsearch.audit.tasks.wording import Known
from vlsearch.errors import ModelError, UnreadableFile, UsageError

if TYPE_CHECKING:
    import pyarrow

Vectors = NDArray[np.float32]
EmbedTexts = Callable[[Sequence[str]], Vectors]
Nearest = Callable[[Vectors, int], NDArray[np.int64]]
"""unit vectors (n, d) and k to the ids (n, k) of the k nearest photos, best first, -1 where no more are found"""

_TEXTS_A_CALL = 1024
_CELLS_A_BLOCK = 1 << 24
"""pairs of results compared at a time: 16 MiB"""

log = logging.getLogger(__name__)


class _Query(NamedTuple):
    text: str
    clean: str
    """what the model reads for it as written"""
    forms: tuple[str, ...]
    """under each seed; none where it cannot change"""


@dataclass(frozen=True)
class _Asked:
    """The q queries that one perturbation can change, each in s forms."""

    name: str
    queries: tuple[_Query, ...]
    unperturbable: int


def audit_queries(
    embed_texts: EmbedTexts,
    nearest: Nearest,
    queries: Sequence[str],
    *,
    perturbations: Sequence[str],
    seeds: int = 5,
    ks: Sequence[int] = (1, 5, 10),
    resamples: int = 2000,
    photos: int,
    subject: str,
    model: str = "",
    fingerprint: str = "",
    truncated: int = 0,
    progress: Callable[[int, int], None] | None = None,
    known: Known | None = None,
    tokenizer: str = "own",
) -> tuple[ListsReport, pyarrow.Table]:
    """How much of what queries find changes when their words move: no captions are needed, and none say what is right.

    `photos` is how many there are to be found. Queries count once each; of those without a word there is nothing to
    ask. `perturbations` are of texts; "identity" always runs beside them as the control. A query that a perturbation
    cannot change is counted and left out of its figures; `known` has the forms of an earlier run. Each distinct text
    goes to `embed_texts` once; `progress(done, total)` counts them. A k that reaches all photos tells nothing: it is
    left out, with a line in the log. Beside the report: one row a query, perturbation, seed and k.
    Raises UsageError when there is nothing to measure, and for a perturbation that is unknown or of photos.
    """
    names, asked = _distinct(perturbations, queries)
    _check(names, asked, seeds, resamples)
    ks = _telling(ks, photos)
    runs = _reworded(asked, names, seeds, tokenizer, known)
    texts = _texts(runs)
    ids = _ids(embed_texts, nearest, texts, max(ks), progress)
    place = {text: row for row, text in enumerate(texts)}

    results: list[ListResult] = []
    rows: list[pyarrow.Table] = []
    for run in runs:
        pairs = [(place[query.clean], place[form]) for query in run.queries for form in query.forms]
        before, after = np.array(pairs, np.int64).reshape(-1, 2).T
        both = shared(ids[before], ids[after]).reshape(len(run.queries), -1 if pairs else 1, max(ks))
        results += [_result(run, both, k, resamples) for k in ks]
        rows.append(_rows(run, both, ks))
    report = ListsReport(
        model=model,
        fingerprint=fingerprint,
        subject=subject,
        photos=photos,
        queries=len(asked),
        seeds=seeds,
        resamples=resamples,
        truncated=truncated,
        results=tuple(results),
    )
    import pyarrow as pa

    return report, pa.concat_tables(rows)


def texts_of(queries: Sequence[str], perturbations: Sequence[str], seeds: int, tokenizer: str) -> list[str]:
    """Every distinct text that `audit_queries` embeds."""
    names, asked = _distinct(perturbations, queries)
    return _texts(_reworded(asked, names, seeds, tokenizer, None))


def _distinct(perturbations: Sequence[str], queries: Sequence[str]) -> tuple[list[str], list[str]]:
    # A surrogate, as an undecodable byte becomes, is no character that a file of rows could hold.
    asked = dict.fromkeys(query.encode("utf-8", "replace").decode() for query in queries if query.strip())
    return list(dict.fromkeys([*perturbations, "identity"])), list(asked)


def _texts(runs: Sequence[_Asked]) -> list[str]:
    return list(dict.fromkeys(text for run in runs for query in run.queries for text in (query.clean, *query.forms)))


def read_queries(path: str) -> list[str]:
    """The queries of a text file, one a line, or of a .jsonl, whose objects have them as "text" or "query"; "-" is
    standard input. Blank lines are passed over. Raises UsageError, UnreadableFile."""
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        lines = [line.strip() for line in data.decode("utf-8-sig").split("\n")]
    except OSError as error:
        raise UsageError(f"cannot read queries from {path!r}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError:
        raise UnreadableFile(f"cannot read queries from {path!r}: it is not UTF-8; save it as UTF-8 text") from None
    as_json = Path(path).suffix.lower() == ".jsonl"
    return [_query(line, path, n) if as_json else line for n, line in enumerate(lines, 1) if line]


def shared(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of the first d of one list stand among the first d of the other, d = 1 … depth: (n, depth).

    a, b: (n, depth) ids, best first, none twice in a list; -1: no more was found, which is nothing to share.
    """
    n, depth = a.shape
    found = np.zeros((n, depth), np.int64)
    step = max(1, _CELLS_A_BLOCK // depth**2)
    for first in range(0, n, step):
        part = slice(first, first + step)
        row, i, j = np.nonzero((a[part, :, None] == b[part, None, :]) & (a[part, :, None] >= 0))
        # An item is shared from the depth on at which it stands in both.
        cells = np.bincount(row * depth + np.maximum(i, j), minlength=found[part].size)
        found[part] = cells.reshape(-1, depth).cumsum(axis=1)
    return found


def rbo(both: NDArray[np.int64]) -> NDArray[np.float64]:
    """Rank-biased overlap, extrapolated, of two lists of length k with p = 1 - 1/k, from `shared` of them (…, k).

    For k = 10 the first ten carry 86 % of the weight; for k = 1 it is whether the first is the same. Webber, Moffat &
    Zobel, A similarity measure for indefinite rankings, ACM Transactions on Information Systems 28(4), 2010: RBO_EXT.
    """
    k = both.shape[-1]
    depth, p = np.arange(1, k + 1), 1 - 1 / k
    weights = (1 - p) * p ** (depth - 1)
    weights[-1] += p**k
    # Rounded, so that lists that are the same have 1, and not what is left of it by the sum.
    return np.asarray(np.round((both / depth * weights).sum(axis=-1), 12), dtype=np.float64)


def _check(names: Sequence[str], queries: Sequence[str], seeds: int, resamples: int) -> None:
    for name in names:
        if lookup(name).kind != "text":
            raise UsageError(f"{name} moves parts of photos, and queries are texts; give a perturbation of texts")
    if seeds < 1 or resamples < 1:
        raise UsageError("an audit needs at least one seed and one resample")
    if not queries:
        raise UsageError(
            "there are no queries to ask; --queries FILE brings some, `vlsearch log --on` keeps those asked"
        )


def _telling(ks: Sequence[int], photos: int) -> list[int]:
    """The depths at which two lists can differ."""
    if not ks or min(ks) < 1:
        raise UsageError("k counts the first results: give 1 or more")
    left_out = sorted({k for k in ks if k >= photos})
    if len(left_out) == len(set(ks)):
        raise UsageError(
            f"with {photos:,} photos the first {left_out[0]:,} are always the same; give a smaller -k, or more photos "
            "by `vlsearch ingest PATH`"
        )
    if left_out:
        log.warning("k %s left out: there are only %d photos to be found", ", ".join(map(str, left_out)), photos)
    return sorted(set(ks) - set(left_out))


def _reworded(
    queries: Sequence[str], names: Sequence[str], seeds: int, tokenizer: str, known: Known | None
) -> list[_Asked]:
    def forms(query: str, name: str) -> tuple[str, ...]:
        chosen = lookup(name)
        seeds_of_name = range(seeds if chosen.random else 1)
        if known is not None:
            saved = [known.get((name, seed), {}).get(query) for seed in seeds_of_name]
            return tuple(form[0] for form in saved if form is not None)
        found = [perturb(query, name, seed, tokenizer) for seed in seeds_of_name]
        return tuple(form.text for form in found) if chosen.control or found[0].changed else ()

    # Query by query, not name by name, so that the tagger's work on one serves all.
    rows = [[_Query(query, prepared(query, tokenizer), forms(query, name)) for name in names] for query in queries]
    return [
        _Asked(name, tuple(query for query in column if query.forms), sum(not query.forms for query in column))
        for name, column in zip(names, zip(*rows, strict=True), strict=True)
    ]


def _ids(
    embed_texts: EmbedTexts,
    nearest: Nearest,
    texts: Sequence[str],
    k: int,
    progress: Callable[[int, int], None] | None,
) -> NDArray[np.int64]:
    """The k nearest photos of each text: (n, k)."""
    parts = []
    for first in range(0, len(texts), _TEXTS_A_CALL):
        xq = np.asarray(embed_texts(texts[first : first + _TEXTS_A_CALL]), dtype=np.float32)
        if not np.all(np.isfinite(xq)):
            raise ModelError("the model gives texts vectors that hold no numbers; its weights are damaged")
        parts.append(nearest(xq, k))
        if progress is not None:
            progress(first + len(xq), len(texts))
    return np.concatenate(parts)


def _result(run: _Asked, both: NDArray[np.int64], k: int, resamples: int) -> ListResult:
    """`both`: (q, s, depth) of `shared`."""
    common, similar, first = both[:, :, k - 1], rbo(both[:, :, :k]), both[:, :, 0]
    means = low = high = np.array([k, 1.0])
    if len(run.queries):
        # By their texts: the same figures, to the last bit, in whatever order queries come.
        order = sorted(range(len(run.queries)), key=lambda n: run.queries[n].text)
        values = np.stack([common, similar], axis=1)[order]
        low, high, _ = interval(values, resamples=resamples)
        means = np.array([common.sum(), math.fsum(similar.ravel())]) / common.size
    return ListResult(
        perturbation=run.name,
        control=lookup(run.name).control,
        k=k,
        overlap=float(means[0]) / k,
        low=float(low[0]) / k,
        high=float(high[0]) / k,
        rbo=float(means[1]),
        rbo_low=float(low[1]),
        rbo_high=float(high[1]),
        same_first=float(first.mean()) if first.size else 1.0,
        queries=len(run.queries),
        unperturbable=run.unperturbable,
    )


def _rows(run: _Asked, both: NDArray[np.int64], ks: Sequence[int]) -> pyarrow.Table:
    """One row for each seed, query and k, in this order."""
    import pyarrow as pa

    queries, seeds, _ = both.shape
    n, by_seed = queries * seeds * len(ks), both.transpose(1, 0, 2)
    return pa.table(
        {
            "perturbation": pa.repeat(run.name, n),
            "seed": np.repeat(np.arange(seeds, dtype=np.int16), queries * len(ks)),
            "query": pa.array([q.text for _ in range(seeds) for q in run.queries for _ in ks], pa.string()),
            "perturbed": pa.array([q.forms[s] for s in range(seeds) for q in run.queries for _ in ks], pa.string()),
            "k": np.tile(np.array(ks, np.int32), queries * seeds),
            "overlap": np.stack([by_seed[:, :, k - 1] / k for k in ks], axis=-1).ravel(),
            "rbo": np.stack([rbo(by_seed[:, :, :k]) for k in ks], axis=-1).ravel(),
            "same_first": np.repeat(by_seed[:, :, 0].ravel() == 1, len(ks)),
        }
    )


def _query(line: str, path: str, number: int) -> str:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise UnreadableFile(f"cannot read queries from {path!r}: line {number} is no JSON") from None
    found = (
        next((record[key] for key in ("text", "query") if key in record), None) if isinstance(record, dict) else None
    )
    if not isinstance(found, str):
        raise UnreadableFile(f'cannot read queries from {path!r}: line {number} is no object with a "text" or "query"')
    return found
