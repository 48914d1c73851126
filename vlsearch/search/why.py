"""What is asked about an answer: does the order of the words matter to it, and why was this photo found?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vlsearch.catalog.rows import IMAGE
from vlsearch.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlsearch.search.engine import Engine, Hit
    from vlsearch.search.explain import Explanation
    from vlsearch.search.heat import Heat
    from vlsearch.search.order import OrderCheck
    from vlsearch.search.prompts import Prompts
    from vlsearch.search.query import Term


def check_order(
    engine: Engine,
    terms: Sequence[Term],
    k: int = 10,
    kind: str = IMAGE,
    allowed: NDArray[np.int64] | None = None,
    prompts: Prompts | None = None,
) -> OrderCheck:
    """How much of the k nearest changes when the words of the query's first text are moved. UsageError without one."""
    from vlsearch.search.order import order_check

    first = next((term for term in terms if term.text is not None), None)
    if first is None or first.text is None:
        raise UsageError("--order-check needs words: a picture has no order that could be changed")

    def ask(texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return engine.nearest(_asked_with(engine, terms, first, texts, prompts), k + 1, kind, allowed)

    return order_check(first.text, ask, k)


def explain_hits(
    engine: Engine, terms: Sequence[Term], hits: Sequence[Hit], prompts: Prompts | None = None
) -> list[Explanation]:
    """For each photo that was found, which words and terms of the query carry its score."""
    from vlsearch.search.explain import explain

    if not hits:
        return []
    first = next((term for term in terms if term.text is not None), None)
    return explain(
        None if first is None else first.text,
        lambda texts: _asked_with(engine, terms, first, texts, prompts),
        engine.vectors([hit.id for hit in hits]),
        [term.text or os.path.basename(str(term.image)) for term in terms],  # noqa: PTH119 - may be a URL
        [term.weight for term in terms],
        engine.embed_many([[replace(term, weight=1.0)] for term in terms], prompts),
    )


def heat_of(
    engine: Engine, terms: Sequence[Term], hits: Sequence[Hit], prompts: Prompts | None = None
) -> list[Heat | None]:
    """Where in each photo the query is found; None where the photo or the model does not tell."""
    from vlsearch.search.heat import heat_maps

    return heat_maps([hit.path for hit in hits], engine.embed(terms, prompts), engine.encoder())


def _asked_with(
    engine: Engine, terms: Sequence[Term], first: Term | None, texts: Sequence[str], prompts: Prompts | None
) -> NDArray[np.float32]:
    """Vectors (n, d) of the query with each of n texts in the place of its first text."""
    queries = [[replace(term, text=text) if term is first else term for term in terms] for text in texts]
    return engine.embed_many(queries, prompts)
