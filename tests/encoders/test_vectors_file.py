"""Vectors from a file in the place of a model: formats, looking up, and files that cannot serve."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from vlsearch.encoders import vectors_file, vectors_reading
from vlsearch.encoders.vectors_file import VectorsEncoder
from vlsearch.errors import ModelError, UnreadableFile, UsageError, VlsearchError

KEYS = ["a dog chasing a cat", "a cat chasing a dog", "2021/beach.jpg", "пёс", "", "two\nlines", "3.jpg"]
X = np.random.default_rng(0).standard_normal((len(KEYS), 8)).astype(np.float32)


def write_parquet(path: Path, keys: Any = KEYS, vectors: Any = X, **columns: Any) -> Path:
    encoded = [key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key for key in keys]
    pq.write_table(pa.table({"key": pa.array(encoded, pa.binary()), "vector": list(vectors), **columns}), path)
    return path


def write_npz(path: Path, keys: Any = KEYS, vectors: NDArray[Any] = X) -> Path:
    np.savez(path, key=np.array(keys), vector=vectors)
    return path


def write_npy(path: Path, keys: Any = KEYS, vectors: NDArray[Any] = X) -> Path:
    np.save(path, vectors)
    path.with_suffix(".jsonl").write_text("\n".join(map(json.dumps, keys)) + "\n")
    return path


WRITERS: dict[str, Callable[..., Path]] = {"parquet": write_parquet, "npz": write_npz, "npy": write_npy}


@pytest.fixture(params=WRITERS)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return WRITERS[request.param](tmp_path / f"clip.{request.param}")


def unit(x: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = x.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def refusal(kind: type[VlsearchError], path: Path) -> str:
    with pytest.raises(kind) as caught:
        VectorsEncoder(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return str(caught.value)


def test_every_format_gives_the_same_model(file: Path, tmp_path: Path) -> None:
    encoder = VectorsEncoder(file)
    assert (encoder.name, encoder.dim) == (f"vectors:{file.name}", 8)
    order = [3, 0, 6, 4, 0, 5]
    found = encoder.embed_texts([KEYS[n] for n in order])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, unit(X)[order], atol=1e-7)
    assert encoder.embed_texts([]).shape == (0, 8)
    shuffled = np.random.default_rng(1).permutation(len(KEYS))
    other = write_parquet(tmp_path / "other.parquet", [KEYS[n] for n in shuffled], X[shuffled])
    assert VectorsEncoder(other).fingerprint == encoder.fingerprint


@pytest.mark.parametrize("change", ["vector", "keys", "name", "width"])
def test_the_fingerprint_is_of_the_content(tmp_path: Path, change: str) -> None:
    keys, x = list(KEYS), X.copy()
    if change == "vector":
        x[2, 3] = np.nextafter(x[2, 3], 9)
    elif change == "keys":
        keys[:2] = keys[1::-1]
    elif change == "name":
        keys[0] = "a dog chasing a cow"
    else:
        x = x[:, :4]
    before, after = write_npz(tmp_path / "a.npz"), write_npz(tmp_path / "b.npz", keys, x)
    assert VectorsEncoder(before).fingerprint != VectorsEncoder(after).fingerprint


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
@pytest.mark.parametrize("kind", WRITERS)
def test_every_float_will_do(tmp_path: Path, kind: str, dtype: type[np.floating[Any]]) -> None:
    encoder = VectorsEncoder(WRITERS[kind](tmp_path / f"v.{kind}", vectors=X.astype(dtype)))
    np.testing.assert_allclose(encoder.embed_texts(KEYS), unit(X), atol=2e-3 if dtype is np.float16 else 1e-7)


def test_numbers_of_other_machines(tmp_path: Path) -> None:
    encoder = VectorsEncoder(write_npy(tmp_path / "v.npy", vectors=X.astype(">f4")))
    assert encoder.fingerprint == VectorsEncoder(write_npz(tmp_path / "v.npz")).fingerprint
    np.testing.assert_allclose(encoder.embed_texts(KEYS), unit(X), atol=1e-7)


@pytest.mark.parametrize("keys", [pa.array(["7", "8"]), pa.array([7, 8]), pa.array(["7", "8"], pa.large_string())])
def test_columns_as_other_programs_have_them(tmp_path: Path, keys: Any) -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(X[:2].ravel()), 8)
    pq.write_table(pa.table({"score": [1, 2], "key": keys, "vector": vectors}), tmp_path / "v.parquet")
    np.testing.assert_allclose(VectorsEncoder(tmp_path / "v.parquet").embed_texts(["8"]), unit(X)[1:2], atol=1e-7)


@pytest.mark.parametrize("kind", ["parquet", "npy"])
def test_names_that_are_no_text(tmp_path: Path, kind: str) -> None:
    """An undecodable byte of a file's name is a surrogate in Python."""
    encoder = VectorsEncoder(WRITERS[kind](tmp_path / f"v.{kind}", ["a/\udcff.jpg", "b"], X[:2]))
    np.testing.assert_allclose(encoder.photo_vectors(["/z/\udcff.jpg"]), unit(X)[:1], atol=1e-7)


def test_lines_may_be_objects(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", X[:5])
    lines = ['"a"', '{"text": "b", "path": "no"}', "", '{"image": "c"}', '{"file_name": "d"}', '{"path": "e", "n": 1}']
    (tmp_path / "v.jsonl").write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    np.testing.assert_allclose(VectorsEncoder(tmp_path / "v.npy").embed_texts(list("abcde")), unit(X[:5]), atol=1e-7)


def test_only_the_exact_text_is_found(file: Path) -> None:
    encoder = VectorsEncoder(file)
    for text in ("A dog chasing a cat", " a dog chasing a cat", "a dog chasing a cat.", "beach.jpg"):
        with pytest.raises(UsageError, match="1 of 1 texts"):
            encoder.embed_texts([text])


def test_texts_without_a_vector_are_counted_and_named(file: Path) -> None:
    encoder = VectorsEncoder(file)
    with pytest.raises(UsageError) as caught:
        encoder.embed_texts([KEYS[0], "one", "two", "one", "three", "four", KEYS[1]])
    message = str(caught.value)
    assert message.startswith("4 of 6 texts have no vector")
    assert '"one", "two", "three", …; --export-texts FILE' in message
    assert '"four"' not in message


def test_keys_of_one_hash_are_told_apart(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors_file, "_hashes", lambda keys: np.array([len(key) % 2 for key in keys], np.int64))
    encoder = VectorsEncoder(file)
    np.testing.assert_allclose(encoder.embed_texts(KEYS[::-1]), unit(X)[::-1], atol=1e-7)
    with pytest.raises(UsageError, match=r'1 of 8 texts have no vector .*: "a dog"'):
        encoder.rows_of([*KEYS, "a dog"])


def test_blocks_make_no_difference(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = VectorsEncoder(file)
    monkeypatch.setattr(vectors_file, "BLOCK", 2)
    monkeypatch.setattr(vectors_reading, "BLOCK", 2)
    parts = VectorsEncoder(file)
    assert parts.fingerprint == whole.fingerprint
    assert parts.embed_texts(KEYS).tobytes() == whole.embed_texts(KEYS).tobytes()


def test_photos_by_path_and_by_file_name(tmp_path: Path) -> None:
    keys = ["a.jpg", "2021/b.jpg", "/photos/c.jpg", "text / d.jpg", "a dog"]
    encoder = VectorsEncoder(write_npz(tmp_path / "v.npz", keys, X[:5]))
    names = ["/photos/2020/a.jpg", "b.jpg", "/photos/c.jpg"]
    np.testing.assert_allclose(encoder.photo_vectors(names), unit(X)[:3], atol=1e-7)
    np.testing.assert_allclose(encoder.photo_vectors(names[:1] * 2), unit(X)[[0, 0]], atol=1e-7)
    with pytest.raises(UsageError, match=r'2 of 3 photos have no vector .*: "x.jpg", "d.jpg"; a key is'):
        encoder.photo_vectors(["x.jpg", "d.jpg", "b.jpg"])


def test_a_file_name_of_several_keys_says_nothing(tmp_path: Path) -> None:
    encoder = VectorsEncoder(write_npz(tmp_path / "v.npz", ["x/a.jpg", "y/a.jpg", "b.jpg"], X[:3]))
    np.testing.assert_allclose(encoder.photo_vectors(["y/a.jpg", "x/a.jpg"]), unit(X)[[1, 0]], atol=1e-7)
    with pytest.raises(UsageError, match=r'which photo is "a.jpg"\? .* has both "x/a.jpg" and "y/a.jpg"'):
        encoder.photo_vectors(["b.jpg", "/z/a.jpg"])


@pytest.mark.parametrize("names", [["/x/a.jpg", "/y/a.jpg"], ["a.jpg", "/y/a.jpg"]])
def test_one_key_does_not_serve_two_photos(tmp_path: Path, names: list[str]) -> None:
    encoder = VectorsEncoder(write_npz(tmp_path / "v.npz", ["a.jpg"], X[:1]))
    with pytest.raises(UsageError, match=f'which photo is "a.jpg" .* both "{names[0]}" and "{names[1]}"'):
        encoder.photo_vectors(names)


def test_extreme_vectors_come_out_as_units(tmp_path: Path) -> None:
    x = np.array([[3e38, 3e38], [1e-40, 0]], np.float32)
    encoder = VectorsEncoder(write_npz(tmp_path / "v.npz", ["a", "b"], x))
    np.testing.assert_allclose(encoder.embed_texts(["a", "b"]), [[0.5**0.5, 0.5**0.5], [1, 0]], atol=1e-6)


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(
    ("value", "what"),
    [
        (np.nan, "values that are no numbers"),
        (np.inf, "values that are no numbers"),
        (1e300, "values that are no numbers"),
        (0, "only zeros"),
    ],
)
def test_vectors_that_point_nowhere(tmp_path: Path, kind: str, value: float, what: str) -> None:
    vectors = X.astype(np.float64)
    vectors[1, : None if value == 0 else 1] = value
    message = refusal(ModelError, WRITERS[kind](tmp_path / f"v.{kind}", vectors=vectors))
    assert 'the vector of "a cat chasing a dog"' in message
    assert f"(row 2) holds {what}" in message


@pytest.mark.parametrize("kind", WRITERS)
def test_a_key_twice(tmp_path: Path, kind: str) -> None:
    same = WRITERS[kind](tmp_path / f"same.{kind}", [*KEYS, KEYS[1], KEYS[1]], np.concatenate([X, X[[1, 1]]]))
    encoder = VectorsEncoder(same)
    np.testing.assert_allclose(encoder.embed_texts(KEYS), unit(X), atol=1e-7)
    assert encoder.fingerprint == VectorsEncoder(write_npz(tmp_path / "once.npz")).fingerprint
    other = WRITERS[kind](tmp_path / f"other.{kind}", [*KEYS, KEYS[1]], np.concatenate([X, X[:1]]))
    assert 'has two different vectors for "a cat chasing a dog"; keep one' in refusal(ModelError, other)


def test_vectors_of_several_widths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors_reading, "BLOCK", 2)
    ragged = [[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [1.0], [1.0, 2.0]]
    message = refusal(ModelError, write_parquet(tmp_path / "v.parquet", list("abcde"), ragged))
    assert "row 4 of" in message
    assert "a vector of 1 numbers where the first has 2" in message
    assert "row 2 of" in refusal(ModelError, write_parquet(tmp_path / "n.parquet", ["a", "b"], [[1.0, 2.0], None]))
    assert "row 1 of" in refusal(ModelError, write_parquet(tmp_path / "e.parquet", ["a", "b"], [[], [1.0]]))
    assert "row 2 of" in refusal(ModelError, write_parquet(tmp_path / "k.parquet", ["a", None], X[:2]))


def test_files_of_another_shape(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "vector": [[1.0]]}), tmp_path / "a.parquet")
    assert "no column of" in refusal(UsageError, tmp_path / "a.parquet")
    pq.write_table(pa.table({"key": ["a"], "vector": [1.0]}), tmp_path / "b.parquet")
    assert "holds double; vectors are lists of floats" in refusal(UsageError, tmp_path / "b.parquet")
    pq.write_table(pa.table({"key": ["a"], "vector": [["x"]]}), tmp_path / "s.parquet")
    assert "vectors are lists of floats" in refusal(UsageError, tmp_path / "s.parquet")
    np.savez(tmp_path / "c.npz", key=np.array(["a"]))
    assert "no array of" in refusal(UsageError, tmp_path / "c.npz")
    np.savez(tmp_path / "d.npz", key=np.array(["a"]), vector=X)
    assert "7 vectors and <U1 of shape (1,)" in refusal(UsageError, tmp_path / "d.npz")
    np.savez(tmp_path / "i.npz", key=np.array(["a"]), vector=np.array([[1]]))
    assert "rows of a matrix of floats" in refusal(UsageError, tmp_path / "i.npz")
    np.save(tmp_path / "e.npy", X)
    assert "expected e.jsonl beside it" in refusal(UsageError, tmp_path / "e.npy")
    (tmp_path / "e.jsonl").write_text('"a"\n')
    assert "7 vectors but e.jsonl 1 keys" in refusal(ModelError, tmp_path / "e.npy")
    write_parquet(tmp_path / "f.parquet", [], [], other=pa.array([], pa.int8()))
    assert refusal(UsageError, tmp_path / "f.parquet")
    write_npz(tmp_path / "g.npz", np.array([], "U1"), X[:0])
    assert "holds no vectors" in refusal(UsageError, tmp_path / "g.npz")
    (tmp_path / "h.csv").write_text("key,vector")
    assert "expected .parquet, .pq, .npz, .npy" in refusal(UsageError, tmp_path / "h.csv")
    assert "no such file" in refusal(UsageError, tmp_path / "none.parquet")


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [("{", UnreadableFile, "line 1 is no JSON"), ("7", UsageError, "line 1"), ('{"id": "a"}', UsageError, "nothing")],
)
def test_lines_that_name_nothing(tmp_path: Path, line: str, kind: type[VlsearchError], said: str) -> None:
    np.save(tmp_path / "v.npy", X[:1])
    (tmp_path / "v.jsonl").write_text(line)
    with pytest.raises(kind, match=said):
        VectorsEncoder(tmp_path / "v.npy")


@pytest.mark.parametrize("share", [0, 0.5, 0.98])
def test_a_file_that_was_cut_off(file: Path, share: float) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    assert "damaged, or of another kind" in refusal(UnreadableFile, file)


def test_python_objects_are_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", key=np.array(["a"], object), vector=X[:1])
    assert "Python objects" in refusal(UnreadableFile, tmp_path / "v.npz")


def test_bytes_that_are_another_format(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", X)
    (tmp_path / "v.npy").rename(tmp_path / "v.npz")
    assert refusal(UnreadableFile, tmp_path / "v.npz")
    (tmp_path / "v.npz").rename(tmp_path / "v.parquet")
    assert refusal(UnreadableFile, tmp_path / "v.parquet")
