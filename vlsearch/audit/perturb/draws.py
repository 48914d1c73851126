"""Random numbers that depend on (what is perturbed, perturbation, seed) and on nothing else.

They come from a hash and not from a generator, so that they are the same under every version of Python and NumPy, in
any order of captions, in any batch and in any process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

Draw = Callable[[int], list[int]]
"""`draw(n)` gives n numbers, uniform on 0 … 2**64 - 1"""


def draws(subject: str, name: str, seed: int, attempt: int) -> Draw:
    """The numbers for one attempt at perturbing `subject`, a caption's text or a photo's key; each attempt has its
    own."""
    source = f"{name}\0{seed}\0{attempt}\0{subject}".encode("utf-8", "surrogatepass")

    def draw(n: int) -> list[int]:
        stream = hashlib.shake_256(source).digest(8 * n)
        return [int.from_bytes(stream[i : i + 8], "big") for i in range(0, 8 * n, 8)]

    return draw
