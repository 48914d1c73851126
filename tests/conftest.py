"""What several tests share: data, a library to fill, and an encoder that costs nothing."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vlsearch.cli import main
from vlsearch.encoders.base import Preprocess
from vlsearch.ingest.pipeline import ingest
from vlsearch.ingest.summary import Summary
from vlsearch.library import Library, open_library

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where text towers are exported to: once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_library(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's library, model or cache."""
    monkeypatch.setenv("VLSEARCH_LIBRARY", str(tmp_path / "library"))
    monkeypatch.delenv("VLSEARCH_MODEL", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("VLSEARCH_DAEMON", "0")
    monkeypatch.setenv("VLSEARCH_CACHE", str(cache))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real photos and captions; tests that need it are skipped where it is not."""
    root = Path(os.environ.get("VLSEARCH_SHARED", "../shared")).resolve()
    if not (root / "data").is_dir():
        pytest.skip("no shared data (VLSEARCH_SHARED)")
    return root


class ColourEncoder:
    """A real if modest encoder: a photo is its 4 × 4 colours, a text a vector drawn from its hash. Counts its work."""

    name = "colour"
    dim = 48
    context_length = 77
    logit_scale = 1.0
    lane_batch = 16

    def __init__(self, name: str = "colour", salt: str = "") -> None:
        self.name = name
        self.fingerprint = hashlib.sha256(f"colour{salt}".encode()).hexdigest()
        self.preprocess = Preprocess((16, 16), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), resize_mode="squash")
        self.source: dict[str, Any] = {"name": name}
        self.embedded = 0

    def embed_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.embedded += len(pixels)
        cells = pixels.astype(np.float32).reshape(len(pixels), 4, 4, 4, 4, 3).mean(axis=(2, 4)).reshape(-1, self.dim)
        return unit(cells - 127.3)

    def image_lanes(self) -> list[Callable[[NDArray[np.uint8]], NDArray[np.float32]]]:
        return [self.embed_images]

    def probe(self) -> None:
        """There is nothing to choose."""

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        seeds = [int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8], "big") for text in texts]
        return unit(np.stack([np.random.default_rng(seed).normal(size=self.dim) for seed in seeds]).astype(np.float32))


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    normalised: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return normalised


@pytest.fixture
def encoder() -> ColourEncoder:
    return ColourEncoder()


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    """An empty library, open for writing."""
    with open_library(tmp_path / "library", write=True, create=True) as opened:
        yield opened


@pytest.fixture
def photos(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of n small distinct JPEGs and returns it."""

    def make(n: int, folder: str = "photos", seed: int = 0) -> Path:
        from PIL import Image

        root = tmp_path / folder
        root.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        for i in range(n):
            pixels = np.kron(rng.integers(0, 255, (4, 4, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
            Image.fromarray(pixels).save(root / f"{i:05d}.jpg", quality=90)
        return root

    return make


@pytest.fixture
def permissions(tmp_path: Path) -> None:
    """Skips the test where permissions do not bind, as for root."""
    closed = tmp_path / "closed"
    closed.touch()
    closed.chmod(0)
    if os.access(closed, os.R_OK):
        pytest.skip("root may read everything")
    closed.unlink()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C reaches this process and those it starts, also in background jobs of a shell, which ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def take(library: Library, encoder: ColourEncoder) -> Callable[..., Summary]:
    """Ingests files and folders into `library`, with `encoder` or another one."""

    def run(*roots: Path, model: ColourEncoder = encoder, **options: Any) -> Summary:
        return ingest(library, roots, model.name, lambda: model, **options)

    return run


@dataclass
class Done:
    """A command that has run."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def cli(
    encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., Done]:
    """Runs the command line in this process, `vlsearch` itself left out of the arguments; models are ColourEncoders."""

    def load(source: dict[str, Any], _precision: str = "auto") -> ColourEncoder:
        return encoder if source["name"] == encoder.name else ColourEncoder(source["name"])

    def run(*args: str | Path) -> Done:
        monkeypatch.setattr("sys.argv", ["vlsearch", *map(str, args)])
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfdbinary.readouterr()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, out, err.decode())

    monkeypatch.setattr("vlsearch.encoders.registry.load_source", load)
    return run
