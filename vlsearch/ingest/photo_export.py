"""The photos of a library, with vectors and all that is known of them, to files that other programs read."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vlsearch.catalog import imports, queries
from vlsearch.errors import UsageError
from vlsearch.vectors.store import read_shard

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from vlsearch.catalog.queries import ModelRow
    from vlsearch.library import Library

ROW_GROUP = 8192
"""photos written at once"""
PART_ROWS = 65_536
"""photos in one file of clip-retrieval's"""
KEYWORDS = ":keywords"
"""ends the source of a caption that is keywords joined by ", " """

DETAILS = ("width", "height", "format", "taken_at", "camera", "lens", "lat", "lon")


class Photos(NamedTuple):
    """Some photos: their content ids, and their vectors (n, d), NaN for those without, or None when not asked for."""

    ids: list[int]
    vectors: NDArray[np.float16] | None


def export_parquet(library: Library, path: Path, model: ModelRow | None) -> int:
    """Write one row a present photo, with its vector of `model` unless that is None; returns how many.

    Vectors are fixed_size_list<float32>: pandas, Hugging Face datasets, Lance and clip-retrieval's readers all take
    that as it is, while float16, as shards have it, stops older readers of Parquet. A photo that the model has no
    vector of has null. The file appears under its name when it is whole; the photos are those of one moment.
    Raises UsageError for a place that cannot be written to.
    """
    import pyarrow.parquet as pq

    part = path.with_name(path.name + ".part")
    count = 0
    try:
        with part.open("wb") as file, library.read() as c:
            schema = schema_of(model)
            writer = pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=["format", "camera", "lens"])
            with writer:
                for photos in photos_of(library, c, model, ROW_GROUP):
                    writer.write_table(table_of(c, photos, schema))
                    count += len(photos.ids)
        part.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write to {str(path)!r}: {(error.strerror or str(error)).lower()}") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return count


def export_clip_retrieval(library: Library, folder: Path, model: ModelRow) -> int:
    """Write img_emb/img_emb_N.npy (float16) and metadata/metadata_N.parquet (image_path, caption) as clip-retrieval's
    inference does, for its `index` to take; returns how many photos. Photos without a vector of the model are left out.

    The folder appears under its name when it is whole. Raises UsageError when it is there already.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    part = folder.with_name(folder.name + ".part")
    count = 0
    try:
        if folder.exists():
            raise UsageError(f"{str(folder)!r} is there already; give another place")
        shutil.rmtree(part, ignore_errors=True)
        for name in ("img_emb", "metadata"):
            (part / name).mkdir(parents=True)
        with library.read() as c:
            for number, photos in enumerate(photos_of(library, c, model, PART_ROWS)):
                assert photos.vectors is not None
                has = np.isfinite(photos.vectors[:, 0])
                ids = [content_id for content_id, there in zip(photos.ids, has.tolist(), strict=True) if there]
                rows = Rows(c, ids)
                texts = [next(iter(rows.captions(i)), "") for i in ids]
                table = pa.table({"image_path": pa.array(map(rows.path, ids), pa.string()), "caption": texts})
                np.save(part / "img_emb" / f"img_emb_{number}.npy", photos.vectors[has])
                pq.write_table(table, part / "metadata" / f"metadata_{number}.parquet")
                count += len(ids)
        part.rename(folder)
    except OSError as error:
        raise UsageError(f"cannot write to {str(folder)!r}: {(error.strerror or str(error)).lower()}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return count


def photos_of(library: Library, c: Connection, model: ModelRow | None, rows: int) -> Iterator[Photos]:
    """The photos that lie somewhere, `rows` at a time: as their shards hold them, then those without a vector."""
    ids: list[int] = []
    vectors: list[NDArray[np.float16]] = []
    for some in _photos(library, c, model):
        ids += some.ids
        if some.vectors is not None:
            vectors.append(some.vectors)
        while len(ids) >= rows:
            matrix = (vectors[0] if len(vectors) == 1 else np.concatenate(vectors)) if vectors else None
            yield Photos(ids[:rows], None if matrix is None else matrix[:rows])
            ids, vectors = ids[rows:], [] if matrix is None else [matrix[rows:]]
    if ids:
        yield Photos(ids, np.concatenate(vectors) if vectors else None)


def _photos(library: Library, c: Connection, model: ModelRow | None) -> Iterator[Photos]:
    if model is not None:
        hidden = queries.hidden_contents(c)
        for shard in queries.shards(c, model.id, queries.IMAGE):
            ids, vectors = read_shard(library.path / shard.file, shard.sha256)
            shown = np.isin(ids, np.setdiff1d(queries.shard_items(c, shard.id), hidden))
            yield Photos(ids[shown].tolist(), vectors[shown])
    for rest in imports.present_contents(c, model.id if model else None):
        yield Photos(rest, None if model is None else np.full((len(rest), model.dim), np.nan, np.float16))


class Rows:
    """What the catalog knows of some photos."""

    def __init__(self, c: Connection, ids: list[int]) -> None:
        self._paths = queries.paths_of(c, ids, missing=False)
        self._notes = imports.captions_with_source(c, ids)

    def path(self, content_id: int) -> str:
        """The first of its paths; bytes that are no UTF-8 are written out as \\xNN, which every reader takes."""
        return os.fsencode(self._paths[content_id][0]).decode("utf-8", "backslashreplace")

    def captions(self, content_id: int) -> list[str]:
        return [text for text, source in self._notes.get(content_id, []) if not source.endswith(KEYWORDS)]

    def keywords(self, content_id: int) -> list[str]:
        notes = self._notes.get(content_id, [])
        words = (word for text, source in notes if source.endswith(KEYWORDS) for word in text.split(", "))
        return list(dict.fromkeys(words))


def schema_of(model: ModelRow | None) -> Any:
    import pyarrow as pa

    types = {"path": pa.string(), "captions": pa.list_(pa.string()), "keywords": pa.list_(pa.string())}
    types |= {"width": pa.int32(), "height": pa.int32()}
    types |= dict.fromkeys(("format", "taken_at", "camera", "lens"), pa.string())
    types |= {"lat": pa.float64(), "lon": pa.float64(), "sha256": pa.string()}
    if model is None:
        return pa.schema(types)
    made_by = {"model": model.name, "fingerprint": model.fingerprint, "dim": model.dim}
    return pa.schema(types | {"vector": pa.list_(pa.float32(), model.dim)}, {"vlsearch": json.dumps(made_by)})


def table_of(c: Connection, photos: Photos, schema: Any) -> Any:
    import pyarrow as pa

    rows, details = Rows(c, photos.ids), imports.content_details(c, photos.ids)
    columns: dict[str, Any] = {
        "path": [rows.path(i) for i in photos.ids],
        "captions": [rows.captions(i) for i in photos.ids],
        "keywords": [rows.keywords(i) for i in photos.ids],
        "sha256": [details[i]["sha256"].hex() for i in photos.ids],
    }
    columns |= {name: [details[i][name] for i in photos.ids] for name in DETAILS}
    if photos.vectors is not None:
        missing = pa.array(~np.isfinite(photos.vectors[:, 0]))
        values = pa.array(photos.vectors.astype(np.float32).reshape(-1))
        columns["vector"] = pa.FixedSizeListArray.from_arrays(values, photos.vectors.shape[1], mask=missing)
    return pa.table(columns, schema)
