"""Texts as every tokenizer takes them."""

from __future__ import annotations

LETTERS_PER_TOKEN = 50
"""more than any vocabulary's longest entry has"""


def plain(text: str, limit: int) -> str:
    """`text` with U+FFFD for what is no character, as tokenizers written in Rust refuse it; what is beyond `limit`
    letters, and so beyond every context, is left out: a tokenizer takes minutes for a word of 100,000 letters."""
    if len(text) > limit:
        text = " ".join(text.split())[:limit]
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
