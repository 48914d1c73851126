"""The public face in Python: a library with everything that the command line does, one call away each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlsearch import library as stored
from vlsearch.search.hits import Hits

if TYPE_CHECKING:
    from vlsearch.audit.report import Report
    from vlsearch.check import Problem, Repaired
    from vlsearch.encoders.base import Encoder
    from vlsearch.ingest.caption_import import Imported
    from vlsearch.ingest.pipeline import Progress
    from vlsearch.ingest.summary import Summary
    from vlsearch.ingest.vector_import import ImportSummary
    from vlsearch.optimize import Merged
    from vlsearch.search.duplicates import Group
    from vlsearch.search.engine import Engine, Hit
    from vlsearch.search.explain import Explanation
    from vlsearch.search.order import OrderCheck
    from vlsearch.search.prompts import Prompts
    from vlsearch.search.query import Term
    from vlsearch.search.tagging import Tagged

    Place = str | os.PathLike[str]
    Places = Place | Iterable[Place]


def open_library(path: Place | None = None) -> Library:
    """The library at `path` (default: $VLSEARCH_LIBRARY, or one in your data folder). An ingest makes it where there
    is none yet."""
    return Library(Path(path).expanduser() if path is not None else stored.default_path())


class Library:
    """A library. A context manager, but it need not be closed.

    Others may write to it meanwhile: each answer is of the library as it is then. Methods that write take the writer's
    lock while they run. All methods raise LibraryNotFound, LibraryTooNew and LibraryDamaged where that is so, those
    that write LibraryLocked. `model` is the name of a model as the command line takes it, with `weights` for a file of
    weights, or an encoder that is loaded already; by default the library's own.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))
        self._engines: dict[Any, Engine] = {}
        self._reading: stored.Library | None = None

    def __repr__(self) -> str:
        return f"vlsearch.open_library({str(self.path)!r})"

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of files and models. The next call opens them again."""
        self._engines.clear()
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    # answers

    def search(
        self,
        query: str | Sequence[Term] = (),
        k: int = 10,
        *,
        like: Places = (),
        to: str = "photos",
        min_score: float | None = None,
        page: int = 1,
        sort: str = "score",
        diverse: float | None = None,
        group_duplicates: bool = False,
        prompts: Place | None = None,
        allow_url: bool = False,
        model: str | Encoder | None = None,
        weights: Place | None = None,
        **filters: Any,
    ) -> Hits:
        """The k photos nearest to a query, best first: always k where there are k.

        `query` is the short form of a composed query ("horse + stripes - 2:fruit") or terms; `like` adds pictures:
        files, addresses in containers or, with `allow_url`, URLs. `to="captions"` finds captions instead. `filters`
        are those of `Filters.of`: under, not_path, taken, camera, near, tag, has_caption, format, where. The rest as
        `vlsearch query --help` has it. UsageError for what cannot be asked.
        """
        from vlsearch.search.filters import Filters
        from vlsearch.search.query import Term

        terms = [*_terms(query), *(Term(image=str(place)) for place in _places(like))]
        engine = self._engine(model, weights)
        engine.allow_url = allow_url
        found = engine.search(
            terms,
            k,
            to=to,
            filters=Filters.of(**filters),
            prompts=_prompts(prompts),
            min_score=min_score,
            page=page,
            sort=sort,
            diverse=diverse,
            group_duplicates=group_duplicates,
        )
        return Hits(found)

    def search_many(
        self,
        queries: Sequence[str | Sequence[Term]],
        k: int = 10,
        *,
        to: str = "photos",
        prompts: Place | None = None,
        model: str | Encoder | None = None,
        weights: Place | None = None,
        **filters: Any,
    ) -> list[Hits]:
        """The k nearest to each of many queries, thousands a second beside what the model takes for their texts."""
        from vlsearch.search.engine import KINDS
        from vlsearch.search.filters import Filters

        engine, kept = self._engine(model, weights), Filters.of(**filters)
        xq = engine.embed_many([_terms(query) for query in queries], _prompts(prompts))
        D, I = engine.nearest(xq, k, KINDS[to], engine.allowed(kept, KINDS[to]))  # noqa: E741
        return [Hits(hits) for hits in engine.hits(D, I, KINDS[to], filters=kept)]

    def order_check(
        self,
        query: str | Sequence[Term],
        k: int = 10,
        *,
        model: str | Encoder | None = None,
        weights: Place | None = None,
        **filters: Any,
    ) -> OrderCheck:
        """How much of the k nearest photos changes when the words of the query are moved; `sentence()` says it."""
        from vlsearch.search.filters import Filters
        from vlsearch.search.why import check_order

        engine = self._engine(model, weights)
        return check_order(engine, _terms(query), k, allowed=engine.allowed(Filters.of(**filters)))

    def explain(
        self,
        query: str | Sequence[Term],
        hits: Sequence[Hit],
        *,
        model: str | Encoder | None = None,
        weights: Place | None = None,
    ) -> list[Explanation]:
        """For each of the photos that were found, which words and terms of the query carry its score."""
        from vlsearch.search.why import explain_hits

        return explain_hits(self._engine(model, weights), _terms(query), hits)

    def audit(
        self,
        *perturbations: str,
        seeds: int = 5,
        ks: Sequence[int] = (1, 5, 10),
        task: str = "retrieval",
        queries: Sequence[str] = (),
        dataset: str | None = None,
        data: Place | None = None,
        images: Place | None = None,
        available: bool = False,
        model: str | Encoder | None = None,
        weights: Place | None = None,
    ) -> Report:
        """How far the answers depend on the order of words ("shuffle", unless other perturbations are named).

        `task="order"` has the model choose between a caption and its perturbed forms; `queries` compares their results
        where there are no captions; `dataset` takes a published one, or a file, instead of the library's captions.
        `model` may be "vectors:FILE" as well. The run is not kept; those of the command line are.
        """
        from vlsearch.audit.asked import Asked
        from vlsearch.audit.model import AuditModel
        from vlsearch.audit.run import audit
        from vlsearch.audit.runs import CACHE, FOLDER

        library = self._read()
        asked = Asked(
            task=task,  # type: ignore[arg-type]
            perturbations=perturbations or ("shuffle",),
            seeds=seeds,
            ks=tuple(ks),
            dataset=dataset,
            data=None if data is None else os.fspath(data),
            images=None if images is None else os.fspath(images),
            available=available,
            queries="" if queries else None,
        )
        audited = AuditModel(self._audited(model, weights, own=dataset is None), library.path / FOLDER / CACHE)
        return audit(asked, audited, library, queries=queries).report

    def tag(
        self,
        labels: Sequence[str],
        k: int = 1,
        *,
        descriptions: Mapping[str, Sequence[str]] | None = None,
        prompts: Place | None = None,
        min_probability: float = 0.0,
        store: bool = False,
        model: str | Encoder | None = None,
        weights: Place | None = None,
        **filters: Any,
    ) -> list[Tagged]:
        """The k most probable of your labels for each photo (that the filters keep), by path, then probability.

        A label is asked for by its sentences in `descriptions`, else by `prompts` or "a photo of a {}". `store` keeps
        the labels as tags to filter by.
        """
        from vlsearch.search import tagging
        from vlsearch.search.filters import Filters
        from vlsearch.search.prompts import Prompts, embed_prompts

        library, encoder, kept = self._read(), self._engine(model, weights).encoder(), Filters.of(**filters)
        row = library.model_of(encoder)
        ways = _prompts(prompts) or Prompts((tagging.TEMPLATE,))
        texts, _ = tagging.class_prompts(labels, ways, descriptions or {})
        classes = embed_prompts(encoder.embed_texts, texts)
        with library.snapshot() as reader:
            ids = tagging.photo_ids(reader, kept)
            scale = float(encoder.logit_scale)
            tags = tagging.classify(library, row, ids, classes, logit_scale=scale, k=k, min_probability=min_probability)
            places = list(tagging.first_places(reader, kept, ids))
        if store:
            with stored.open_library(self.path, write=True) as writing:
                tagging.store(writing, row, tags, labels)
        rows = tags.rows([photo for _, photo in places])
        return [tagging.Tagged(*places[n], labels[label], p) for n, label, p in rows]

    def duplicates(
        self, threshold: float | None = None, *, exact: bool = False, model: str | None = None
    ) -> list[Group]:
        """Photos that are there more than once: groups, the largest first."""
        from vlsearch.search.duplicates import THRESHOLD, duplicates, exact_duplicates

        library = self._read()
        if exact:
            return exact_duplicates(library)
        return duplicates(library, library.model(model), THRESHOLD if threshold is None else threshold)

    def info(self) -> dict[str, int]:
        """How many photos, files, missing ones, failures, captions and audits there are."""
        from vlsearch.catalog import queries

        with self._read().read() as c:
            return queries.counts(c)

    # what comes in

    def ingest(
        self,
        *roots: Place,
        model: str | None = None,
        weights: Place | None = None,
        exclude: Sequence[str] = (),
        precision: str = "auto",
        progress: Progress | None = None,
    ) -> Summary:
        """Embed the photos under `roots`: folders, files, .tar and .parquet with photos."""
        from vlsearch.encoders import registry
        from vlsearch.ingest.pipeline import ingest

        with stored.open_library(self.path, write=True, create=True) as library:
            source = library.source_for(model, Path(weights) if weights is not None else None)
            name = registry.shown_name(source)
            load = lambda: registry.load_source(source, precision)  # noqa: E731
            paths = [Path(root).expanduser() for root in roots]
            return ingest(library, paths, name, load, exclude=exclude, progress=progress)

    def import_captions(self, source: Place) -> Imported:
        """Captions from a file (COCO, Karpathy, CSV, JSONL, Parquet, …), or from beside the photos of a folder."""
        from vlsearch.encoders import registry
        from vlsearch.ingest.caption_import import import_captions

        with stored.open_library(self.path, write=True) as library:
            return import_captions(library, Path(source), lambda row: registry.load_source(row.source))

    def import_vectors(self, *files: Place, model: str, images: Place | None = None) -> ImportSummary:
        """Vectors that exist already: clip-retrieval's folders, .npz, Parquet."""
        from vlsearch.ingest.vector_files import open_files
        from vlsearch.ingest.vector_import import import_vectors

        sources = open_files([Path(file) for file in files])
        with stored.open_library(self.path, write=True, create=True) as library:
            return import_vectors(library, sources, model, images=Path(images) if images is not None else None)

    # what goes out

    def export(self, file: Place, *, vectors: bool = True, model: str | None = None) -> int:
        """Write the photos with captions and vectors as Parquet; how many there were."""
        from vlsearch.ingest.photo_export import export_parquet

        library = self._read()
        return export_parquet(library, Path(file), library.model(model) if vectors else None)

    def export_captions(self, file: Place) -> int:
        """Write all captions as .jsonl, .csv, .tsv, .parquet or .json (COCO); how many there were."""
        from vlsearch.ingest.export import export_captions

        return export_captions(self._read(), Path(file))

    def forget(self, under: Place | None = None) -> tuple[int, int]:
        """Drop missing files (under a folder), and photos without any; the numbers of both."""
        from vlsearch.catalog import queries

        with stored.open_library(self.path, write=True) as library:
            with library.transaction() as c:
                dropped = queries.forget_missing(c, os.path.abspath(under) if under is not None else None)
            library.save_indexes()
        return dropped

    # safe keeping

    def verify(self) -> list[Problem]:
        """Everything that is wrong with the stored bytes; empty when all is well."""
        from vlsearch.check import verify

        return verify(self._read())

    def repair(self) -> Repaired:
        """Drop what is damaged and embed it again from the photos."""
        from vlsearch.check import repair
        from vlsearch.encoders import registry

        with stored.open_library(self.path, write=True) as library:
            return repair(library, lambda row: registry.load_source(row.source))

    def optimize(self) -> Merged:
        """Merge small shards, give free space back."""
        from vlsearch.optimize import optimize

        with stored.open_library(self.path, write=True) as library:
            return optimize(library)

    def _read(self) -> stored.Library:
        if self._reading is None:
            self._reading = stored.open_library(self.path)
        return self._reading

    def _audited(self, model: str | Encoder | None, weights: Place | None, *, own: bool) -> Any:
        from vlsearch.audit.model import load, source_of
        from vlsearch.encoders import registry

        if model is not None and not isinstance(model, str):
            return model
        source = source_of(self._read(), model, Path(weights) if weights is not None else None, own=own)
        if own and "vectors" not in source:
            return self._engine(model, weights).encoder()
        return load(source, registry.load_source)

    def _engine(self, model: str | Encoder | None, weights: Place | None) -> Engine:
        from vlsearch.search.engine import Engine
        from vlsearch.search.opening import engine_of

        if model is not None and not isinstance(model, str):
            return Engine(self._read(), model)
        key = model, str(weights)
        if key not in self._engines:
            self._engines[key] = engine_of(self._read(), model, Path(weights) if weights is not None else None)
        return self._engines[key]


def _places(given: Places) -> list[Place]:
    return [given] if isinstance(given, str | os.PathLike) else list(given)


def _terms(query: str | Sequence[Term]) -> Sequence[Term]:
    from vlsearch.search.query import parse

    if not isinstance(query, str):
        return query
    return parse(query) if query.strip() else ()


def _prompts(given: Place | None) -> Prompts | None:
    from vlsearch.search.prompts import prompts_from

    return None if given is None else prompts_from(str(given))
