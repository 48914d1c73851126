"""The text tower of a model on ONNX Runtime, for a query from the shell: no torch, and nothing read but what is used.

It is exported once by `text_export` into a folder of the user's cache that is named after the model's fingerprint.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlsearch.encoders.bpe import Bpe, Vocabulary
from vlsearch.encoders.plain_text import LETTERS_PER_TOKEN, plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

META, MERGES, MODEL, WEIGHTS = "meta.json", "merges", "text.onnx", "text.weights"
FORMAT = 1
TOKENS = 1024
"""at once: enough to keep the cores busy, few enough to stay in their caches"""
THREADS = 8
"""a short text gains nothing from more"""

log = logging.getLogger(__name__)


class OnnxTextEncoder:
    """A model's texts alone; see `base.TextEncoder`. `open_text` makes one."""

    def __init__(self, folder: Path, name: str, meta: dict[str, Any]) -> None:
        """Raises what ONNX Runtime and the file system raise, and ValueError, KeyError, TypeError for damaged files."""
        self.name, self.fingerprint = name, str(meta["fingerprint"])
        self.dim, self.context_length = int(meta["dim"]), int(meta["context_length"])
        self._causal = bool(meta["causal"])
        self._bpe = Bpe(Vocabulary(**meta["vocabulary"]), (folder / MERGES).read_bytes())
        self._session = session(folder / MODEL)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """n texts, of any length (cut at `context_length` tokens), to (n, dim) unit rows.

        Texts go through the tower sorted by length, each batch cut to its longest, where the tower is causal.
        """
        import numpy as np

        limit = LETTERS_PER_TOKEN * self.context_length
        ids = [self._bpe(plain(text, limit)) for text in texts]
        order = sorted(range(len(ids)), key=lambda n: -len(ids[n]))
        rows = np.empty((len(ids), self.dim), np.float32)
        while order:
            length = len(ids[order[0]]) if self._causal else self.context_length
            part, order = order[: max(1, TOKENS // length)], order[max(1, TOKENS // length) :]
            tokens = np.zeros((len(part), length), np.int64)
            for row, n in enumerate(part):
                tokens[row, : len(ids[n])] = ids[n]
            rows[part] = self._session.run(None, {"tokens": tokens})[0]
        return rows


def session(model: Path) -> Any:
    """An `onnxruntime.InferenceSession` that is ready in a few milliseconds.

    The graph is as good as ONNX Runtime would make it, and its weights are used where they are mapped (no prepacking).
    Planning which results may share memory takes longer than running the graph once.
    """
    import onnxruntime

    fatal = 4
    onnxruntime.set_default_logger_severity(fatal)
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = fatal
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_mem_reuse = options.enable_mem_pattern = options.enable_cpu_mem_arena = False
    options.intra_op_num_threads, options.inter_op_num_threads = min(THREADS, cores()), 1
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_text(fingerprint: str, name: str) -> OnnxTextEncoder | None:
    """The text tower of the model with this fingerprint, under the name that a library gives it.

    None where it has not been exported; an export that is damaged is deleted, with a line of the log.
    """
    folder = folder_for(fingerprint) if fingerprint else None
    if folder is None or not folder.is_dir():
        return None
    try:
        return OnnxTextEncoder(folder, name, read_meta(folder, fingerprint))
    except Exception as error:
        log.warning("the export of %s in %s is damaged (%s); it is deleted, and made again", name, folder, why(error))
        shutil.rmtree(folder, ignore_errors=True)
        return None


def folder_for(fingerprint: str) -> Path:
    """Where the export of a model lies: under $VLSEARCH_CACHE, or the user's cache."""
    named = os.environ.get("VLSEARCH_CACHE")
    if named:
        cache = Path(named).expanduser()
    else:
        import platformdirs

        cache = Path(platformdirs.user_cache_dir("vlsearch", appauthor=False))
    return cache / "text" / fingerprint


def read_meta(folder: Path, fingerprint: str) -> dict[str, Any]:
    """What META says, once the files are found to be as it says; OSError, ValueError, KeyError, TypeError if not."""
    meta: dict[str, Any] = json.loads((folder / META).read_bytes())
    if (meta["format"], meta["fingerprint"]) != (FORMAT, fingerprint):
        raise ValueError("made for another model, or by another version")
    for name, expected in meta["files"].items():
        if digest(folder / name) != expected:
            raise ValueError(f"{name} is not as it was written")
    return meta


def digest(file: Path) -> list[int]:
    """Length in bytes and, save for the weights, whose reading would take longer than a query, CRC-32."""
    import zlib

    size = file.stat().st_size
    return [size] if file.name == WEIGHTS else [size, zlib.crc32(file.read_bytes())]


def why(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
