"""Export a model's text tower and tokenizer for `text_onnx`, checked against torch before they are kept."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlsearch.encoders import registry
from vlsearch.encoders.bpe import Bpe, merges_of, vocabulary_of
from vlsearch.encoders.cut_text import can_cut, encode_cut, lengths, text_tower
from vlsearch.encoders.openclip import OpenClipEncoder, fingerprint
from vlsearch.encoders.text_graph import is_known, write_graph
from vlsearch.encoders.text_onnx import (
    FORMAT,
    MERGES,
    META,
    MODEL,
    WEIGHTS,
    OnnxTextEncoder,
    digest,
    folder_for,
    read_meta,
    why,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COSINE = 0.9999
"""to torch in fp32, of the worst of `SAMPLES`"""
PATIENCE = 120
"""seconds to wait for another process that exports the same model"""

_THINGS = ("a dog", "two old friends", "the red bus", "an astronaut", "somebody's cat", "3 apples", "my grandmother")
_DOINGS = (
    "on the beach",
    "jumping over a fence",
    "under a very large umbrella in the rain",
    "isn't where it should be",
)
_ODD = (
    "",
    " ",
    "!",
    "0",
    "I'M HERE, they've left; we'll see who'd stay",
    "1,234.56 km² — ½ price",
    "Straße in Zürich, café, naïve, Łódź",
    "東京タワーの夜景",
    "собака на пляже",
    "كلب على الشاطئ",
    "📷🌅🐕‍🦺 ❤️",
    "ﬁne ﬂow №5",
    "fish &amp; chips &lt;3",
    "&amp;lt;b&amp;gt; caf&eacute;",
    "schÃ¶n â€œquotedâ€\x9d",
    "tab\tand\nline\r\nend",
    "a\x00b\x07c",
    "<start_of_text> a dog <end_of_text>",
    "__init__(self)",
    "x" * 300,
    "word " * 300,
    "don't " * 100,
    "\ufffd\u200b\u00a0 ſ K İ",
)
SAMPLES = tuple(dict.fromkeys([*_ODD, *(f"{thing} {doing}" for thing in _THINGS for doing in _DOINGS)]))
"""Texts for which tower and tokenizer must agree with torch's."""

log = logging.getLogger(__name__)


def ensure(encoder: object) -> Path | None:
    """The folder of the encoder's text tower, exported now unless it is there. None, with a line of the log, where that
    cannot be: an encoder of another kind, a tower or tokenizer of another kind than CLIP's, a full disk.

    Processes that ask for the same model at the same time export it once.
    """
    if not isinstance(encoder, OpenClipEncoder):
        return None
    from filelock import FileLock

    folder = folder_for(encoder.fingerprint)
    try:
        if is_whole(folder):
            return folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock", timeout=PATIENCE):
            return folder if is_whole(folder) else export_text(encoder, folder)
    except OSError as error:
        log.info("%s: its text tower is not exported: %s", encoder.name, why(error))
        return None


def is_whole(folder: Path) -> bool:
    try:
        return bool(read_meta(folder, folder.name))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def export_text(encoder: OpenClipEncoder, folder: Path) -> Path | None:
    """Write `folder`, whole or not at all, in place of what is there. None, with a line of the log, where the result
    would differ from torch's. Raises OSError."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # left by one that was killed: there is one at a time
    try:
        part.mkdir(parents=True)
        problem = write(encoder, part)
        if problem is None:
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
            return folder
    except (OSError, MemoryError):
        raise
    except Exception as error:
        problem = why(error)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    log.info("%s: its text tower is not exported: %s", encoder.name, problem)
    return None


def write(encoder: OpenClipEncoder, folder: Path) -> str | None:
    """All files of an export; what is wrong with them, or None.

    The weights are loaded again, since those of the encoder may have been rounded to bf16.
    """
    source = encoder.source
    with registry.quiet():
        model, tokenizer = registry.create(source["name"], Path(source["weights"]) if "weights" in source else None)
    tower = text_tower(model.eval().requires_grad_(False))
    if not is_known(tower):
        return "it is of another kind than CLIP's"
    if not hasattr(tokenizer, "bpe_ranks"):
        return "its tokenizer is of another kind than CLIP's"
    if fingerprint(model, encoder.preprocess, tokenizer) != encoder.fingerprint:
        return "its weights have changed since they were loaded"
    merges, vocabulary = merges_of(tokenizer), vocabulary_of(tokenizer)
    tokens = tokenizer(list(SAMPLES)).numpy()
    if not same_tokens(Bpe(vocabulary, merges), tokens):
        return "its tokenizer cleans texts in another way than CLIP's"
    (folder / MERGES).write_bytes(merges)
    write_graph(tower, folder)
    meta = {
        "format": FORMAT,
        "fingerprint": encoder.fingerprint,
        "name": encoder.name,
        "dim": encoder.dim,
        "context_length": vocabulary.context_length,
        "causal": can_cut(tower),
        "vocabulary": vocabulary._asdict(),
        "files": {name: digest(folder / name) for name in (MERGES, MODEL, WEIGHTS)},
        "made_with": versions(),
    }
    worst = float(
        (OnnxTextEncoder(folder, encoder.name, meta).embed_texts(SAMPLES) * embedded(model, tokens)).sum(1).min()
    )
    if not worst >= COSINE:
        return f"its vectors have a cosine of {worst:.5f} to torch's"
    (folder / META).write_text(json.dumps(meta), encoding="utf-8")
    return None


def same_tokens(bpe: Bpe, tokens: NDArray[np.int64]) -> bool:
    """Whether `bpe` makes of SAMPLES the rows of `tokens` (n, context_length), which are filled up with 0."""
    length = tokens.shape[1]
    mine = [bpe(text) for text in SAMPLES]
    return bool([ids + [0] * (length - len(ids)) for ids in mine] == tokens.tolist())


def embedded(model: Any, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
    """Unit rows (n, d) of (n, context_length) tokens, by torch in fp32; each text for itself, as long as it is."""
    import torch

    tower, rows = text_tower(model), torch.from_numpy(tokens)
    with torch.inference_mode():
        if can_cut(tower):
            columns = lengths(tower, rows).tolist()
            parts = [encode_cut(tower, row[None, :length]) for row, length in zip(rows, columns, strict=True)]
        else:
            parts = [model.encode_text(rows)]
        found: NDArray[np.float32] = torch.nn.functional.normalize(torch.cat(parts), dim=-1).numpy()
    return found


def versions() -> dict[str, str]:
    import onnx
    import onnxruntime
    import torch

    from vlsearch import __version__

    return {
        "vlsearch": __version__,
        "torch": str(torch.__version__),
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
    }
