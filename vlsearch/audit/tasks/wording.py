"""All captions in one wording: as they are written, or perturbed under one seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vlsearch.audit.perturb import lookup, perturb, prepared
from vlsearch.errors import UnreadableFile, UsageError
from vlsearch.printable import printable

if TYPE_CHECKING:
    import pyarrow as pa

Progress = Callable[[str, int, int], None]

SAVED = ("perturbation", "seed", "text", "perturbed", "changed")
ASKED, SEEDS = "perturbations", "seeds"
"""metadata of files of rows: what was asked for; rows do not tell whether "sort" was, or ran beside it as a control"""
_A_STEP = 500


Known = Mapping[tuple[str, int], Mapping[str, tuple[str, bool]]]
"""perturbation and seed -> caption -> how it reads then, and whether it can change"""


@dataclass(frozen=True)
class Wording:
    texts: tuple[str, ...]
    changed: NDArray[np.bool_]
    """(M,) False for those that the perturbation cannot change"""


def as_written(texts: Sequence[str], tokenizer: str) -> Wording:
    return Wording(tuple(prepared(text, tokenizer) for text in texts), np.ones(len(texts), np.bool_))


def reworded(
    texts: Sequence[str], name: str, seeds: int, tokenizer: str, known: Known | None, progress: Progress
) -> list[Wording]:
    """`texts` under each seed, once where a perturbation has no randomness; taken from `known` where that is given.

    UsageError where `known` lacks one.
    """
    chosen = lookup(name)
    seeds_of_name = range(seeds if chosen.random else 1)
    # Caption by caption, not seed by seed, so that the tagger's work on one serves all seeds.
    rows: list[list[tuple[str, bool]]] = []
    for n, text in enumerate(texts):
        if n % _A_STEP == 0:
            progress(name, n, len(texts))
        if known is None:
            clean = prepared(text, tokenizer)
            found = [perturb(clean, name, seed, tokenizer) for seed in seeds_of_name]
            rows.append([(one.text, one.changed) for one in found])
        else:
            rows.append([_saved(known, text, name, seed) for seed in seeds_of_name])
    progress(name, len(texts), len(texts))
    return [
        Wording(
            tuple(row[seed][0] for row in rows), np.array([row[seed][1] or chosen.control for row in rows], np.bool_)
        )
        for seed in seeds_of_name
    ]


def _saved(known: Known, text: str, name: str, seed: int) -> tuple[str, bool]:
    of_run = known.get((name, seed))
    if of_run is None:
        raise UsageError(f"the saved captions have none for {name} under seed {seed}; ask for what they have")
    if text not in of_run:
        raise UsageError(f"the saved captions lack '{printable(text)}'; they are of another collection")
    return of_run[text]


def known_from(path: Path) -> tuple[Known, list[str], int]:
    """What a file of `--save-captions`, or of a run's rows, holds; the perturbations that were asked for, and how many
    seeds. Where the file does not say it, all were but "identity".

    Raises UsageError and UnreadableFile.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise UsageError(f"no such file: '{printable(str(path))}'; --save-captions writes one")
    try:
        with path.open("rb") as file:
            table = pq.ParquetFile(file).read()
    except (OSError, pa.ArrowException) as error:
        raise UnreadableFile(f"cannot read '{printable(str(path))}': {str(error).splitlines()[0]}") from error
    missing = [name for name in SAVED if name not in table.column_names]
    if missing:
        raise UsageError(
            f"'{printable(str(path))}' has no column {missing[0]!r}; --save-captions writes {', '.join(SAVED)}"
        )
    known = known_in(table)
    told = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    if ASKED in told and told.get(SEEDS, "").isdecimal():
        return known, told[ASKED].split(), int(told[SEEDS])
    names = dict.fromkeys(name for name, _ in known if not lookup(name).control)
    return known, list(names), 1 + max((seed for _, seed in known), default=0)


def known_in(table: pa.Table) -> Known:
    """What a table with the columns SAVED holds, such as a retrieval's rows; or the rows of queries, which are of those
    that can change."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if "direction" in table.column_names:
        table = table.filter(pc.equal(table["direction"].cast(pa.string()), "text_to_image"))
    text = table["query" if "query" in table.column_names else "text"].to_pylist()
    changed = table["changed"].to_pylist() if "changed" in table.column_names else [True] * len(table)
    columns = (table[name].to_pylist() for name in ("perturbation", "seed", "perturbed"))
    known: dict[tuple[str, int], dict[str, tuple[str, bool]]] = {}
    for written, moves, name, seed, perturbed in zip(text, changed, *columns, strict=True):
        known.setdefault((name, seed), {})[written] = perturbed, moves
    return known


def saved_captions(rows: pa.Table) -> pa.Table:
    """The columns that `known_from` reads, of a run's rows: each caption, perturbation and seed once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    asked = rows.filter(pc.equal(rows["direction"].cast(pa.string()), "text_to_image"))
    plain = pa.table({name: _flat(asked[name]) for name in SAVED})
    return plain.group_by(list(SAVED), use_threads=False).aggregate([])


def _flat(column: Any) -> Any:
    import pyarrow as pa

    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
