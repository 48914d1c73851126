"""Any open_clip model as an encoder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vlsearch.encoders.base import Preprocess
from vlsearch.encoders.cut_text import can_cut, encode_cut, lengths, text_tower

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

TEXT_BATCH = 256
IMAGE_BATCH = 64
LETTERS_PER_TOKEN = 50
"""more than any vocabulary's longest entry has"""


class OpenClipEncoder:
    """Wraps a loaded open_clip model; see `base.Encoder` for the contract and `registry.load` for loading.

    `precision` is "fp32" or "bf16" (weights and activations; results are float32 either way). The fingerprint does
    not depend on it: the two differ by rounding only.
    """

    def __init__(
        self, model: Any, tokenizer: Any, name: str, source: dict[str, Any], precision: str, device: str
    ) -> None:
        import torch

        self.name, self.source, self.precision, self.device = name, source, precision, device
        self.preprocess = preprocess_of(model)
        self.fingerprint = fingerprint(model, self.preprocess, tokenizer)
        tower = text_tower(model)
        self.context_length = int(getattr(tower, "context_length", 0) or tokenizer.context_length)
        self.logit_scale = float(model.logit_scale.detach().float().exp().reshape(-1)[0])
        self._tokenizer = tokenizer
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._model = model.eval().requires_grad_(False).to(device=device, dtype=self._dtype)
        self._model.visual.to(memory_format=torch.channels_last)
        self._tower = tower if can_cut(tower) else None
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(self.preprocess.mean, device=device).view(shape)
        self._std = torch.tensor(self.preprocess.std, device=device).view(shape)
        self.dim = self.embed_texts(["a"]).shape[1]

    def embed_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        import numpy as np
        import torch

        height, width = self.preprocess.size
        if pixels.shape[1:] != (height, width, 3) or pixels.dtype.name != "uint8":
            raise ValueError(f"pixels must be uint8 (n, {height}, {width}, 3), got {pixels.dtype} {pixels.shape}")
        if len(pixels) == 0:
            return self._none()
        with torch.inference_mode():
            parts = []
            for batch in torch.split(torch.from_numpy(np.require(pixels, requirements=("C", "W"))), IMAGE_BATCH):
                x = batch.to(self.device).permute(0, 3, 1, 2).float().div_(255)
                x = x.sub_(self._mean).div_(self._std).to(self._dtype, memory_format=torch.channels_last)
                parts.append(self._model.encode_image(x).float())
            return self._unit(parts)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts go through the tower sorted by length, each batch cut to its longest, where that is exact."""
        import torch

        if not texts:
            return self._none()
        limit = LETTERS_PER_TOKEN * self.context_length
        with torch.inference_mode():
            tokens = self._tokenizer([plain(text, limit) for text in texts])
            if self._tower is None:
                return self._unit(
                    [
                        self._model.encode_text(batch.to(self.device)).float()
                        for batch in torch.split(tokens, TEXT_BATCH)
                    ]
                )
            columns = lengths(self._tower, tokens)
            order = torch.argsort(columns, descending=True, stable=True)
            parts = []
            for part in torch.split(order, TEXT_BATCH):
                batch = tokens[part, : int(columns[part[0]])]
                parts.append(encode_cut(self._tower, batch.to(self.device)).float())
            rows = torch.empty_like(torch.cat(parts))
            rows[order.to(rows.device)] = torch.cat(parts)
            return self._unit([rows])

    def _unit(self, parts: list[torch.Tensor]) -> NDArray[np.float32]:
        import torch

        rows: NDArray[np.float32] = torch.nn.functional.normalize(torch.cat(parts), dim=-1).cpu().numpy()
        return rows

    def _none(self) -> NDArray[np.float32]:
        import numpy as np

        return np.empty((0, self.dim), np.float32)


def plain(text: str, limit: int) -> str:
    """`text` with U+FFFD for what is no character, as tokenizers written in Rust refuse it; what is beyond `limit`
    letters, and so beyond every context, is left out: a tokenizer takes minutes for a word of 100,000 letters."""
    if len(text) > limit:
        text = " ".join(text.split())[:limit]
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def preprocess_of(model: Any) -> Preprocess:
    """What open_clip says about the model's pixels."""
    cfg = dict(model.visual.preprocess_cfg)
    size = cfg["size"]
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    mean, std = tuple(map(float, cfg["mean"])), tuple(map(float, cfg["std"]))
    return Preprocess(
        size=(int(height), int(width)),
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        interpolation=cfg["interpolation"],
        resize_mode=cfg["resize_mode"],
        fill_color=int(cfg.get("fill_color") or 0),
    )


def fingerprint(model: torch.nn.Module, preprocess: Preprocess, tokenizer: Any) -> str:
    """sha256 over the weights (names, shapes, values as loaded), the activation, the preprocessing, and what the
    tokenizer makes of a few lines that tell tokenizers apart.

    The activation, because QuickGELU and GELU take the same weights and give other vectors.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).numpy())
    quick = any(type(module).__name__ == "QuickGELU" for module in model.modules())
    digest.update(json.dumps({"quick_gelu": quick, **asdict(preprocess)}, sort_keys=True).encode())
    probes = ["a photo of a dog", "Straße 東京 собака, don't — 42!", "word " * 200]
    digest.update(tokenizer(probes).numpy())
    return digest.hexdigest()
