"""Seconds of `vlsearch query` from the shell, cold and with the daemon, beside two plain scripts, ViT-B-32 random.

Whole commands in fresh processes, in turn, medians; the files lie in the system's cache. The scripts (query_scripts/)
search 10,000 vectors as rclip does, with the same text tower exported by torch.onnx and run by ONNX Runtime as it
comes, or with open_clip and torch. Vectors are drawn from a mixture of 2,000 Gaussians on the sphere.
VLSEARCH_BENCH_QUICK=1 takes 100,000 vectors in place of 1,000,000.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks._ingest import random_weights
from benchmarks._material import QUICK, REPEATS, kept, random_model

MODEL, QUERY = "ViT-B-32", "a dog on the beach"
DIM, SMALL, LARGE = 512, 10_000, 100_000 if QUICK else 1_000_000
CLUSTERS, SPREAD, BLOCK = 2_000, 0.6, 50_000
SCRIPTS = Path(__file__).parent / "query_scripts"
ROUNDS = 2 * REPEATS + 1
CLOSE = 2e-3
"""cosine: vlsearch keeps vectors in fp16"""


def run() -> dict[str, float]:
    weights = kept("query-weights", make_weights) / "weights.safetensors"
    plain = kept("query-plain", make_plain)
    small, large = (
        kept(f"query-{count}", lambda to, n=count: make_library(to, n, weights)) for count in (SMALL, LARGE)
    )
    cache = kept("query-cache", lambda _: None)
    export(weights, cache)
    environment = compiled(cache / "bytecode") | {"VLSEARCH_CACHE": str(cache), "VLSEARCH_DAEMON": "0"}
    asked = {
        f"vlsearch query, {SMALL:,}, s": lambda: vlsearch(small, environment),
        f"vlsearch query, {LARGE:,}, s": lambda: vlsearch(large, environment),
        "ONNX Runtime and NumPy, s": lambda: script(
            environment, "with_onnxruntime", plain / "text.onnx", merges(), plain / "db"
        ),
        "open_clip and NumPy, s": lambda: script(environment, "with_open_clip", weights, plain / "db"),
        "python -c pass, s": lambda: output([sys.executable, "-c", "pass"], environment),
    }
    with Daemon(small, environment) as daemon:
        if daemon.runs:
            asked["vlsearch query with the daemon, s"] = lambda: vlsearch(small, environment | {"VLSEARCH_DAEMON": "1"})
        answers = {name: ask() for name, ask in asked.items()}
        check(answers)
        seconds = {name: [] for name in asked}
        for _ in range(ROUNDS):
            for name, ask in asked.items():
                seconds[name].append(timed(ask))
    figures = {name: statistics.median(taken) for name, taken in seconds.items()}
    ours, ours_large, onnx, torch, python, *with_daemon = figures.values()
    ratios = {
        "vlsearch over ONNX Runtime and NumPy": ours / onnx,
        "vlsearch over open_clip and NumPy": ours / torch,
        f"{LARGE:,} over {SMALL:,}": ours_large / ours,
    }
    if with_daemon:
        ratios["with the daemon, after interpreter start, ms"] = 1e3 * (with_daemon[0] - python)
    return figures | ratios


def make_weights(folder: Path) -> None:
    random_weights(random_model(MODEL)[0], folder)


def make_plain(folder: Path) -> None:
    """What the scripts work with: the text tower by torch's exporter, and a table of paths and vectors."""
    import sqlite3
    import warnings

    import torch

    model, _, tokenizer = random_model(MODEL)
    model.forward = model.encode_text
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (tokenizer([QUERY]),), folder / "text.onnx", dynamo=True, verbose=False)
    with sqlite3.connect(folder / "db") as database:
        database.execute("CREATE TABLE images (id INTEGER PRIMARY KEY, filepath TEXT UNIQUE, vector BLOB)")
        for ids, vectors in mixture(SMALL):
            rows = [(path_of(i), vector.tobytes()) for i, vector in zip(ids, vectors, strict=True)]
            database.executemany("INSERT INTO images (filepath, vector) VALUES (?, ?)", rows)


def make_library(folder: Path, count: int, weights: Path) -> None:
    """A library of `count` photos that are nowhere, with vectors of the model."""
    import hashlib

    from vlsearch.catalog import queries
    from vlsearch.encoders import registry
    from vlsearch.library import open_library

    with open_library(folder / "library", write=True, create=True) as library:
        model = library.add_model(registry.load(MODEL, weights))
        for ids, vectors in mixture(count):

            def rows(c, ids=ids) -> None:
                common = {"width": 640, "height": 480, "format": "JPEG"}
                digests = ((i, hashlib.sha256(path_of(i).encode()).digest()) for i in ids)
                queries.add_contents(c, [{"id": i, "sha256": sha256, **common} for i, sha256 in digests])
                queries.put_files(c, [{"path": path_of(i), "size": 1, "mtime_ns": 1, "content_id": i} for i in ids])

            library.commit(model, queries.IMAGE, ids, vectors, rows)
        library.save_indexes()


def path_of(number: int) -> str:
    return f"/photos/{number // 1000:04d}/{number:07d}.jpg"


def mixture(count: int):
    """Blocks of ids (from 1) and unit vectors; the first of many are those of few."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CLUSTERS, DIM), np.float32)
    for start in range(0, count, BLOCK):
        rows = min(BLOCK, count - start)
        vectors = centres[rng.integers(0, CLUSTERS, rows)] + SPREAD * rng.standard_normal((rows, DIM), np.float32)
        yield range(start + 1, start + rows + 1), vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def export(weights: Path, cache: Path) -> None:
    """The text tower, exported as an ingest or a first query does it."""
    program = "import sys; from pathlib import Path; from vlsearch.encoders import registry, text_export as x; "
    program += "sys.exit(x.ensure(registry.load(sys.argv[1], Path(sys.argv[2]))) is None)"
    environment = os.environ | {"VLSEARCH_CACHE": str(cache)}
    subprocess.run([sys.executable, "-c", program, MODEL, str(weights)], check=True, env=environment)


def merges() -> Path:
    import open_clip

    return Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"


def compiled(folder: Path) -> dict[str, str]:
    """The environment, with Python's bytecode kept in `folder`: an installed package comes with its own."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(folder)}


def output(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


def vlsearch(folder: Path, environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", "vlsearch", "query", QUERY, "--library", str(folder / "library")]
    return output(command, environment)


def script(environment: dict[str, str], name: str, *arguments: Path) -> str:
    return output([sys.executable, str(SCRIPTS / f"{name}.py"), *map(str, arguments), QUERY], environment)


def timed(ask: Callable[[], str]) -> float:
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began


def check(answers: dict[str, str]) -> None:
    """All that search the small collection find the same scores."""
    scores = []
    for name, answer in answers.items():
        rows = [line.split("\t") for line in answer.splitlines()]
        if rows and f"{LARGE:,}" not in name:
            scores.append([float(row[-2]) for row in rows])
    assert all(len(one) == 10 for one in scores), answers
    assert np.ptp(scores, axis=0).max() < CLOSE, answers


class Daemon:
    """`vlsearch daemon` for a library, while the block runs. `runs` is False where it cannot."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.command = [sys.executable, "-m", "vlsearch", "daemon", "--library", str(folder / "library")]
        self.environment = environment | {"VLSEARCH_DAEMON": "1"}
        self.runs = False

    def __enter__(self) -> Daemon:
        done = subprocess.run([*self.command, "--background"], env=self.environment, stderr=subprocess.PIPE, text=True)
        self.runs = done.returncode == 0
        if not self.runs:
            print(f"no daemon: {done.stderr.strip()}", file=sys.stderr)
        return self

    def __exit__(self, *_: object) -> None:
        if self.runs:
            subprocess.run([*self.command, "--stop"], env=self.environment, check=True, stderr=subprocess.PIPE)
