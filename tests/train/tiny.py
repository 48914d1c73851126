"""A CLIP and captioned photos so small that a step of training takes milliseconds."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import open_clip
import torch

from vlsearch.encoders.base import Preprocess
from vlsearch.train.pairs import Pairs

CONTEXT, END = 12, 99
PREPROCESS = Preprocess((32, 32), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
NOUNS = ("dog", "cat", "horse", "boat", "car", "tree", "house", "ball")


def clip(**vision: Any) -> Any:
    """Always of the same weights."""
    size = {"image_size": 32, "patch_size": 8, "layers": 2, "width": 32, "head_width": 16}
    text = {"context_length": CONTEXT, "vocab_size": END + 1, "layers": 2, "width": 32, "heads": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return open_clip.CLIP(embed_dim=16, vision_cfg=size | vision, text_cfg=text)


def tokenize(texts: Sequence[str]) -> torch.Tensor:
    """A token for each word, cut to fit between the first and the last."""
    rows = torch.zeros(len(texts), CONTEXT, dtype=torch.long)
    for row, text in zip(rows, texts, strict=True):
        words = [2 + zlib.crc32(word.encode()) % (END - 2) for word in text.split()][: CONTEXT - 2]
        row[: len(words) + 2] = torch.tensor([1, *words, END])
    return rows


def pairs(captions: Sequence[Sequence[str]] | None = None, alone: int = 0) -> Pairs:
    """A photo of noise for each list of captions, and `alone` without any."""
    if captions is None:
        captions = [
            [f"a {one} chasing a {other}", f"a {one} near the {other}"]
            for n, one in enumerate(NOUNS)
            for other in NOUNS[n + 1 :]
        ]
    count = len(captions) + alone
    pixels = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return Pairs(
        name="noise",
        photos=tuple(f"{n}.jpg" for n in range(count)),
        pixels=pixels,
        texts=tuple(text for own in captions for text in own),
        owner=np.array([n for n, own in enumerate(captions) for _ in own], np.int64),
        captioned=len(captions),
        digest="",
    )
