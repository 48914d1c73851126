from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import Connection

from tests.catalog.test_queries import content, file
from tests.conftest import ColourEncoder, unit
from vlsearch.catalog import queries
from vlsearch.errors import LibraryDamaged, UnreadableFile, UsageError
from vlsearch.library import Library
from vlsearch.search import tagging
from vlsearch.search.labels import key, read_labels, truth_from_file, truth_from_folders
from vlsearch.search.prompts import Prompts


def vectors(n: int, d: int = 48, seed: int = 0) -> NDArray[np.float32]:
    return unit(np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32))


@pytest.fixture
def filled(library: Library, encoder: ColourEncoder) -> Library:
    """12 photos in three shards."""
    model, xb = library.add_model(encoder), vectors(12, seed=7)
    for ids in np.split(np.arange(1, 13), 3):
        rows = [content(i) for i in ids.tolist()], [file(f"/{i}", i) for i in ids.tolist()]

        def name(c: Connection, rows: Any = rows) -> None:
            queries.add_contents(c, rows[0])
            queries.put_files(c, rows[1])

        library.commit(model, "image", ids.tolist(), xb[ids - 1], name)
    return library


def all_ids(library: Library) -> NDArray[np.int64]:
    with library.snapshot() as reader:
        return reader.all_shown("image")


def test_probabilities_are_the_softmax_over_labels(filled: Library) -> None:
    model, classes = filled.model(), vectors(7)
    ids, xb = filled.vectors(model)
    logits = 30.0 * (xb.astype(np.float64) @ classes.T.astype(np.float64))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    tags = tagging.classify(filled, model, all_ids(filled), classes, logit_scale=30.0, k=3)
    assert tags.photo.tolist() == np.repeat(ids, 3).tolist()
    assert tags.label.reshape(-1, 3).tolist() == np.argsort(-p, axis=1)[:, :3].tolist()
    np.testing.assert_allclose(tags.probability.reshape(-1, 3), -np.sort(-p, axis=1)[:, :3], rtol=1e-4)
    one = tagging.classify(filled, model, all_ids(filled), classes, logit_scale=30.0)
    assert one.label.tolist() == p.argmax(axis=1).tolist()
    likely = tagging.classify(filled, model, all_ids(filled), classes, logit_scale=30.0, k=None, min_probability=0.2)
    assert len(likely.photo) == (p >= 0.2).sum()
    assert likely.probability.min() >= 0.2
    assert likely.looked_at.tolist() == ids.tolist()


def test_a_label_for_itself_does_not_hang_on_the_others(filled: Library) -> None:
    model, classes, neutral = filled.model(), vectors(5), vectors(1, seed=9)[0]
    _, xb = filled.vectors(model)
    p = 1 / (1 + np.exp(-20.0 * (xb @ classes.T - (xb @ neutral)[:, None])))
    options: dict[str, Any] = {"logit_scale": 20.0, "neutral": neutral, "k": None, "min_probability": 0.6}
    tags = tagging.classify(filled, model, all_ids(filled), classes, **options)
    row, column = np.nonzero(p >= 0.6)
    assert sorted(zip(tags.photo.tolist(), tags.label.tolist(), strict=True)) == sorted(
        zip(all_ids(filled)[row].tolist(), column.tolist(), strict=True)
    )
    fewer = tagging.classify(filled, model, all_ids(filled), classes[:2], **options)
    np.testing.assert_allclose(np.sort(tags.probability[tags.label < 2]), np.sort(fewer.probability), rtol=1e-5)


def test_extreme_logits_stay_probabilities() -> None:
    xb, classes = vectors(3), vectors(4, seed=1)
    with np.errstate(all="raise", under="ignore"):
        p = tagging.exclusive_probabilities(xb, classes, 1e4)
        q = tagging.independent_probabilities(xb, classes, classes[0], 1e4)
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    assert ((q >= 0) & (q <= 1)).all()
    np.testing.assert_allclose(q[:, 0], 0.5)


def test_equal_scores_go_to_the_label_that_stands_first() -> None:
    scores = np.array([[1, 2, 2, 0], [3, 3, 3, 3]], np.float32)
    assert tagging.top(scores, 1)[:, 0].tolist() == [1, 0]
    assert tagging.top(scores, 3).tolist() == [[1, 2, 0], [0, 1, 2]]
    assert tagging.top(scores, None).shape == tagging.top(scores, 9).shape == (2, 4)


def test_blocks_hold_each_wanted_photo_once(filled: Library) -> None:
    ids, xb = filled.vectors(filled.model())
    wanted = ids[[0, 3, 5, 11]]
    blocks = list(tagging.vector_blocks(filled, filled.model(), np.append(wanted, 999), 1))
    assert [len(part) for part, _ in blocks] == [1] * 4
    assert np.concatenate([part for part, _ in blocks]).tolist() == wanted.tolist()
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in blocks]), xb[[0, 3, 5, 11]])


def test_shards_that_are_merged_meanwhile_are_read_on(filled: Library) -> None:
    from vlsearch.optimize import optimize

    blocks = tagging.vector_blocks(filled, filled.model(), all_ids(filled), 2)
    seen = [next(blocks)[0]]
    optimize(filled)
    seen += [part for part, _ in blocks]
    assert sorted(np.concatenate(seen).tolist()) == all_ids(filled).tolist()


def test_a_lost_shard_is_said(filled: Library) -> None:
    shutil.rmtree(filled.path / "vectors")
    with pytest.raises(LibraryDamaged, match="vlsearch repair"):
        list(tagging.vector_blocks(filled, filled.model(), all_ids(filled)))


def test_vectors_that_are_no_numbers_are_left_out(filled: Library) -> None:
    ids, _ = filled.vectors(filled.model())
    other = vectors(3, seed=4)
    other[1, 5] = np.nan
    with filled.transaction() as c:
        new = queries.add_model(c, name="other", fingerprint="", dim=48, preprocessing={}, source={"name": "other"})
    model = filled.model("other")
    assert model.id == new
    filled.commit(model, "image", ids[:3].tolist(), other)
    tags = tagging.classify(filled, model, ids, vectors(4))
    assert tags.looked_at.tolist() == [ids[0], ids[2]]
    assert np.isfinite(tags.probability).all()


def test_rows_of_photos_in_any_order() -> None:
    tags = tagging.Tags(
        np.array([2, 2, 5]), np.array([1, 0, 3]), np.array([0.75, 0.25, 1.0], np.float32), np.array([2, 4, 5])
    )
    assert list(tags.rows([5, 4, 2])) == [(0, 3, 1.0), (2, 1, 0.75), (2, 0, 0.25)]


def test_descriptions_stand_in_for_the_template() -> None:
    descriptions = {"Palm_Tree": ["It has fronds.", "It is tall."], "cat": []}
    texts, lacking = tagging.class_prompts(["palm tree", "cat", "dog"], Prompts(("a {}", "the {}")), descriptions)
    assert texts == [["It has fronds.", "It is tall."], ["a cat", "the cat"], ["a dog", "the dog"]]
    assert lacking == ["cat", "dog"]


@pytest.mark.parametrize("same", ["Hot dog", "hot-dog", "HOT_DOG", " hot   dog "])
def test_labels_that_are_the_same(same: str) -> None:
    assert key(same) == key("hot dog") != key("hotdog")


def test_labels_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes("\ufeff# pets\n\n  dog \n\tpalm   tree\r\ncafé: small\n日本\n".encode())
    assert read_labels(file) == ["dog", "palm tree", "café: small", "日本"]


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (b"dog\ncat\nDog\n", UsageError, "line 3, 'Dog', is the same label as line 1, 'dog'"),
        (b"# nothing\n\n", UsageError, "holds no label"),
        (b"dog\nca\xff\n", UnreadableFile, "line 2 is not UTF-8"),
        (None, UsageError, "no such file"),
    ],
)
def test_bad_label_files(tmp_path: Path, data: bytes | None, error: type[Exception], says: str) -> None:
    file = tmp_path / "labels.txt"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(error, match=says) as raised:
        read_labels(file)
    assert "\n" not in str(raised.value)


PLACES = {"/p/dog/1.jpg": 1, "/p/Hot_Dog/2.jpg": 2, "/p/cow/3.jpg": 3, "/q/dog/4.jpg": 4, "/q/hot-dog/4b.jpg": 4}
LABELS = ["hot dog", "dog"]


def test_truth_is_the_name_of_the_folder() -> None:
    truth = truth_from_folders(PLACES, LABELS)
    assert (truth.of, truth.unknown, truth.contradicted, truth.unlabelled) == ({1: 1, 2: 0}, {"cow": 1}, 1, 0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", 'path,label\n/p/dog/1.jpg,Dog\n2.jpg,"hot dog"\ncow/3.jpg,cow\nnowhere.jpg,dog\n'),
        ("t.tsv", "Label\tfile_name\nDog\t1.jpg\nhot dog\t2.jpg\ncow\t3.jpg\ndog\tnowhere.jpg\n"),
        (
            "t.jsonl",
            '{"path": "1.jpg", "class": "dog"}\n\n{"path": "2.jpg", "class": "hot dog"}\n'
            '{"path": "3.jpg", "class": "cow"}\n{"path": "nowhere.jpg", "class": "dog"}\n',
        ),
    ],
)
def test_truth_of_a_file(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    truth = truth_from_file(tmp_path / name, PLACES, LABELS)
    assert (truth.of, truth.unknown, truth.unlabelled) == ({1: 1, 2: 0}, {"cow": 1}, 1)
    assert truth.unmatched == ["nowhere.jpg"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("t.csv", "photo\n1.jpg\n", "line 2 has no photo and label"),
        ("t.csv", 'path,label\n"1.jpg,dog\n', "after line 1: unexpected end of data"),
        ("t.jsonl", "[1]\n", "line 1 has no photo and label"),
        ("t.jsonl", "nonsense\n", "line 1 has no photo and label"),
        ("t.csv", "path,label\n1.jpg\n", "line 2 has no photo and label"),
    ],
)
def test_bad_truth(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UnreadableFile, match=says):
        truth_from_file(tmp_path / name, PLACES, LABELS)
