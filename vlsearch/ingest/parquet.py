"""Photos whose bytes lie in the rows of a Parquet file, as Hugging Face datasets and img2dataset write them."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlsearch.errors import UnreadableFile
from vlsearch.ingest.container_captions import caption_column, texts_of
from vlsearch.ingest.notes import Note
from vlsearch.ingest.scan import Found, Unreadable

if TYPE_CHECKING:
    from types import TracebackType

IMAGE_COLUMNS = (
    *("image", "img", "photo", "picture", "image_bytes", "img_bytes", "bytes", "image_data", "data", "content"),
    *("jpg", "jpeg", "png", "webp", "avif", "heic"),
)
"""Names of columns of image bytes, in any case; where a file has several, the first of these."""

ROWS = 16
"""photos taken out of a row group at once"""
TEXT_ROWS = 4096
READ_AHEAD = 1 << 20
"""bytes; without it a whole column of a row group is read at once"""


def photos_in(path: str) -> Iterator[Found | Unreadable]:
    """One photo a row, with its captions; the image column itself stays unread.

    A file that is no Parquet, is damaged or holds no images gives an Unreadable.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with Path(path).open("rb") as file:
            status = os.fstat(file.fileno())
            parquet = pq.ParquetFile(file, buffer_size=READ_AHEAD)
            image = image_column(parquet)
            if image is None:
                yield Unreadable(
                    path,
                    f"no column of image bytes among {', '.join(parquet.schema_arrow.names) or 'none'}; "
                    "`vlsearch import-vectors` takes vectors, `vlsearch captions import` captions",
                )
                return
            source = Path(path).name
            for row, texts in enumerate(captions_in(parquet, image.partition(".")[0])):
                notes = tuple(Note(text, source) for text in texts)
                yield Found(f"{path}#{row}", status.st_size, status.st_mtime_ns, None, notes)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        yield Unreadable(path, damage(error))
    except OSError as error:
        yield Unreadable(path, error.strerror.lower() if error.strerror else damage(error))


def image_column(parquet: Any) -> str | None:
    """The column to read for the bytes of images: "jpg", or "image.bytes" of a struct {bytes, path}.

    Structs and binary columns of a known name go first. One of another name is taken when its first value is a photo.
    """
    import pyarrow.types as t

    columns: dict[str, str] = {}
    for field in parquet.schema_arrow:
        if t.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
            if is_binary(field.type.field("bytes").type):
                columns[field.name] = f"{field.name}.bytes"
        elif is_binary(field.type):
            columns[field.name] = field.name
    known = {name.strip().lower(): column for name, column in columns.items()}
    named = next((known[name] for name in IMAGE_COLUMNS if name in known), None)
    return named or next((column for column in columns.values() if begins_with_photo(parquet, column)), None)


def is_binary(type_: Any) -> bool:
    import pyarrow.types as t

    return bool(t.is_binary(type_) or t.is_large_binary(type_))


def begins_with_photo(parquet: Any, column: str) -> bool:
    from io import BytesIO

    import pi_heif
    from PIL import Image

    pi_heif.register_heif_opener()
    for batch in parquet.iter_batches(batch_size=ROWS, columns=[column]):
        for cell in batch.column(0).to_pylist():
            if data := bytes_of(cell):
                try:
                    Image.open(BytesIO(data)).close()
                except Exception:  # decoders raise whatever they like on what is no photo
                    return False
                return True
    return False


def bytes_of(cell: Any) -> bytes | None:
    value: bytes | None = cell.get("bytes") if isinstance(cell, dict) else cell
    return value


def captions_in(parquet: Any, image: str) -> Iterator[list[str]]:
    """The captions of each row, in order."""
    column = caption_column(name for name in parquet.schema_arrow.names if name != image)
    if column is None:
        for _ in range(parquet.metadata.num_rows):
            yield []
        return
    for batch in parquet.iter_batches(batch_size=TEXT_ROWS, columns=[column]):
        for cell in batch.column(0).to_pylist():
            yield texts_of(cell)


def damage(error: Exception) -> str:
    return f"no valid Parquet ({' '.join(str(error).split())[:100]})"


class RowReader:
    """Image bytes of the rows of one Parquet file; a context manager. Going forward costs no row twice.

    Raises OSError when the file is gone, UnreadableFile when it is no Parquet with images.
    """

    def __init__(self, path: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._file = Path(path).open("rb")  # noqa: SIM115 - closed by close()
        try:
            status = os.fstat(self._file.fileno())
            self.path, self.stamp = path, (status.st_size, status.st_mtime_ns)
            self._parquet = pq.ParquetFile(self._file, buffer_size=READ_AHEAD)
            column = image_column(self._parquet)
        except pa.ArrowException as error:
            self.close()
            raise UnreadableFile(damage(error)) from None
        except BaseException:
            self.close()
            raise
        if column is None:
            self.close()
            raise UnreadableFile("no column of image bytes")
        self._column = column
        metadata = self._parquet.metadata
        self._starts = [0]
        for group in range(metadata.num_row_groups):
            self._starts.append(self._starts[-1] + metadata.row_group(group).num_rows)
        self._group, self._first = -1, 0
        self._cells: Any = None
        self._batches: Iterator[Any] = iter(())
        self._damaged: dict[int, str] = {}

    def __enter__(self) -> RowReader:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def read(self, row: int) -> bytes:
        """UnreadableFile for a row without bytes, one in a damaged row group, and one that is not there."""
        import pyarrow as pa

        if not 0 <= row < self._starts[-1]:
            raise UnreadableFile(f"no row {row}, only {self._starts[-1]:,}")
        group = bisect_right(self._starts, row) - 1
        if group in self._damaged:
            raise UnreadableFile(self._damaged[group])
        try:
            cell = self._cell(group, row)
        except (pa.ArrowException, OSError, StopIteration) as error:
            self._damaged[group] = damage(error)
            raise UnreadableFile(self._damaged[group]) from None
        if not (data := bytes_of(cell)):
            raise UnreadableFile("its row holds no image bytes")
        return data

    def _cell(self, group: int, row: int) -> Any:
        if group != self._group or row < self._first:
            self._group, self._first, self._cells = group, self._starts[group], None
            self._batches = self._parquet.iter_batches(ROWS, row_groups=[group], columns=[self._column])
        while self._cells is None or row >= self._first + len(self._cells):
            self._first += 0 if self._cells is None else len(self._cells)
            self._cells = next(self._batches).column(0)
        return self._cells[row - self._first].as_py()


def has_row(path: str, row: int) -> bool:
    try:
        status = Path(path).stat()
        return 0 <= row < _count(path, status.st_size, status.st_mtime_ns)
    except OSError:
        return False


@lru_cache(maxsize=256)
def _count(path: str, _size: int, _mtime_ns: int) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with Path(path).open("rb") as file:
            return int(pq.ParquetFile(file).metadata.num_rows)
    except pa.ArrowException:
        return 0
