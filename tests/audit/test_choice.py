from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vlsearch.audit.datasets import (
    Captioned,
    Choice,
    Choices,
    Item,
    Pair,
    Photo,
    PhotoFolder,
    Statement,
    available,
    load,
    order,
)
from vlsearch.audit.perturb.words import keys, tokenise
from vlsearch.audit.report import ChoiceReport, ChoiceResult
from vlsearch.audit.stats import wilson
from vlsearch.audit.tasks import choice
from vlsearch.audit.tasks.choice import audit_choice, texts_of
from vlsearch.audit.tasks.verdicts import auc, weighted_auc
from vlsearch.errors import ModelError, UsageError

Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[Any]], Vectors]

DIM = 256


def hashed(text: str) -> NDArray[np.float64]:
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    return np.random.default_rng(seed).standard_normal(DIM)


def unit(rows: Sequence[NDArray[np.float64]]) -> Vectors:
    x = np.array(rows)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def bag(texts: Sequence[str]) -> Vectors:
    """Sum of word vectors, in alphabetical order so that the sum is the same to the last bit."""
    return unit([sum((hashed(w) for w in sorted(keys(tokenise(text)))), np.zeros(DIM)) for text in texts])


def reader(texts: Sequence[str]) -> Vectors:
    """A vector of its own for every text."""
    return unit([hashed(text) for text in texts])


def seen_as(texts: dict[Photo, str], embed: Embed) -> Embed:
    """Photos whose vectors are those of `texts`."""
    return lambda photos: embed([texts[photo] for photo in photos])


def true_texts(choices: Choices) -> dict[Photo, str]:
    return {photo: text for item in choices.items for photo, text in zip(item.photos, item.texts, strict=False)}


def scored(table: dict[tuple[str, str], float]) -> tuple[Embed, Embed]:
    """Encoders whose score of (photo, text) is the one in the table, and 0 for texts that are not in it."""
    texts = {text: n for n, text in enumerate(dict.fromkeys(text for _, text in table))}

    def embed_texts(asked: Sequence[str]) -> Vectors:
        x = np.zeros((len(asked), len(texts)), np.float32)
        for row, text in enumerate(asked):
            if text in texts:
                x[row, texts[text]] = 1
        return x

    def embed_photos(asked: Sequence[Photo]) -> Vectors:
        rows = [[table.get((photo.path, text), 0.0) for text in texts] for photo in asked]
        return np.array(rows, np.float32)

    return embed_texts, embed_photos


def audit(items: Sequence[Item], texts: Embed, photos: Embed, **options: Any) -> ChoiceReport:
    return audit_choice(Choices("some", tuple(items)), texts, photos, **options)[0]


def one(report: ChoiceReport, metric: str = "accuracy", split: str = "all") -> ChoiceResult:
    (result,) = (r for r in report.results if (r.metric, r.split) == (metric, split))
    return result


WORDS = ("dog", "cat", "bird", "horse", "cow", "fish")


def swapped(n: int, photos: int = 6) -> list[Choice]:
    """Items whose false text has the words of the true one in another order."""
    pairs = list(permutations(WORDS, 2))
    return [
        Choice(Photo(f"{i % photos}-{a}-{b}.jpg"), (f"the {a} bites the {b}", f"the {b} bites the {a}"))
        for i, (a, b) in enumerate(pairs[:n])
    ]


def test_an_oracle_is_always_right_and_a_bag_of_words_always_wrong() -> None:
    items = swapped(20)
    truth = true_texts(Choices("some", tuple(items)))
    right = one(audit(items, reader, seen_as(truth, reader)))
    assert (right.value, right.ties, right.n, right.chance) == (1.0, 0, 20, 0.5)
    assert right.bag_of_words == 0.0, "sorted, both texts are the same: a tie is wrong"
    tied = one(audit(items, bag, seen_as(truth, bag)))
    assert (tied.value, tied.ties) == (0.0, 20)


def test_figures_by_hand() -> None:
    """Three splits' worth of scores: right, beaten, tied, right of three."""
    items = [
        Choice(Photo("a"), ("t1", "f1"), "x"),
        Choice(Photo("b"), ("t2", "f2"), "x"),
        Choice(Photo("c"), ("t3", "f3"), "y"),
        Choice(Photo("d"), ("t4", "f4", "f5"), "y"),
    ]
    table = {
        **{("a", "t1"): 0.5, ("a", "f1"): 0.25},
        **{("b", "t2"): 0.25, ("b", "f2"): 0.5},
        **{("c", "t3"): 0.5, ("c", "f3"): 0.5},
        **{("d", "t4"): 0.5, ("d", "f4"): 0.25, ("d", "f5"): 0.0},
    }
    texts, photos = scored(table)
    report, rows = audit_choice(Choices("some", tuple(items)), texts, photos)
    assert [(r.split, r.value, r.n, r.ties) for r in report.results] == [
        ("x", 0.5, 2, 0),
        ("y", 0.5, 2, 1),
        ("all", 0.5, 4, 1),
    ]
    x, y, whole = report.results
    assert (x.low, x.high) == wilson(1, 2)
    assert (whole.low, whole.high) == wilson(2, 4)
    assert x.chance == 0.5
    assert y.chance == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert whole.detectable == pytest.approx((1.959964 + 0.841621) * math.sqrt((3 / 4 + 2 / 9) / 16), abs=1e-6)
    assert rows.to_pylist()[3] == {
        "task": "some",
        "split": "y",
        "group": "",
        "photo": "d",
        "texts": ["t4", "f4", "f5"],
        "scores": [0.5, 0.25, 0.0],
        "right": True,
        "blind": rows["blind"][3].as_py(),
        "bag_of_words": True,
        "seed": 0,
    }
    assert rows["right"].to_pylist() == [True, False, False, True]
    assert (report.items, report.photos, report.seeds, report.subject) == (4, 4, 0, "some")


def test_macro_accuracy_weighs_groups_alike() -> None:
    """Nine of ten right in one group, none of two in the other: 0.45 and not 0.75."""
    items = [
        Choice(Photo(f"{n}"), (f"t{n}", f"f{n}"), split, split) for n, split in enumerate(["on"] * 10 + ["in"] * 2)
    ]
    right = [True] * 9 + [False] * 3
    table = {(str(n), f"t{n}" if ok else f"f{n}"): 0.5 for n, ok in enumerate(right)}
    report = audit(items, *scored(table | {(str(n), f"f{n}" if ok else f"t{n}"): 0.25 for n, ok in enumerate(right)}))
    macro = one(report, "macro accuracy")
    assert macro.value == pytest.approx(0.45)
    assert one(report).value == 0.75
    assert (one(report, split="on").value, one(report, split="in").value) == (0.9, 0.0)
    assert macro.low < 0.45 < macro.high
    assert (macro.n, macro.chance) == (12, 0.5)
    assert "macro accuracy between texts is 45.0 %" in report.finding().lower()


def test_macro_accuracy_varies_with_photos_not_with_items() -> None:
    """Ten items of one photo are one draw: the interval is as wide as that of two photos."""
    items = [
        Choice(Photo(photo), (f"t{photo}{n}{g}", f"f{photo}{n}{g}"), group=g)
        for photo in "ab"
        for n in range(10)
        for g in "xy"
    ]
    table = {(i.photo.path, i.texts[0] if i.photo.path == "a" else i.texts[1]): 0.5 for i in items}
    macro = one(audit(items, *scored(table)), "macro accuracy")
    assert (macro.value, macro.low, macro.high) == (0.5, 0.0, 1.0)


def test_a_group_that_a_resample_lacks_is_not_in_its_mean() -> None:
    """Each group on a photo of its own: drawn twice, the one photo gives 1, the other 0."""
    items = [Choice(Photo("a"), ("t1", "f1"), group="x"), Choice(Photo("b"), ("t2", "f2"), group="y")]
    macro = one(audit(items, *scored({("a", "t1"): 0.5, ("b", "f2"): 0.5})), "macro accuracy")
    assert (macro.value, macro.low, macro.high) == (0.5, 0.0, 1.0)


def test_chance_of_pairs_equals_counting_all_orders() -> None:
    names = [("0", "a"), ("0", "b"), ("1", "a"), ("1", "b")]
    count: Counter[str] = Counter()
    for scores in permutations([0.1, 0.2, 0.3, 0.4]):
        item = Pair((Photo("0"), Photo("1")), ("a", "b"))
        report = audit([item], *scored(dict(zip(names, scores, strict=True))))
        for r in report.results:
            count[r.metric] += int(r.value)
            assert r.chance in (1 / 4, 1 / 6)
            assert r.blind is None
    assert count == {"text score": 6, "image score": 6, "group score": 4}
    assert {r.metric: r.chance for r in report.results} == {m: n / 24 for m, n in count.items()}


def test_pairs_must_be_strictly_right() -> None:
    pair = Pair((Photo("0"), Photo("1")), ("the dog bites the cat", "the cat bites the dog"), split="Object")
    truth = {pair.photos[0]: pair.texts[0], pair.photos[1]: pair.texts[1]}
    solved = audit([pair], reader, seen_as(truth, reader))
    assert [(r.metric, r.value, r.bag_of_words) for r in solved.results if r.split == "all"] == [
        ("text score", 1.0, 0.0),
        ("image score", 1.0, None),
        ("group score", 1.0, 0.0),
    ]
    assert one(solved, "text score", "Object").value == 1.0
    tied = audit([pair], bag, seen_as(truth, bag))
    assert [(r.value, r.ties) for r in tied.results if r.split == "all"] == [(0.0, 1)] * 3


def test_statements_are_told_apart_by_their_scores() -> None:
    """Of the six pairs of a true and a false statement, four are in order and one is tied."""
    statements = [
        Statement(Photo(f"{n}"), f"s{n}", true, group="on") for n, true in enumerate([True, True, True, False, False])
    ]
    scores = [0.5, 0.25, 0.125, 0.25, 0.0]
    texts, photos = scored({(str(n), f"s{n}"): score for n, score in enumerate(scores)})
    report, rows = audit_choice(Choices("vsr", tuple(statements)), texts, photos)
    (r,) = report.results
    assert (r.task, r.split, r.metric, r.n, r.chance, r.ties) == ("vsr", "all", "auc", 5, 0.5, 1)
    assert r.value == pytest.approx(4.5 / 6)
    assert 0 <= r.low < r.value < r.high <= 1
    assert r.blind is not None
    assert r.bag_of_words == r.value
    assert rows["split"].to_pylist() == ["true", "true", "true", "false", "false"]
    # The medians are 0.125 of the false ones and 0.25 of the true ones.
    assert rows["right"].to_pylist() == [True, True, False, False, True]


def test_auc_equals_the_count_of_pairs() -> None:
    rng = np.random.default_rng(0)
    for n in (2, 3, 10, 57):
        score = rng.integers(0, 6, n) / 8
        true = np.arange(n) % 2 == 0
        won = [(t > f) + (t == f) / 2 for t in score[true] for f in score[~true]]
        assert auc(score, true) == pytest.approx(np.mean(won), abs=1e-12)
        weights = rng.integers(0, 4, (3, n)).astype(np.float64)
        for row, value in zip(weights, weighted_auc(score, true, weights), strict=True):
            times = row.astype(int)
            repeated = np.repeat(score, times), np.repeat(true, times)
            if len(set(repeated[1].tolist())) == 2:
                assert value == pytest.approx(auc(*repeated), abs=1e-12)
            else:
                assert value == 0.5


def test_captions_against_their_own_words() -> None:
    """Bags of words tie all five texts; an oracle is always right; sorted words are wrong by construction."""
    texts = (
        "A brown dog chasing a red ball on the wet grass",
        "Two small birds sitting on a high wire",
        "dog",
        "A woman in a blue coat walks past an old house",
    )
    captions = Captioned("library", ("a.jpg", "b.jpg"), texts, np.array([0, 1, 0, 1]))
    items = order(captions, seeds=3)
    truth = {"a.jpg": texts[0], "b.jpg": f"{texts[1]} {texts[3]}"}
    report, rows = audit_choice(items, bag, lambda photos: bag([truth[photo.path] for photo in photos]))
    (r,) = report.results
    assert (r.task, r.value, r.ties, r.n, r.chance, r.bag_of_words) == ("order", 0.0, 9, 3, 0.2, 0.0)
    assert (r.low, r.high) == wilson(0, 3)
    assert (report.subject, report.items, report.seeds, report.unperturbable) == ("library", 9, 3, 1)
    assert rows["seed"].to_pylist() == [0, 1, 2] * 3

    known = {items.items[0].texts[0]: 0, items.items[3].texts[0]: 1, items.items[6].texts[0]: 1}
    directions = np.eye(3, dtype=np.float32)
    report, _ = audit_choice(
        items,
        lambda asked: directions[[known.get(text, 2) for text in asked]],
        lambda photos: directions[[int(photo.path == "b.jpg") for photo in photos]],
    )
    assert (report.results[0].value, report.results[0].ties) == (1.0, 0)


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_everything_distinct_is_embedded_once_whatever_the_blocks(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_ITEMS_A_BLOCK", size)
    items = [*swapped(8), *swapped(8), Choice(Photo("x"), ("a b", "the dog bites the cat"))]
    choices = Choices("some", tuple(items))
    asked: list[str] = []
    photos: list[Photo] = []

    def embed_texts(texts: Sequence[str]) -> Vectors:
        asked.extend(texts)
        return reader(texts)

    def embed_photos(of: Sequence[Photo]) -> Vectors:
        photos.extend(of)
        return reader([str(photo) for photo in of])

    report, rows = audit_choice(choices, embed_texts, embed_photos)
    assert sorted(asked) == sorted(texts_of(choices))
    assert len(asked) == len(set(asked))
    assert photos == list(dict.fromkeys(item.photos[0] for item in items))
    monkeypatch.setattr(choice, "_ITEMS_A_BLOCK", 4)
    again, other = audit_choice(choices, reader, lambda of: reader([str(photo) for photo in of]))
    assert again == report
    assert other.equals(rows)


def test_the_same_photo_in_another_box_is_another_photo() -> None:
    items = [Choice(Photo("a", (0, 0, 9, 9)), ("t", "f")), Choice(Photo("a", (1, 0, 9, 9)), ("t", "f"))]
    seen: list[Photo] = []

    def embed_photos(photos: Sequence[Photo]) -> Vectors:
        seen.extend(photos)
        return reader([str(photo) for photo in photos])

    report = audit(items, reader, embed_photos)
    assert len(seen) == 2
    assert report.photos == 1


def test_a_blind_model_knows_the_language_and_not_the_photo() -> None:
    """It learns the captions' order of words; captions of the photo in question are not among what it learns from."""
    corpus = [(f"the {w} sleeps on the mat", f"{n}-{k}.jpg") for k in range(5) for n, w in enumerate(WORDS)]
    items = [Choice(Photo(f"new-{w}.jpg"), (f"the {w} sleeps on the mat", f"mat the on sleeps {w} the")) for w in WORDS]
    truth = true_texts(Choices("some", tuple(items)))
    report, rows = audit_choice(Choices("some", tuple(items)), reader, seen_as(truth, reader), corpus)
    assert report.results[0].blind == 1.0
    assert rows["blind"].to_pylist() == [True] * 6


def test_captions_of_the_photo_under_its_other_name_are_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, str] = {}

    class Listening:
        def __init__(self, captions: Sequence[str], photos: Sequence[str]) -> None:
            told.update(zip(captions, photos, strict=True))

        def scores(self, texts: Sequence[str], photo: str) -> NDArray[np.float64]:
            assert photo == "000000000042.jpg"
            return np.arange(len(texts), dtype=np.float64)

    monkeypatch.setattr("vlsearch.audit.controls.Blind", Listening)
    photo = Photo("val2014/COCO_val2014_000000000042.jpg")
    items = [Choice(photo, ("a dog .", "no dog"))]
    report = audit(items, reader, lambda _: reader(["x"]), blind_corpus=[("a cat", "/p/000000000042.jpg")])
    assert told == {"a cat": "000000000042.jpg", "a dog.": "000000000042.jpg"}
    assert report.results[0].blind == 0.0

    told.clear()
    statements = [Statement(photo, "a dog", True), Statement(photo, "a horse", False)]
    report = audit(statements, reader, lambda _: reader(["x"]))
    assert told == {"a dog": "000000000042.jpg"}, "false statements are not what captions say"
    assert report.results[0].blind == 0.5


def test_a_name_that_is_no_utf8_is_audited() -> None:
    items = [Choice(Photo("b\udcff.jpg"), ("a dog 🐕", "犬"))]
    _, rows = audit_choice(Choices("library", tuple(items)), reader, lambda _: reader(["x"]))
    assert rows["photo"].to_pylist() == ["b\ufffd.jpg"]
    assert rows["texts"].to_pylist() == [["a dog 🐕", "犬"]]


def test_truncated_texts_are_counted_without_the_control() -> None:
    counted: list[str] = []

    def truncated(texts: Sequence[str]) -> int:
        counted.extend(texts)
        return 7

    items = swapped(3)
    report = audit(items, reader, lambda photos: reader([str(p) for p in photos]), truncated=truncated)
    assert report.truncated == 7
    assert set(counted) == {text for item in items for text in item.texts}


def test_nothing_to_choose_between_is_refused() -> None:
    def never(_: Sequence[Any]) -> Vectors:
        raise AssertionError("nothing is embedded")

    def refused(choices: Choices) -> str:
        with pytest.raises(UsageError) as caught:
            audit_choice(choices, never, never)
        return str(caught.value)

    assert refused(Choices("some", ())) == "some has no items to choose between"
    assert refused(Choices("vg", (), left_out=("symmetric relations (near), items: 1",))).endswith("(near), items: 1")
    assert (
        refused(Choices("library", (), unperturbable=9))
        == "none of the 9 captions of library is changed by all perturbations"
    )
    statements = tuple(Statement(Photo(f"{n}"), f"s{n}", True) for n in range(3))
    assert refused(Choices("vsr", statements)).startswith("the 3 statements of vsr are all true")


@pytest.mark.parametrize(
    ("texts", "photos", "message"),
    [
        (np.ones((1, 4)), np.ones((6, 4)), "inputs vectors of shape"),
        (np.ones((12, 5)), np.ones((6, 4)), "and photos vectors of 4 dimensions"),
        (np.full((12, 4), np.nan), np.ones((6, 4)), "hold no numbers"),
        (np.ones((12, 4)), np.full((6, 4), np.inf), "hold no numbers"),
        (np.ones((12, 4)), np.ones(6), "inputs vectors of shape"),
    ],
)
def test_vectors_that_cannot_be_scored_are_the_models_fault(texts: Vectors, photos: Vectors, message: str) -> None:
    items = [Choice(Photo(f"{n}"), (f"t{n}", f"f{n}")) for n in range(6)]
    with pytest.raises(ModelError, match=message):
        audit(items, lambda _: texts, lambda _: photos)


def test_sugarcrepe_on_coco200(shared: Path) -> None:
    """An oracle is right in all seven splits; the counts are those of the split files."""
    dataset = load("sugarcrepe", shared / "data" / "sugarcrepe")
    found = available(dataset, PhotoFolder(shared / "data" / "coco200" / "images").__contains__)
    assert isinstance(found, Choices)
    truth = {(item.photos[0].path, item.texts[0]) for item in found.items}
    photos = {path: n for n, path in enumerate(sorted({path for path, _ in truth}))}
    of_text = {text: photos[path] for path, text in truth}
    directions = np.eye(len(photos) + 1, dtype=np.float32)
    report, rows = audit_choice(
        found,
        lambda texts: directions[[of_text.get(text, len(photos)) for text in texts]],
        lambda asked: directions[[photos[photo.path] for photo in asked]],
    )
    assert {r.split: (r.value, r.n) for r in report.results} == {
        "add_att": (1.0, 21),
        "add_obj": (1.0, 81),
        "replace_att": (1.0, 30),
        "replace_obj": (1.0, 68),
        "replace_rel": (1.0, 53),
        "swap_att": (1.0, 32),
        "swap_obj": (1.0, 11),
        "all": (1.0, 296),
    }
    assert report.part == "296 of 7,511 items, those whose photos are there"
    assert rows.num_rows == 296
    assert {"task", "split", "metric", "value", "low", "high", "n", "chance", "blind"} <= report.to_dict()["results"][
        0
    ].keys()
