"""What the search engine needs of an index, whoever provides it. No FAISS types here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Backend(Protocol):
    """Inner-product search over vectors with ids of our own choosing. Rows are unit vectors, so D are cosines."""

    @property
    def count(self) -> int:
        """Vectors held, those that were forgotten since the index was written among them."""

    def search(
        self, xq: NDArray[np.float32], k: int, allowed: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """D (nq, k') and I (nq, k') for xq (nq, d), best first, equal scores in the order of their ids.

        With `allowed` (ascending, distinct) only ids among those. k' is k or, with fewer vectors, all there are: an
        approximate index that finds fewer looks further until it has them.
        """

    def vectors(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The stored vectors (n, d) of ids (n,), as the index holds them. KeyError for an unknown id."""
