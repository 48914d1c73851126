"""Any open_clip model as an encoder."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from vlsearch.encoders.base import Preprocess
from vlsearch.encoders.cut_text import can_cut, encode_cut, lengths, text_tower
from vlsearch.encoders.lanes import Checked, Plan, fastest, own_threads, plan_for
from vlsearch.encoders.plain_text import LETTERS_PER_TOKEN, plain

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from vlsearch.encoders.gpu import Lane
    from vlsearch.encoders.lanes import Features
    from vlsearch.encoders.packed_text import PackedText

TEXT_BATCH = 256
IMAGE_BATCH = 64

log = logging.getLogger(__name__)


class OpenClipEncoder:
    """Wraps a loaded open_clip model; see `base.Encoder` for the contract and `registry.load` for loading.

    `precision` is "fp32" or "bf16" (weights and activations; results are float32 either way). `int8`: whether the
    lanes compute in int8 on a CPU; None for as long as that agrees with the exact vectors. The fingerprint depends on
    neither: they differ by rounding only.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        name: str,
        source: dict[str, Any],
        precision: str,
        device: str,
        int8: bool | None = False,
    ) -> None:
        import torch

        self.name, self.source, self.precision, self.device = name, source, precision, device
        self.preprocess = preprocess_of(model)
        self.fingerprint = fingerprint(model, self.preprocess, tokenizer)
        tower = text_tower(model)
        self.context_length = int(getattr(tower, "context_length", 0) or tokenizer.context_length)
        self.logit_scale = float(model.logit_scale.detach().float().exp().reshape(-1)[0])
        self._tokenizer, self._wants_int8 = tokenizer, int8
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._model = model.eval().requires_grad_(False).to(device=device, dtype=self._dtype)
        self._model.visual.to(memory_format=torch.channels_last)
        self._tower = tower if can_cut(tower) else None
        self._encode_cut: Callable[[torch.Tensor], torch.Tensor] = partial(encode_cut, tower)
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(self.preprocess.mean, device=device).view(shape)
        self._std = torch.tensor(self.preprocess.std, device=device).view(shape)
        self.dim = self.embed_texts(["a"]).shape[1]

    def embed_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._embed(self._features, pixels, IMAGE_BATCH)

    def image_lanes(self) -> list[Callable[[NDArray[np.uint8]], NDArray[np.float32]]]:
        """See `base.Encoder`; each works in batches of `lane_batch` photos, which take a fraction of a second.

        On a GPU they are `gpu.Lane`s, which take JPEG files too.
        """
        if self.device == "cuda":
            return list(self._gpu_lanes)
        features, plan = self._lane_features, self._plan

        def lane(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
            with own_threads(plan.threads):
                return self._embed(features, pixels, plan.batch)

        return [lane] * plan.lanes

    @property
    def lane_batch(self) -> int:
        """Photos that a lane takes at a time; give it as many, or a multiple."""
        if self.device == "cuda":
            from vlsearch.encoders.gpu import BATCH

            return BATCH
        return self._plan.batch

    def probe(self, seconds: float = 1.0) -> dict[str, Any]:
        """Try for about `seconds` how lanes and threads share the cores best, for calls of `image_lanes` to come.

        There is nothing to choose on a GPU, and nothing is returned.
        """
        if self.device == "cuda":
            return {}
        features = self._int8 or self._features
        self._plan, rate = fastest(features, self._pixels(), self._plan, seconds)
        found = {**asdict(self._plan), "photos_per_second": round(rate, 1)}
        log.info("%s: %d lanes of %d threads, batches of %d: %.1f photos/s", self.name, *found.values())
        return found

    def _features(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, height, width, 3) uint8 to (n, dim) float32, not normalised."""
        features: torch.Tensor = self._model.encode_image(self._normalised(pixels)).float()
        return features

    def _normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        import torch

        x = pixels.to(self.device).permute(0, 3, 1, 2).float().div_(255)
        return x.sub_(self._mean).div_(self._std).to(self._dtype, memory_format=torch.channels_last)

    def patch_vectors(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """(n, height, width, 3) uint8 at `preprocess.size` to unit vectors (n, rows, columns, dim) of the images'
        parts; None for a tower whose parts cannot be told apart. See `patches`."""
        import torch

        from vlsearch.encoders.patches import patch_features

        with torch.inference_mode():
            found = patch_features(self._model.visual, self._normalised(torch.tensor(pixels)))
            return None if found is None else self._unit([found.float()])

    @cached_property
    def _int8(self) -> Features | None:
        """The image tower in int8; None where that is not wanted, does not pay, or is for towers of another kind."""
        import torch

        from vlsearch.encoders import int8

        if self._wants_int8 is False or self.device != "cpu" or not int8.available():
            return None
        from vlsearch.encoders.int8_tower import quantised

        try:
            with torch.inference_mode(), own_threads(1):
                tower = quantised(self._model.visual, self.preprocess, self._dtype)
        except Exception as error:
            if self._wants_int8:
                raise
            log.info("%s: its image tower cannot be had in int8 (%s)", self.name, error)
            return None
        if tower is None:
            return None

        def features(pixels: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor | tuple[torch.Tensor, ...] = tower(pixels.permute(0, 3, 1, 2))
            return found[0] if isinstance(found, tuple) else found

        return features

    @cached_property
    def _lane_features(self) -> Features:
        if self._int8 is None or self._wants_int8:
            return self._int8 or self._features
        return Checked(self._int8, self._features, self.name)

    @cached_property
    def _gpu_lanes(self) -> list[Lane]:
        from vlsearch.encoders.gpu import gpu_lanes

        return gpu_lanes(self._model.visual, self.preprocess, self._dtype)

    @cached_property
    def _plan(self) -> Plan:
        """How many lanes, and of how many photos at a time, until `probe` finds something better."""
        return plan_for(self._int8 or self._features, self._pixels())

    def _pixels(self) -> torch.Tensor:
        """A photo to try things on."""
        import torch

        return torch.randint(0, 256, (1, *self.preprocess.size, 3), dtype=torch.uint8)

    def _embed(self, features: Features, pixels: NDArray[np.uint8], at_once: int) -> NDArray[np.float32]:
        import numpy as np
        import torch

        height, width = self.preprocess.size
        if pixels.shape[1:] != (height, width, 3) or pixels.dtype.name != "uint8":
            raise ValueError(f"pixels must be uint8 (n, {height}, {width}, 3), got {pixels.dtype} {pixels.shape}")
        if len(pixels) == 0:
            return self._none()
        with torch.inference_mode():
            batches = torch.split(torch.from_numpy(np.require(pixels, requirements=("C", "W"))), at_once)
            return self._unit([features(batch) for batch in batches])

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
                parts.append(self._encode_cut(batch.to(self.device)).float())
            rows = torch.empty_like(torch.cat(parts))
            rows[order.to(rows.device)] = torch.cat(parts)
            return self._unit([rows])

    def embed_many(self, texts: Sequence[str], progress: Callable[[int], None] = lambda _: None) -> NDArray[np.float32]:
        """As `embed_texts`, for hundreds and more: a text's vector depends on the text alone, to the last bit.

        `progress` is told how many are done.
        """
        import torch

        from vlsearch.encoders.text_pieces import embed_batches, embed_pieces

        if not texts:
            return self._none()
        limit = LETTERS_PER_TOKEN * self.context_length
        with torch.inference_mode():
            tokens = self._tokenizer([plain(text, limit) for text in texts])
            whole = torch.full((len(tokens),), tokens.shape[1])
            columns = whole if self._tower is None else lengths(self._tower, tokens)
            if self._many is not None:
                return self._unit([embed_pieces(self._many, tokens, columns, progress)])
            return self._unit([embed_batches(self._encode, tokens.to(self.device), columns, progress)])

    def is_cut(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """(n,) which texts have more tokens than the context takes, so that the model never sees their end."""
        import numpy as np

        room, limit = self.context_length, LETTERS_PER_TOKEN * self.context_length
        cut = np.zeros(len(texts), np.bool_)
        # no token without a letter, but for those that open and close the text
        long = [n for n, text in enumerate(texts) if len(text) + 2 > room]
        if long:
            tokens = self._tokenizer([plain(texts[n], limit) for n in long], context_length=room + 1)
            padding = getattr(getattr(self._tokenizer, "tokenizer", None), "pad_token_id", 0) or 0
            cut[long] = (tokens[:, room] != padding).numpy()
        return cut

    @cached_property
    def _many(self) -> PackedText | None:
        from vlsearch.encoders.packed_text import packed_text
        from vlsearch.encoders.text_pieces import ROWS

        if self._tower is None or self.device != "cpu" or self.context_length > ROWS:
            return None
        return packed_text(self._tower, self._dtype, ROWS)

    def _encode(self, tokens: torch.Tensor) -> torch.Tensor:
        encode = self._model.encode_text if self._tower is None else self._encode_cut
        features: torch.Tensor = encode(tokens).float()
        return features

    def pack_texts(self) -> bool:
        """Give single short texts half the time, and the text tower twice the memory; whether that can be had."""
        from vlsearch.encoders.packed_text import packed_text

        packed = packed_text(self._tower, self._dtype) if self._tower is not None and self.device == "cpu" else None
        if packed is None:
            return False
        self._encode_cut = packed
        return True

    def _unit(self, parts: list[torch.Tensor]) -> NDArray[np.float32]:
        import torch

        rows: NDArray[np.float32] = torch.nn.functional.normalize(torch.cat(parts), dim=-1).cpu().numpy()
        return rows

    def _none(self) -> NDArray[np.float32]:
        import numpy as np

        return np.empty((0, self.dim), np.float32)


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
