"""The exported text tower answers as torch does, or is not there."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.encoders.conftest import random_model, tokenizer_of
from vlsearch.encoders import registry, text_export, text_onnx
from vlsearch.encoders.cut_text import text_tower
from vlsearch.encoders.openclip import OpenClipEncoder
from vlsearch.encoders.text_export import ensure
from vlsearch.encoders.text_graph import is_known, write_graph
from vlsearch.encoders.text_onnx import folder_for, open_text, session

TEXTS = [
    "a dog on the beach",
    "",
    "word " * 300,
    "wow!🙂",
    "lone \ud800 surrogate",
    "fish &amp; chips",
    "x" * 10_000,
    "a",
]

Load = Callable[..., OpenClipEncoder]


@pytest.fixture(autouse=True)
def text_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VLSEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "text"


@pytest.fixture
def load(save: Callable[..., Path]) -> Load:
    """A model with random weights, from a file as a user has it."""

    def of(arch: str = "tiny", precision: str = "fp32", seed: int = 0) -> OpenClipEncoder:
        return registry.load(arch, save(random_model(arch, seed)), precision)

    return of


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[OpenClipEncoder, Path]:
    """A model and its export; not to be changed."""
    from safetensors.torch import save_file

    place = tmp_path_factory.mktemp("kept")
    save_file(random_model("tiny").state_dict(), place / "weights.safetensors")
    encoder = registry.load("tiny", place / "weights.safetensors", "fp32")
    folder = text_export.export_text(encoder, place / encoder.fingerprint)
    assert folder is not None
    return encoder, folder


@pytest.fixture
def exported(kept: tuple[OpenClipEncoder, Path]) -> tuple[OpenClipEncoder, Path]:
    """The same in its place, to be changed."""
    encoder, original = kept
    shutil.copytree(original, folder_for(encoder.fingerprint))
    return encoder, folder_for(encoder.fingerprint)


def reopen(encoder: OpenClipEncoder) -> text_onnx.OnnxTextEncoder | None:
    return open_text(encoder.fingerprint, encoder.name)


@pytest.mark.parametrize("arch", ["tiny", "tiny-custom", "tiny-quickgelu", "tiny-open"])
def test_vectors_are_those_of_torch(load: Load, arch: str) -> None:
    encoder = load(arch)
    assert ensure(encoder) == folder_for(encoder.fingerprint)
    onnx = reopen(encoder)
    assert onnx is not None
    told = (encoder.name, encoder.fingerprint, encoder.dim, encoder.context_length)
    assert (onnx.name, onnx.fingerprint, onnx.dim, onnx.context_length) == told
    found, expected = onnx.embed_texts(TEXTS), encoder.embed_texts(TEXTS)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert found.dtype == np.float32
    assert expected.std(0).mean() > 1e-2, "the texts must differ for this to say anything"


def test_each_text_has_its_row_in_batches_of_any_size(
    exported: tuple[OpenClipEncoder, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = reopen(exported[0])
    assert onnx is not None
    monkeypatch.setattr(text_onnx, "TOKENS", 20)
    np.testing.assert_allclose(
        onnx.embed_texts(TEXTS), np.concatenate([onnx.embed_texts([text]) for text in TEXTS]), atol=2e-6
    )
    assert onnx.embed_texts([]).shape == (0, onnx.dim)


def test_a_model_in_bf16_is_exported_in_fp32(load: Load) -> None:
    exact, rounded = load(), load(precision="bf16")
    assert ensure(rounded) is not None
    onnx = reopen(exact)
    assert onnx is not None
    np.testing.assert_allclose(onnx.embed_texts(TEXTS), exact.embed_texts(TEXTS), atol=2e-6)
    assert np.abs(rounded.embed_texts(TEXTS) - exact.embed_texts(TEXTS)).max() > 1e-4


@pytest.mark.parametrize("length", [3, 77])
@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("arch", ["tiny-eos", "tiny-custom-eos"])
def test_a_tower_that_pools_at_an_end_token(tmp_path: Path, arch: str, n: int, length: int) -> None:
    model = random_model(arch)
    write_graph(text_tower(model), tmp_path)
    tokens = torch.randint(10, 100, (n, 77), generator=torch.Generator().manual_seed(0))
    tokens[:, length - 1] = 7
    expected = model.encode_text(tokens, normalize=True).numpy()
    (found,) = session(tmp_path / text_onnx.MODEL).run(None, {"tokens": tokens[:, :length].numpy()})
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("arch", ["tiny-class", "tiny-last", "tiny-causal-last"])
def test_towers_of_another_kind_are_left_to_torch(
    load: Load, text_cache: Path, arch: str, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = load(arch)
    assert not is_known(text_tower(random_model(arch)))
    with caplog.at_level(logging.INFO, "vlsearch"):
        assert ensure(encoder) is None
    assert "not exported: it is of another kind" in caplog.text
    assert [path.name for path in text_cache.iterdir() if path.is_dir()] == []
    assert reopen(encoder) is None


def refused(encoder: OpenClipEncoder, caplog: pytest.LogCaptureFixture) -> str:
    with caplog.at_level(logging.INFO, "vlsearch"):
        assert ensure(encoder) is None
    assert not folder_for(encoder.fingerprint).exists()
    assert not folder_for(encoder.fingerprint).with_suffix(".part").exists()
    return caplog.text


def test_a_tokenizer_that_cleans_otherwise_is_left_to_torch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from open_clip.tokenizer import SimpleTokenizer

    model, tokenizer = random_model("tiny"), SimpleTokenizer(clean="canonicalize")
    encoder = OpenClipEncoder(model, tokenizer, "tiny", {"name": "tiny"}, "fp32", "cpu")
    monkeypatch.setattr(registry, "create", lambda *_: (model, tokenizer))
    assert "cleans texts in another way" in refused(encoder, caplog)


def test_a_tokenizer_of_another_kind_is_left_to_torch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model, tokenizer = random_model("tiny"), partial(tokenizer_of("tiny"))
    tokenizer.context_length = 77  # type: ignore[attr-defined]
    encoder = OpenClipEncoder(model, tokenizer, "tiny", {"name": "tiny"}, "fp32", "cpu")
    monkeypatch.setattr(registry, "create", lambda *_: (model, tokenizer))
    assert "tokenizer is of another kind" in refused(encoder, caplog)


def test_weights_that_changed_meanwhile_are_not_exported(
    load: Load, save: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    encoder = load()
    save(random_model("tiny", seed=1))
    assert "weights have changed" in refused(encoder, caplog)


def test_an_export_that_differs_from_torch_is_not_kept(
    load: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vlsearch.encoders.text_graph.QUICK_GELU", 1.0)
    quick = load("tiny-quickgelu")
    assert "a cosine of 0.9" in refused(quick, caplog)


def test_other_encoders_are_not_exported(text_cache: Path) -> None:
    assert ensure(object()) is None
    assert not text_cache.exists()


def test_it_is_exported_once(exported: tuple[OpenClipEncoder, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_export, "export_text", pytest.fail)
    assert ensure(exported[0]) == exported[1]


def test_two_at_a_time_export_it_once(kept: tuple[OpenClipEncoder, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, calls, export = kept[0], [], text_export.export_text

    def counted(*arguments: Any) -> Path | None:
        calls.append(arguments)
        return export(*arguments)

    monkeypatch.setattr(text_export, "export_text", counted)
    folders: list[Path | None] = []
    threads = [threading.Thread(target=lambda: folders.append(ensure(encoder))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folders == [folder_for(encoder.fingerprint)] * 2
    assert len(calls) == 1


def test_what_a_kill_left_is_cleared_away(kept: tuple[OpenClipEncoder, Path]) -> None:
    encoder = kept[0]
    part = folder_for(encoder.fingerprint).with_suffix(".part")
    part.mkdir(parents=True)
    (part / "text.weights").write_bytes(b"half")
    assert reopen(encoder) is None
    folder = ensure(encoder)
    assert folder is not None
    assert not part.exists()
    assert sorted(file.name for file in folder.iterdir()) == ["merges", "meta.json", "text.onnx", "text.weights"]


def test_a_cache_that_cannot_be_written_is_said_and_no_more(
    kept: tuple[OpenClipEncoder, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VLSEARCH_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.INFO, "vlsearch"):
        assert ensure(kept[0]) is None
    assert "not exported" in caplog.text


def truncate(name: str, folder: Path) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])


def flip(name: str, folder: Path) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)


def change(key: str, value: object, folder: Path) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, key: value}))


def garbage(folder: Path) -> None:
    (folder / "text.onnx").write_bytes(b"not a graph")
    meta = json.loads((folder / "meta.json").read_text())
    change("files", {**meta["files"], "text.onnx": text_onnx.digest(folder / "text.onnx")}, folder)


@pytest.mark.parametrize(
    "damage",
    [
        *(partial(truncate, name) for name in ("text.weights", "text.onnx", "merges", "meta.json")),
        *(partial(flip, name) for name in ("text.onnx", "merges")),
        *(
            partial(change, *pair)
            for pair in (("fingerprint", "b" * 64), ("format", 0), ("vocabulary", {}), ("dim", "?"))
        ),
        lambda folder: (folder / "text.weights").unlink(),
        lambda folder: (folder / "meta.json").write_text("[]"),
        garbage,
    ],
)
def test_a_damaged_export_is_deleted_and_made_again(
    exported: tuple[OpenClipEncoder, Path],
    damage: Callable[[Path], object],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    encoder, folder = exported
    damage(folder)
    assert reopen(encoder) is None
    assert len(caplog.records) == 1
    assert "is deleted, and made again" in caplog.text
    assert not folder.exists()
    assert capfd.readouterr() == ("", "")


def test_ensure_makes_a_damaged_one_again(exported: tuple[OpenClipEncoder, Path]) -> None:
    encoder, folder = exported
    truncate("text.weights", folder)
    assert ensure(encoder) == folder
    assert reopen(encoder) is not None


def test_there_is_none_for_other_models(exported: tuple[OpenClipEncoder, Path]) -> None:
    assert open_text("c" * 64, "tiny") is None
    assert open_text("", "imported vectors") is None
    assert reopen(exported[0]) is not None


def test_the_cache_lies_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert folder_for("f") == tmp_path / "cache" / "text" / "f"
    monkeypatch.delenv("VLSEARCH_CACHE")
    assert folder_for("f").parts[-3:-1] == ("vlsearch", "text")


def test_a_query_imports_no_torch_and_prints_nothing(exported: tuple[OpenClipEncoder, Path]) -> None:
    heavy = ("torch", "open_clip", "onnx", "ftfy", "regex", "platformdirs", "filelock", "sqlalchemy")
    program = (
        "import sys\nfrom vlsearch.encoders.text_onnx import open_text\n"
        f"vectors = open_text({exported[0].fingerprint!r}, 'tiny').embed_texts(['a dog on the beach'])\n"
        f"print(vectors.shape, [m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("(1, 32) []\n", "")
