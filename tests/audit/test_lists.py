"""Result lists of queries and their perturbed forms, compared without captions."""

from __future__ import annotations

import io
import itertools
import logging
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.audit.test_retrieval import ANIMALS, PLACES, embed
from vlsearch.audit.perturb import perturb
from vlsearch.audit.report.lists import ListResult, ListsReport
from vlsearch.audit.tasks import lists
from vlsearch.audit.tasks.lists import audit_queries, rbo, read_queries, shared, texts_of
from vlsearch.errors import ModelError, UnreadableFile, UsageError

Vectors = NDArray[np.float32]
XB = embed([f"a {animal} near a {place}" for animal in ANIMALS for place in PLACES])
QUERIES = [f"{animal} sits on the {place}" for animal, place in itertools.product(ANIMALS[:6], PLACES[:3])]


def nearest(xq: Vectors, k: int) -> NDArray[np.int64]:
    return np.argsort(-(xq.astype(np.float64) @ XB.T), axis=1, kind="stable")[:, :k]


def bag(texts: Sequence[str]) -> Vectors:
    return embed([" ".join(sorted(re.findall(r"\w+", text.lower()))) for text in texts])


def audit(queries: Sequence[str] = QUERIES, **options: object) -> ListsReport:
    call: dict[str, object] = {"embed_texts": embed, "perturbations": ["shuffle"], "seeds": 2, "resamples": 200}
    return audit_queries(queries=queries, nearest=nearest, photos=len(XB), subject="q.txt", **(call | options))[0]  # type: ignore[arg-type]


def find(report: ListsReport, perturbation: str, k: int) -> ListResult:
    (result,) = [r for r in report.results if (r.perturbation, r.k) == (perturbation, k)]
    return result


def plain_rbo(a: Sequence[int], b: Sequence[int], p: float) -> float:
    """The definition: (1 - p) times the sum over all depths of p ** (d - 1) times the agreement at depth d."""
    return (1 - p) * sum(p ** (d - 1) * len(set(a[:d]) & set(b[:d])) / d for d in range(1, len(a) + 1))


def test_rbo_by_hand() -> None:
    a = np.array([[1, 2], [1, 2], [1, 2], [1, 2], [1, 2]])
    b = np.array([[1, 2], [2, 1], [1, 3], [3, 1], [3, 4]])
    both = shared(a, b)
    assert both.tolist() == [[1, 2], [0, 2], [1, 1], [0, 1], [0, 0]]
    # p = 1/2: (1 - p) (X1 + p X2 / 2) + p² X2 / 2 = X1 / 2 + X2 / 4
    assert rbo(both).tolist() == [1, 0.5, 0.75, 0.25, 0]
    assert rbo(both[:, :1]).tolist() == [1, 0, 1, 0, 0]


def test_rbo_of_ten() -> None:
    """One exchange at the end, one at the beginning; the sums written out."""
    a = np.arange(10)
    last, first = np.r_[0:9, 10][None], np.r_[1, 0, 2:10][None]
    assert rbo(shared(a[None], last))[0] == pytest.approx(1 - 0.1 * 0.9**9 * 0.1 - 0.9**10 * 0.1, abs=1e-12)
    assert rbo(shared(a[None], first))[0] == pytest.approx(1 - 0.1, abs=1e-12)


@pytest.mark.parametrize("k", [3, 10, 30])
def test_rbo_is_the_sum_of_the_definition_on_long_lists(k: int) -> None:
    """Extrapolated: the agreement that the k have is taken to go on for ever, as it does in lists that are made so."""
    rng = np.random.default_rng(k)
    for common in {0, 1, k // 2, k}:
        a = rng.permutation(k)
        b = rng.permutation(np.r_[a[:common], 1000 + np.arange(k - common)])
        depth, p = 3000, 1 - 1 / k
        agreement = [len({*a[:d]} & {*b[:d]}) / d for d in range(1, k + 1)]
        agreement += [agreement[-1]] * (depth - k)
        definition = (1 - p) * sum(p**d * share for d, share in enumerate(agreement))
        assert rbo(shared(a[None], b[None]))[0] == pytest.approx(definition, abs=1e-9)


def test_rbo_reaches_the_definition_as_lists_grow() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.permutation(400), rng.permutation(400)
    both, p = shared(a[None], b[None]), 1 - 1 / 400
    rest = p**400 * both[0, -1] / 400
    assert rbo(both)[0] == pytest.approx(plain_rbo(a.tolist(), b.tolist(), p) + rest, abs=1e-9)


def test_shared_equals_sets_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, b = (np.stack([rng.permutation(12)[:7] for _ in range(50)]) for _ in range(2))
    plain = [[len({*x[:d]} & {*y[:d]}) for d in range(1, 8)] for x, y in zip(a, b, strict=True)]
    assert shared(a, b).tolist() == plain
    monkeypatch.setattr(lists, "_CELLS_A_BLOCK", 100)
    assert shared(a, b).tolist() == plain


def test_what_is_not_found_is_not_shared() -> None:
    assert shared(np.array([[3, -1, -1]]), np.array([[4, 3, -1]])).tolist() == [[0, 1, 1]]


def test_figures_equal_a_plain_computation() -> None:
    report, rows = audit_queries(
        embed, nearest, [*QUERIES, "dog"], perturbations=["shuffle", "swap"], seeds=3, ks=[5, 1], resamples=300,
        photos=50, subject="q.txt", model="m", fingerprint="f", truncated=1,
    )  # fmt: skip
    assert (report.queries, report.photos, report.seeds, report.truncated) == (19, 50, 3, 1)
    assert [(r.perturbation, r.k) for r in report.results] == [
        (name, k) for name in ("shuffle", "swap", "identity") for k in (1, 5)
    ]
    for name in ("shuffle", "swap"):
        for k in (1, 5):
            overlap, similar, first = [], [], []
            for query in QUERIES:
                (before,) = nearest(embed([query]), k)
                for seed in range(3):
                    (after,) = nearest(embed([perturb(query, name, seed).text]), k)
                    overlap.append(len({*before} & {*after}) / k)
                    similar.append(
                        plain_rbo(before.tolist(), after.tolist(), 1 - 1 / k) + (1 - 1 / k) ** k * overlap[-1]
                    )
                    first.append(before[0] == after[0])
            r = find(report, name, k)
            assert r.overlap == pytest.approx(np.mean(overlap), abs=1e-12)
            assert r.rbo == pytest.approx(np.mean(similar), abs=1e-9)
            assert r.same_first == pytest.approx(np.mean(first), abs=1e-12)
            assert (r.queries, r.unperturbable, r.control) == (18, 1, False)
            assert r.low < r.overlap < r.high
            assert r.rbo_low < r.rbo < r.rbo_high
    table = rows.to_pylist()
    assert len(table) == 2 * (3 + 3) * 18 + 2 * 19
    for row in table[:: len(table) // 50]:
        before, after = nearest(embed([row["query"], row["perturbed"]]), row["k"])
        assert row["perturbed"] == perturb(row["query"], row["perturbation"], row["seed"]).text
        assert row["overlap"] == len({*before} & {*after}) / row["k"]
        assert row["same_first"] == (before[0] == after[0])
        assert row["rbo"] == pytest.approx(rbo(shared(before[None], after[None]))[0])


def test_a_bag_of_words_keeps_every_list() -> None:
    for r in audit(embed_texts=bag, perturbations=["shuffle", "reverse", "sort"]).results:
        assert (r.overlap, r.low, r.high, r.rbo, r.rbo_low, r.rbo_high, r.same_first) == (1, 1, 1, 1, 1, 1, 1)


def test_other_lists_share_nothing() -> None:
    """Photos 0 … 24 for one order of the words, 25 … 49 for the other."""

    def half(xq: Vectors, k: int) -> NDArray[np.int64]:
        return np.arange(k) + 25 * (xq[:, :1] < 0)

    def side(texts: Sequence[str]) -> Vectors:
        return np.array([[1.0 if text.startswith("a") else -1.0] for text in texts], np.float32)

    report, _ = audit_queries(
        side, half, ["a b", "a c"], perturbations=["reverse"], ks=[1, 10], resamples=50, photos=50, subject=""
    )
    for k in (1, 10):
        r = find(report, "reverse", k)
        assert (r.overlap, r.low, r.high, r.rbo, r.rbo_low, r.rbo_high, r.same_first) == (0, 0, 0, 0, 0, 0, 0)
    assert report.finding().startswith("Reversing the words keeps 0 % of the first 10 results")


def test_identity_shows_what_joining_alone_does() -> None:
    spaced = [query.replace(" ", "  ") for query in QUERIES]
    r = find(
        audit(spaced, embed_texts=lambda texts: embed([text.replace("  ", " x ") for text in texts])), "identity", 10
    )
    assert r.control
    assert r.queries == len(QUERIES)
    assert r.overlap < 1


def test_each_distinct_text_is_embedded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "_TEXTS_A_CALL", 7)
    seen: Counter[str] = Counter()
    steps: list[tuple[int, int]] = []

    def counting(texts: Sequence[str]) -> Vectors:
        seen.update(texts)
        return embed(texts)

    report = audit(
        [*QUERIES, *QUERIES, " "], embed_texts=counting, progress=lambda done, all_: steps.append((done, all_))
    )
    assert set(seen.values()) == {1}
    assert set(QUERIES) < set(seen)
    assert steps[-1] == (len(seen), len(seen))
    assert report.queries == len(QUERIES)
    assert texts_of([*QUERIES, *QUERIES, " "], ["shuffle"], 2, "own") == list(seen)


def test_figures_do_not_depend_on_the_order_of_queries() -> None:
    assert audit(QUERIES[::-1]) == audit()


def test_one_query() -> None:
    r = find(audit(QUERIES[:1]), "shuffle", 5)
    assert r.low == r.overlap == r.high
    assert r.queries == 1


def test_nothing_that_can_move() -> None:
    report, rows = audit_queries(
        embed, nearest, ["dog", "Cat, cat"], perturbations=["shuffle"], resamples=10, photos=50, subject=""
    )
    r = find(report, "shuffle", 10)
    assert (r.queries, r.unperturbable, r.overlap, r.same_first) == (0, 2, 1, 1)
    assert report.finding() == "None of these queries has words that could be moved."
    assert set(rows["perturbation"].to_pylist()) == {"identity"}


def test_depths_that_reach_all_photos_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        report = audit(ks=[1, 50, 3, 60])
    assert {r.k for r in report.results} == {1, 3}
    assert [record.getMessage() for record in caplog.records] == [
        "k 50, 60 left out: there are only 50 photos to be found"
    ]
    caplog.clear()
    audit(ks=[49])
    assert not caplog.records


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"queries": []}, "no queries to ask; --queries FILE"),
        ({"queries": ["", "\t"]}, "no queries to ask"),
        ({"perturbations": ["shufle"]}, "no perturbation is called 'shufle'; did you mean shuffle"),
        ({"perturbations": ["shuffle-rows-4"]}, "shuffle-rows-4 moves parts of photos"),
        ({"ks": [50, 60]}, "with 50 photos the first 50 are always the same"),
        ({"ks": []}, "1 or more"),
        ({"ks": [0, 1]}, "1 or more"),
        ({"seeds": 0}, "at least one seed"),
        ({"tokenizer": "mine"}, "no tokenizer is called 'mine'"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_line(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        audit(**options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_vectors_that_are_no_numbers() -> None:
    with pytest.raises(ModelError, match="hold no numbers"):
        audit(embed_texts=lambda texts: embed(texts) * np.nan)


def test_queries_with_what_is_no_character_do_not_stop_it() -> None:
    assert audit(["a dog \udcff runs", "犬 と 猫", "\0 a b"]).queries == 3


def test_queries_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "q.txt"
    file.write_bytes("\ufeffa dog\r\n\n  пёс + a\u2028b \nlast".encode())
    assert read_queries(str(file)) == ["a dog", "пёс + a\u2028b", "last"]
    file = tmp_path / "q.jsonl"
    file.write_text('{"text": "a dog", "at": "2026"}\n\n{"query": "\\ud83d\\udc15"}\n', encoding="utf-8")
    assert read_queries(str(file)) == ["a dog", "🐕"]


def test_queries_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo words\n")))
    assert read_queries("-") == ["one", "two words"]


@pytest.mark.parametrize(
    ("name", "data", "kind", "said"),
    [
        ("q.txt", b"caf\xe9", UnreadableFile, "not UTF-8"),
        ("q.jsonl", b'{"text": "a"}\n{"te', UnreadableFile, "line 2 is no JSON"),
        ("q.jsonl", b'["a"]', UnreadableFile, 'line 1 is no object with a "text" or "query"'),
        ("q.jsonl", b'{"text": 3}', UnreadableFile, "line 1"),
        ("q.txt", None, UsageError, "no such file"),
    ],
)
def test_files_without_queries(tmp_path: Path, name: str, data: bytes | None, kind: type[Exception], said: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(kind, match=re.escape(said)) as caught:
        read_queries(str(tmp_path / name))
    assert "\n" not in str(caught.value)
