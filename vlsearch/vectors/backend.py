"""What the search engine needs of an index, whoever provides it. No FAISS types here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Backend(Protocol):
    """Inner-product search over vectors with ids of our own choosing. Rows are unit vectors, so D are cosines."""

    @property
    def count(self) -> int: ...

    def add(self, ids: NDArray[np.int64], xb: NDArray[np.float32]) -> None:
        """Add xb (n, d) under ids (n,); an id is added once only."""

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Forget ids (n,); unknown ones are passed over."""

    def search(
        self, xq: NDArray[np.float32], k: int, hidden: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """D (nq, k') and I (nq, k') for xq (nq, d), best first, none of `hidden`; k' is k or, with fewer vectors,
        all there are. Equal scores stand in the order of their ids."""

    def vectors(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The stored vectors (n, d) of ids (n,), as the index holds them. KeyError for an unknown id."""

    def ids(self) -> NDArray[np.int64]:
        """All ids, in no particular order."""

    def dump(self, write: Callable[[bytes], object]) -> None:
        """Hand the whole index to `write`, part after part; `load` of the same backend reads it."""
