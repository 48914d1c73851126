"""The whole line on 200 real photos and 1,001 captions, against a plain computation that shares no code with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from sqlalchemy import delete

from vlsearch.audit.perturb import perturb
from vlsearch.audit.report import AuditReport
from vlsearch.audit.subject import captions_of
from vlsearch.audit.tasks.retrieval import audit_retrieval
from vlsearch.catalog import queries
from vlsearch.catalog.tables import Caption
from vlsearch.encoders import registry
from vlsearch.ingest.captions import match, read_captions
from vlsearch.ingest.pipeline import ingest
from vlsearch.library import open_library

KS, SEEDS, RESAMPLES = (1, 5, 10), 5, 2000


@pytest.fixture(scope="module")
def audited(
    shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[AuditReport, dict[str, NDArray[np.float32]], Path]:
    """The report, every text's vector as the audit had it, and the library."""
    data = shared / "data" / "coco200"
    path = tmp_path_factory.mktemp("coco200") / "library"
    encoder = registry.load("builtin")
    vectors: dict[str, NDArray[np.float32]] = {}

    def embed(texts):  # type: ignore[no-untyped-def]
        rows = encoder.embed_texts(texts)
        vectors.update(zip(texts, rows, strict=True))
        return rows

    with open_library(path, write=True, create=True) as library:
        summary = ingest(library, [data / "images"], "builtin", lambda: encoder)
        assert (summary.added, summary.embedded, summary.failed) == (200, 200, 0)
        with library.transaction() as c:
            c.execute(delete(Caption))  # one photo brings a caption of its own, in its XMP
            rows, unmatched = match(read_captions(data / "captions.json"), queries.contents_by_path(c))
            assert (queries.add_captions(c, rows, "captions.json"), unmatched) == (1001, [])
        captioned, ids = captions_of(library)
        assert (library.vectors(library.model())[0] == ids).all()
        xb = library.vectors(library.model())[1]
    report, _ = audit_retrieval(
        embed, xb, captioned.texts, captioned.owner, perturbations=["shuffle"], seeds=SEEDS, ks=KS, resamples=RESAMPLES
    )
    return report, vectors, path


def plain(shared: Path, library: Path, vectors: dict[str, NDArray[np.float32]]) -> dict[tuple[str, int], list[float]]:
    """(direction, k) -> clean, perturbed, drop, low, high: from the photos' files, the shards and the JSON, on the
    whole score matrix, with a loop over resamples. Draws are those that `stats.paired_interval` documents."""
    import hashlib
    import sqlite3

    from scipy.stats import norm, t

    data = json.loads((shared / "data" / "coco200" / "captions.json").read_text())
    with sqlite3.connect(library / "catalog.sqlite") as db:
        id_of = dict(db.execute("SELECT sha256, id FROM content"))
        files = [library / file for (file,) in db.execute("SELECT file FROM shard WHERE kind = 'image'")]
    tables = [pq.read_table(file) for file in files]
    vector_of = {row["id"]: np.array(row["vector"], np.float64) for rows in tables for row in rows.to_pylist()}
    photos = shared / "data" / "coco200" / "images"
    photo_ids = {
        i["id"]: id_of[hashlib.sha256((photos / i["file_name"]).read_bytes()).digest()] for i in data["images"]
    }
    gallery = sorted(set(photo_ids.values()))
    xb = np.stack([vector_of[i] for i in gallery])
    own = [gallery.index(photo_ids[a["image_id"]]) for a in data["annotations"]]
    captions = [a["caption"] for a in data["annotations"]]
    # One caption stands, word for word, with two photos, and each is right.
    photos_of: dict[str, set[int]] = {}
    for text, photo in zip(captions, own, strict=True):
        photos_of.setdefault(text, set()).add(photo)
    right = np.array([[photo in photos_of[text] for photo in range(len(gallery))] for text in captions])
    runs = [captions] + [[perturb(text, "shuffle", seed).text for text in captions] for seed in range(SEEDS)]

    hits: dict[tuple[str, int], list[NDArray[np.float64]]] = {}
    for run in runs:
        scores = np.round(np.stack([vectors[text].astype(np.float64) for text in run]) @ xb.T, 10)  # equal texts tie
        for k in KS:
            found, of_photo = np.zeros(len(gallery)), np.zeros(len(gallery))
            for j, photo in enumerate(own):
                found[photo] += sum(s >= scores[j, right[j]].max() for s in scores[j, ~right[j]]) < k
            for photo in range(len(gallery)):
                mine = right[:, photo]
                of_photo[photo] = sum(s >= scores[mine, photo].max() for s in scores[~mine, photo]) < k
            hits.setdefault(("text_to_image", k), []).append(found)
            hits.setdefault(("image_to_text", k), []).append(of_photo)

    rng = np.random.default_rng(0)
    photo_draws = rng.integers(0, len(gallery), size=(RESAMPLES, len(gallery)))
    n = len(gallery)
    tail = 100 * norm.cdf(np.sqrt(n / (n - 1)) * t.ppf(0.025, n - 1))
    figures = {}
    for (direction, k), (clean, *shuffled) in hits.items():
        size = np.bincount(own) if direction == "text_to_image" else np.ones(len(gallery))
        drops = [(clean[p].sum() - np.mean([s[p].sum() for s in shuffled])) / size[p].sum() for p in photo_draws]
        whole, moved = clean.sum() / size.sum(), np.mean([s.sum() for s in shuffled]) / size.sum()
        figures[direction, k] = [whole, moved, whole - moved, *np.percentile(drops, [tail, 100 - tail])]
    return figures


def test_the_figures_are_those_of_a_plain_computation(audited, shared) -> None:  # type: ignore[no-untyped-def]
    report, vectors, library = audited
    expected = plain(shared, library, vectors)
    rows = [r for r in report.results if r.perturbation == "shuffle"]
    assert len(rows) == len(expected) == 6
    for r in rows:
        found = [r.clean, r.perturbed, r.drop, r.low, r.high]
        np.testing.assert_allclose(found, expected[r.direction, r.k], rtol=0, atol=1e-9, err_msg=f"{r.direction} {r.k}")


def test_nothing_is_lost_by_identity_and_chance_is_beside(audited) -> None:  # type: ignore[no-untyped-def]
    report, _, _ = audited
    for r in report.results:
        if r.perturbation == "identity":
            assert abs(r.drop) < 0.01, "tokenising alone must change next to nothing"
        if r.direction == "text_to_image":
            both_missed = (200 - r.k) * (199 - r.k) / (200 * 199)
            assert r.chance == pytest.approx((999 * r.k / 200 + 2 * (1 - both_missed)) / 1001)
            assert r.clean > 2 * r.chance, "the built-in model finds far more than chance"
