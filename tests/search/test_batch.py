from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import ColourEncoder
from vlsearch.catalog.rows import IMAGE, TEXT
from vlsearch.errors import UnreadableFile, UsageError
from vlsearch.ingest.summary import Summary
from vlsearch.library import Library
from vlsearch.search import batch
from vlsearch.search.batch import Answer, Query, read_queries, run_batch, write_results
from vlsearch.search.engine import Engine, Hit
from vlsearch.search.prompts import Prompts
from vlsearch.search.query import Term, combine


class Numbered:
    """An engine over 100 vectors without a library; photo n lies at n.jpg. Knows what it was asked."""

    def __init__(self) -> None:
        drawn = np.random.default_rng(0).normal(size=(100, 48))
        self.xb = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
        self.embedded: list[int] = []
        self.asked: list[tuple[Any, ...]] = []

    def embed_many(self, queries: Sequence[Sequence[Term]], prompts: Prompts | None = None) -> NDArray[np.float32]:
        self.embedded.append(len(queries))
        for term in (term for terms in queries for term in terms):
            if term.image is not None:
                raise UnreadableFile(f"cannot read {term.image}: truncated file")
        encoder = ColourEncoder()
        return np.stack(
            [
                combine(
                    encoder.embed_texts([(prompts or Prompts()).expand(term.text or "")[0] for term in terms]),
                    np.array([term.weight for term in terms]),
                )
                for terms in queries
            ]
        )

    def nearest(
        self, xq: NDArray[np.float32], k: int, kind: str = IMAGE, allowed: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        self.asked.append((len(xq), k, kind, None if allowed is None else allowed.tolist()))
        scores = xq @ self.xb.T
        order = np.argsort(-scores, axis=1)[:, :k]
        return np.take_along_axis(scores, order, axis=1), order

    def hits(self, D: NDArray[np.float32], I: NDArray[np.int64], kind: str = IMAGE) -> list[list[Hit]]:  # noqa: E741
        return [
            [
                Hit(rank, score, f"{i}.jpg", i, caption="a dog" if kind == TEXT else None)
                for rank, (score, i) in enumerate(zip(scores, row, strict=True), 1)
            ]
            for scores, row in zip(D.tolist(), I.tolist(), strict=True)
        ]


def read(text: str | bytes) -> tuple[list[Query], list[str]]:
    said: list[str] = []
    lines = io.BytesIO(text.encode() if isinstance(text, str) else text)
    return [query for block in read_queries(lines, said.append) for query in block], said


def test_lines_are_queries() -> None:
    queries, said = read("\ufeffhorse + stripes\r\n\n   \ndog - 2:cat\n\\{braces}")
    assert queries == [
        Query(1, (Term("horse"), Term("stripes")), 1),
        Query(4, (Term("dog"), Term("cat", weight=-2)), 4),
        Query(5, (Term("{braces}"),), 5),
    ]
    assert said == []


def test_lines_of_json() -> None:
    rows: list[dict[str, Any]] = [
        {"id": "a", "query": "horse + stripes"},
        {"id": 7, "terms": [{"text": "mother - daughter", "weight": -2}, {"image": "p.jpg"}]},
        {"query": "horse", "terms": [{"text": "+", "weight": 0.5}]},
    ]
    queries, said = read("".join(" " + json.dumps(row) + "\n" for row in rows))
    assert queries == [
        Query("a", (Term("horse"), Term("stripes")), 1),
        Query(7, (Term("mother - daughter", weight=-2), Term(image="p.jpg")), 2),
        Query(3, (Term("horse"), Term("+", weight=0.5)), 3),
    ]
    assert said == []
    assert queries[1].text == '- 2:"mother - daughter" + <p.jpg>'


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"horse +", '"+" needs something'),
        (b"caf\xe9", "no UTF-8"),
        (b'{"query": "horse"', "no JSON object"),
        (b"{horses}", "begins a text with a brace"),
        (b'{"a":' * 100_000, "no JSON object"),
        (b"{}", "the query is empty"),
        (b'{"query": " "}', "the query is empty"),
        (b'{"query": "horse", "hits": []}', "a query has no 'hits', only id, query, terms"),
        (b'{"query": ["horse"]}', '"query" must be a text'),
        (b'{"id": null, "query": "horse"}', '"id" is neither'),
        (b'{"id": true, "query": "horse"}', '"id" is neither'),
        (b'{"id": 1.5, "query": "horse"}', '"id" is neither'),
        (b'{"terms": "horse"}', '"terms" a list'),
        (b'{"terms": ["horse"]}', "a term must be a JSON object"),
        (b'{"terms": [{}]}', "either a text or a picture"),
        (b'{"terms": [{"text": "a", "image": "b"}]}', "either a text or a picture"),
        (b'{"terms": [{"text": 1}]}', "must be texts"),
        (b'{"terms": [{"text": "a", "wieght": 2}]}', "a term has no 'wieght'"),
        (b'{"terms": [{"text": "a", "weight": "2"}]}', "must be a number"),
        (b'{"terms": [{"text": "a", "weight": true}]}', "must be a number"),
        (b'{"terms": [{"text": "a", "weight": NaN}]}', "other than 0, not nan"),
        (b'{"terms": [{"text": "a", "weight": 0}]}', "other than 0"),
        (b'{"terms": [{"text": "a", "weight": 1' + b"0" * 400 + b"}]}", "too large"),
    ],
)
def test_a_bad_line_costs_no_other(line: bytes, says: str) -> None:
    queries, said = read(b"dog\n" + line + b"\ncat\n")
    assert [query.terms for query in queries] == [(Term("dog"),), (Term("cat"),)]
    (message,) = said
    assert message.startswith("line 2: ")
    assert says in message
    assert "\n" not in message


def blocks(texts: Sequence[str]) -> Iterator[list[Query]]:
    return read_queries((text.encode() + b"\n" for text in texts), pytest.fail)


def test_queries_are_answered_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "BLOCK", 4)
    engine = Numbered()
    texts = [f"photo {n}" for n in range(10)]
    allowed = np.array([1, 2])
    answers = list(run_batch(engine, blocks(texts), 3, allowed=allowed, bad=pytest.fail))
    assert [query.id for query, _ in answers] == list(range(1, 11))
    assert engine.asked == [(n, 3, IMAGE, [1, 2]) for n in (4, 4, 2)]
    scores = ColourEncoder().embed_texts(texts) @ engine.xb.T
    for row, (_, hits) in zip(scores, answers, strict=True):
        assert [hit.id for hit in hits] == np.argsort(-row)[:3].tolist()
        assert [hit.score for hit in hits] == pytest.approx(np.sort(row)[::-1][:3].tolist(), abs=1e-5)


def test_low_scores_are_left_out() -> None:
    everything = list(run_batch(Numbered(), blocks(["dog", "cat"]), 50, bad=pytest.fail))
    scores = [hit.score for hit in everything[0].hits if hit.score is not None]
    some = list(run_batch(Numbered(), blocks(["dog", "cat"]), 50, bad=pytest.fail, min_score=scores[3]))
    assert some[0].hits == everything[0].hits[:4]
    assert next(run_batch(Numbered(), blocks(["dog"]), 50, bad=pytest.fail, min_score=2.0)).hits == []


def test_a_query_that_cannot_be_asked_costs_no_other() -> None:
    said: list[str] = []
    broken = {3, 60}
    texts = [json.dumps({"terms": [{"image": f"{n}.jpg"}]}) if n in broken else f"photo {n}" for n in range(64)]
    texts[10] = "dog - dog"
    engine = Numbered()
    answers = list(run_batch(engine, blocks(texts), 2, bad=said.append))
    assert [query.id for query, _ in answers] == [n + 1 for n in range(64) if n not in {3, 10, 60}]
    assert said == [
        "line 4: cannot read 3.jpg: truncated file; left out",
        "line 11: the query's terms cancel each other out; change a term or its weight; left out",
        "line 61: cannot read 60.jpg: truncated file; left out",
    ]
    assert len(engine.embedded) < 40
    assert engine.asked == [(61, 2, IMAGE, None)]
    whole = list(
        run_batch(
            Numbered(), blocks([text for n, text in enumerate(texts) if n not in {3, 10, 60}]), 2, bad=pytest.fail
        )
    )
    assert [hits for _, hits in answers] == [hits for _, hits in whole]


def test_nothing_that_can_be_asked() -> None:
    said: list[str] = []
    assert list(run_batch(Numbered(), blocks(['{"terms": [{"image": "x"}]}'] * 3), 2, bad=said.append)) == []
    assert len(said) == 3
    assert list(run_batch(Numbered(), [], 2, bad=pytest.fail)) == []


ANSWERS = [
    Answer(
        Query("a", (Term("dog"), Term("cat", weight=-1)), 1), [Hit(1, 0.5, "/x/\udcff.jpg", 7), Hit(2, 0.25, "b", 8)]
    ),
    Answer(Query(5, (Term("\ud800"),), 5), []),
    Answer(Query(6, (Term("fish"),), 6), [Hit(1, 0.125, "c", 9)]),
]


def test_json_lines(tmp_path: Path) -> None:
    stream = io.StringIO()
    assert write_results(ANSWERS, stream) == 3
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {
            "id": "a",
            "query": "dog - cat",
            "hits": [
                {"rank": 1, "score": 0.5, "path": "/x/\udcff.jpg", "id": 7},
                {"rank": 2, "score": 0.25, "path": "b", "id": 8},
            ],
        },
        {"id": 5, "query": "\ud800", "hits": []},
        {"id": 6, "query": "fish", "hits": [{"rank": 1, "score": 0.125, "path": "c", "id": 9}]},
    ]
    assert write_results(iter(ANSWERS), tmp_path / "new" / "r.jsonl") == 3
    assert (tmp_path / "new" / "r.jsonl").read_text() == stream.getvalue()


def test_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    monkeypatch.setattr(batch, "BLOCK", 2)
    file = tmp_path / "r.parquet"
    assert write_results(iter(ANSWERS), file) == 3
    assert pq.read_table(file).to_pylist() == [
        {"query_id": "a", "query": "dog - cat", "rank": 1, "score": 0.5, "path": "/x/\\xff.jpg", "id": 7},
        {"query_id": "a", "query": "dog - cat", "rank": 2, "score": 0.25, "path": "b", "id": 8},
        {"query_id": "6", "query": "fish", "rank": 1, "score": 0.125, "path": "c", "id": 9},
    ]
    assert pq.ParquetFile(file).metadata.num_row_groups == 2


def test_captions_are_written_where_they_were_asked_for(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    answers = list(run_batch(Numbered(), blocks(["dog"]), 2, TEXT, bad=pytest.fail))
    stream = io.StringIO()
    write_results(answers, stream)
    assert [hit["caption"] for hit in json.loads(stream.getvalue())["hits"]] == ["a dog"] * 2
    write_results(answers, tmp_path / "r.parquet", captions=True)
    assert pq.read_table(tmp_path / "r.parquet").column("caption").to_pylist() == ["a dog"] * 2


def test_no_answers_are_a_file_as_well(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    assert [write_results([], tmp_path / name) for name in ("r.parquet", "r.jsonl")] == [0, 0]
    table = pq.read_table(tmp_path / "r.parquet")
    assert (table.num_rows, table.column_names) == (0, ["query_id", "query", "rank", "score", "path", "id"])
    assert (tmp_path / "r.jsonl").read_bytes() == b""


@pytest.mark.parametrize("name", ["r.jsonl", "r.parquet"])
def test_a_file_is_there_when_it_is_whole(name: str, tmp_path: Path) -> None:
    def broken() -> Iterator[Answer]:
        yield from ANSWERS
        assert not (tmp_path / name).exists() or (tmp_path / name).read_text() == "old"
        raise KeyboardInterrupt

    for before in ([], [name]):
        (tmp_path / name).write_text("old") if before else None
        with pytest.raises(KeyboardInterrupt):
            write_results(broken(), tmp_path / name)
        assert [file.name for file in tmp_path.iterdir()] == before
    assert (tmp_path / name).read_text() == "old"


def test_places_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "r.jsonl", tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(UsageError, match="cannot write to"):
            write_results(ANSWERS, place)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        read = pool.submit(lambda: len(pipe.read_text().splitlines()))
        assert write_results(ANSWERS, pipe) == 3
        assert pipe.is_fifo()
        assert read.result(timeout=5) == 3


def test_with_the_engine_and_a_library(
    library: Library, encoder: ColourEncoder, photos: Callable[..., Path], take: Callable[..., Summary]
) -> None:
    folder = photos(30)
    take(folder)
    engine = Engine(library, encoder)
    picture = str(folder / "00003.jpg")
    (folder / "broken.jpg").write_bytes(b"no picture")
    lines = [
        "dog",
        "dog + 2:cat - fish",
        json.dumps({"id": "p", "terms": [{"image": picture}]}),
        json.dumps({"terms": [{"image": str(folder / "broken.jpg")}]}),
        json.dumps({"terms": [{"image": str(folder / "none.jpg")}]}),
        json.dumps({"terms": [{"image": "http://127.0.0.1/"}]}),
    ]
    said: list[str] = []
    answers = list(run_batch(engine, blocks(lines), 5, prompts=Prompts(("a {}", "the {}")), bad=said.append))
    assert [message.partition(":")[0] for message in said] == ["line 4", "line 5", "line 6"]
    assert [query.id for query, _ in answers] == [1, 2, "p"]
    for query, hits in answers:
        alone = engine.search(query.terms, 5, prompts=Prompts(("a {}", "the {}")))
        assert [(hit.path, hit.rank) for hit in hits] == [(hit.path, hit.rank) for hit in alone]
        assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in alone], abs=1e-6)
    assert answers[2].hits[0].path == picture
