"""Ranks of 5,000 photos and 25,010 captions both ways, beside argsort over the whole matrix, as the ARO code does it.

Whole calls in fresh processes, in turn, medians; 512 dimensions, float16 values, in cones as CLIP's. The seconds of a
product alone are those of the whole matrix, and of blocks shared out over the cores; ranking alone is the rest. Memory
is the peak of the process. Both get the matrix kernels that NumPy chooses for the processor.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks._material import REPEATS, temporary

PHOTOS, CAPTIONS, D = 5_000, 25_010, 512
CONE, KIN = 0.55, 0.14
"""of a vector's squared length: what all of its kind share; and of the rest, what a caption shares with its photo"""


def run() -> dict[str, float]:
    if not Path("/proc/self/status").exists():
        raise SystemExit("memory is measured from /proc, which is not here")
    with temporary() as folder:
        measured("make", folder)
        rounds = [[measured(name, folder) for name in ("argsort", "vlsearch")] for _ in range(REPEATS)]
        agreed = agreement(folder)
    theirs, ours = (
        {figure: statistics.median(one[figure] for one in taken) for figure in taken[0]}
        for taken in zip(*rounds, strict=True)
    )
    return {
        **{f"argsort, {figure}": value for figure, value in theirs.items()},
        **{f"vlsearch, {figure}": value for figure, value in ours.items()},
        "times argsort": theirs["s"] / ours["s"],
        "times argsort, ranking alone": theirs["ranking alone, s"] / ours["ranking alone, s"],
        **agreed,
    }


def measured(name: str, folder: Path) -> dict[str, float]:
    # Set for old builds of OpenBLAS, these would have new ones do without the processor's widest instructions.
    environment = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-m", "benchmarks.audit_ranks", name, str(folder)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def make(folder: Path) -> dict[str, float]:
    """Photos and captions around two centres; what is left of a vector has few strong directions and many weak ones."""
    rng = np.random.default_rng(0)
    strength = 1 / np.sqrt(np.arange(1, D + 1))
    centres = unit(rng.standard_normal((2, D)))
    owner = rng.permutation(np.arange(CAPTIONS) % PHOTOS)
    seen = unit(strength * rng.standard_normal((PHOTOS, D)))
    said = np.sqrt(KIN) * seen[owner] + np.sqrt(1 - KIN) * unit(strength * rng.standard_normal((CAPTIONS, D)))
    for name, centre, rest in (("xb", centres[0], seen), ("xt", centres[1], unit(said))):
        rows = unit(np.sqrt(CONE) * centre + np.sqrt(1 - CONE) * rest)
        np.save(folder / f"{name}.npy", rows.astype(np.float16).astype(np.float32))
    np.save(folder / "owner.npy", owner)
    return {}


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def load(folder: Path):
    return (np.load(folder / f"{name}.npy") for name in ("xt", "xb", "owner"))


def argsort(folder: Path) -> dict[str, float]:
    xt, xb, owner = load(folder)
    own = [np.flatnonzero(owner == photo) for photo in range(PHOTOS)]
    began = time.perf_counter()
    scores = xb @ xt.T
    product = time.perf_counter() - began
    photos = np.empty(PHOTOS, np.int64)
    for photo in range(PHOTOS):
        photos[photo] = 1 + np.flatnonzero(np.isin(np.argsort(scores[photo])[::-1], own[photo]))[0]
    captions = np.empty(CAPTIONS, np.int64)
    for caption in range(CAPTIONS):
        captions[caption] = 1 + np.flatnonzero(np.argsort(scores[:, caption])[::-1] == owner[caption])[0]
    whole = time.perf_counter() - began
    np.savez(folder / "argsort.npz", captions=captions, photos=photos)
    return figures(whole, product, peak())


def vlsearch(folder: Path) -> dict[str, float]:
    from threadpoolctl import threadpool_limits

    from vlsearch.audit import metrics, products

    xt, xb, owner = load(folder)
    began = time.perf_counter()
    captions, photos = metrics.ranks(xt, xb, owner)
    whole = time.perf_counter() - began
    most = peak()

    def multiply(start: int) -> None:
        np.matmul(xt[start : start + products.BYTE], xb.T)

    began = time.perf_counter()
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(multiply, range(0, CAPTIONS, products.BYTE)))
    product = time.perf_counter() - began
    np.savez(folder / "vlsearch.npz", captions=captions.rank, photos=photos.rank)
    return figures(whole, product, most)


def figures(whole: float, product: float, most: float) -> dict[str, float]:
    return {"s": whole, "product alone, s": product, "ranking alone, s": whole - product, "peak, MB": most}


def peak() -> float:
    """MB that this process ever had resident. getrusage would count the process that started it, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e6


def agreement(folder: Path) -> dict[str, float]:
    """How hard the case is, and how many queries both rank alike.

    Of the others float32 has some scores the wrong way round: float64, exact for float16 values, has vlsearch's rank.
    """
    xt, xb, owner = load(folder)
    theirs, ours = np.load(folder / "argsort.npz"), np.load(folder / "vlsearch.npz")
    right = {"captions": lambda i: np.arange(PHOTOS) == owner[i], "photos": lambda i: owner == i}
    found = {}
    for asks, xq, gallery in (("captions", xt, xb), ("photos", xb, xt)):
        for i in np.flatnonzero(theirs[asks] != ours[asks]):
            scores, own = gallery @ xq[i].astype(np.float64), right[asks](i)
            assert ours[asks][i] == 1 + np.sum(scores[~own] >= scores[own].max()), (asks, i)
        found[f"{asks}, R@10"] = float(np.mean(ours[asks] <= 10))
        found[f"{asks} ranked alike, %"] = 100 * float(np.mean(theirs[asks] == ours[asks]))
    return found


if __name__ == "__main__":
    step, at = sys.argv[1:]
    print(json.dumps({"make": make, "argsort": argsort, "vlsearch": vlsearch}[step](Path(at))))
