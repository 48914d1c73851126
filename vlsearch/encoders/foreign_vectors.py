"""What readers of vectors that other programs made have in common: what a vector is, and what damage looks like."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlsearch.errors import UnreadableFile, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def shape_of(path: Path, vectors: NDArray[Any]) -> tuple[int, int]:
    """Rows and dimensions; UsageError for what is no matrix of floats."""
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or not vectors.shape[1]:
        raise UsageError(
            f"{str(path)!r} holds {vectors.dtype} of shape {vectors.shape}; vectors are the rows of a matrix of floats"
        )
    return vectors.shape[0], vectors.shape[1]


def is_list(type_: Any) -> bool:
    """Whether cells of this Arrow type are lists."""
    import pyarrow.types as t

    return bool(t.is_list(type_) or t.is_large_list(type_) or t.is_fixed_size_list(type_))


def read_errors() -> tuple[type[Exception], ...]:
    """What numpy, zipfile and pyarrow raise for files that are damaged or of another kind."""
    import pyarrow as pa

    return OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, pa.ArrowException


def unreadable(path: Path, error: Exception) -> UnreadableFile:
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror.lower()
    elif "allow_pickle" in str(error) or "Python objects" in str(error):
        reason = "it holds Python objects, which could run anything; save it again as plain numbers and text"
    else:
        reason = f"damaged, or of another kind ({' '.join(str(error).split())[:100]})"
    return UnreadableFile(f"cannot read vectors from {str(path)!r}: {reason}")
