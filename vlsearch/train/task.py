"""What a step trains on: photos with one caption each, hard negatives beside them, and what a teacher says of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from vlsearch.audit.perturb.words import join, tokenise
from vlsearch.encoders.base import Preprocess
from vlsearch.encoders.cut_text import can_cut, encode_cut, lengths, text_tower
from vlsearch.train.augment import augmented
from vlsearch.train.loop import Batch, Encode
from vlsearch.train.losses import choosing, contrastive, likeness, regression
from vlsearch.train.negatives import HardTexts, folded
from vlsearch.train.pairs import Order, Pairs, generator
from vlsearch.train.parallel import World
from vlsearch.train.settings import Settings

Ints = NDArray[np.int64]
LARGEST_SCALE = 100.0
"""of a learned logit scale (Radford et al. 2021, section 2.5)"""
NEARLY_EQUAL = 0.9
"""cosine for the teacher from which two texts are not negatives of each other"""


@dataclass(frozen=True)
class Teacher:
    photos: torch.Tensor
    """(N, d) unit rows of the pairs' photos"""
    texts: torch.Tensor
    """(M, d) unit rows of their texts"""


class PairsTask:
    """Batches for `loop.fit`: `settings.batch` photos with a caption each, drawn anew in every epoch.

    `hard`: a further text for each caption that has one (NegCLIP). `neighbours` (N, k): for each second photo of the
    batch one of its nearest; one without a caption is a negative of the captions alone. `teacher`: regression on its
    vectors beside the contrastive loss, weighted by `settings`.
    An image tower that is frozen is run once over all photos instead of in every step; they are not augmented then.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Callable[[list[str]], torch.Tensor],
        preprocess: Preprocess,
        pairs: Pairs,
        settings: Settings,
        world: World,
        *,
        hard: HardTexts | None = None,
        neighbours: Ints | None = None,
        teacher: Teacher | None = None,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        self._model, self._tokenizer, self._pairs = model, tokenizer, pairs
        self._settings, self._world = settings, world
        self._hard, self._neighbours, self._teacher = hard, neighbours, teacher
        self._size = preprocess.size
        model.visual.to(memory_format=torch.channels_last)
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(preprocess.mean, device=world.device).view(shape)
        self._std = torch.tensor(preprocess.std, device=world.device).view(shape)
        anchors = settings.batch if neighbours is None else -(-settings.batch // 2)
        self._order = Order(pairs.captioned, anchors, settings.seed, weights)
        self._folded = [folded(text) for text in pairs.texts]
        self._tower = text_tower(model)
        self._cut = can_cut(self._tower)
        # Spaced as negatives are, which a tokenizer must not tell them by.
        spaced = [join(tokenise(text)) for text in pairs.texts] if hard is not None else list(pairs.texts)
        self._tokens = tokenizer(spaced)
        self._sees = "image" not in settings.freeze
        self._fixed = None if self._sees or not settings.contrast else self._embed_all_photos()
        self.encoders: list[Encode] = []
        if self._sees:
            self.encoders.append(self._encode_photos)
        if self._needs_texts:
            self.encoders.append(self._encode_texts)

    @property
    def _needs_texts(self) -> bool:
        return self._teacher is None or self._settings.contrast > 0 or self._settings.teach_texts > 0

    def batch(self, step: int) -> Batch:
        photos, alone = self._photos_of(step)
        captions = self._pairs.caption_of(photos, self._settings.seed, step)
        negatives, negative_tokens = self._negatives_of(captions, step)
        same = torch.from_numpy(self._same(photos, [self._folded[i] for i in captions.tolist()], negatives))
        inputs: list[torch.Tensor] = []
        if self._sees:
            inputs.append(self._pixels(np.concatenate([photos, alone]), step))
        if self._needs_texts:
            tokens = torch.cat([self._tokens[captions], negative_tokens])
            if self._cut:
                tokens = tokens[:, : int(lengths(self._tower, tokens).max())]
            inputs.append(self._world.share(tokens))
        device = self._world.device
        return Batch(inputs, self._loss(photos, alone, captions, same.to(device)))

    def _photos_of(self, step: int) -> tuple[Ints, Ints]:
        """Photos with captions, each once, and those that are negatives alone."""
        anchors = self._order.of(step)
        if self._neighbours is None:
            return anchors, np.empty(0, np.int64)
        rng = generator(self._settings.seed, step, 5)
        near = self._neighbours[anchors, rng.integers(self._neighbours.shape[1], size=len(anchors))]
        near = np.setdiff1d(near[near >= 0], anchors)
        return np.concatenate([anchors, near[near < self._pairs.captioned]]), near[near >= self._pairs.captioned]

    def _negatives_of(self, captions: Ints, step: int) -> tuple[list[str], torch.Tensor]:
        """Hard negatives of those captions that have one, and their tokens: not where the tower is too short to see
        what was moved."""
        if self._hard is None:
            return [], self._tokens[:0]
        seed = hash((self._settings.seed, step))
        drawn = [(i, text) for i in captions.tolist() if (text := self._hard.draw(i, seed)) is not None]
        if not drawn:
            return [], self._tokens[:0]
        tokens = self._tokenizer([text for _, text in drawn])
        seen = (tokens != self._tokens[[i for i, _ in drawn]]).any(1)
        return [text for (_, text), is_seen in zip(drawn, seen.tolist(), strict=True) if is_seen], tokens[seen]

    def _same(self, photos: Ints, captions: Sequence[str], negatives: Sequence[str]) -> NDArray[np.bool_]:
        """(n, n + m) which texts of the batch are captions of which photos, whoever's they are."""
        columns: dict[str, list[int]] = {}
        for column, text in enumerate([*captions, *map(folded, negatives)]):
            columns.setdefault(text, []).append(column)
        same = np.zeros((len(photos), len(captions) + len(negatives)), np.bool_)
        for row, photo in enumerate(photos.tolist()):
            for i in self._pairs.texts_of(photo):
                same[row, columns.get(self._folded[i], ())] = True
        return same

    def _pixels(self, photos: Ints, step: int) -> torch.Tensor:
        """This process's share of the photos, augmented and normalised."""
        settings, n = self._settings, len(photos)
        rows = self._world.slice(n)
        pixels = augmented(
            torch.from_numpy(self._pairs.pixels[photos[rows]]).to(self._world.device),
            settings.size_at(step) or self._size,
            settings.seed,
            step,
            area=(settings.area, 1.0),
            flip=settings.flip,
            colour=settings.colour,
            sharpness=settings.sharpness,
            rows=rows,
            of=n,
        )
        return pixels.sub_(self._mean).div_(self._std)

    def _loss(self, photos: Ints, alone: Ints, captions: Ints, same: torch.Tensor) -> Callable[..., torch.Tensor]:
        n, settings, teacher, model = len(photos), self._settings, self._teacher, self._model

        def loss(*embedded: torch.Tensor) -> torch.Tensor:
            rows = list(embedded)
            if self._sees:
                images = rows.pop(0)
            elif self._fixed is not None:
                images = self._fixed[np.concatenate([photos, alone])]
            else:
                images = rows[0][:0]
            xi, others = images[:n], images[n:]
            xt, negatives = (rows[0][:n], rows[0][n:]) if rows else (None, None)
            parts: list[torch.Tensor] = []
            masked = same
            if teacher is not None:
                p, q = teacher.photos[photos].to(xi), teacher.texts[captions].to(xi)
                masked = torch.cat([same[:, :n] | (q @ q.T > NEARLY_EQUAL), same[:, n:]], 1)
                if self._sees:
                    parts += [
                        settings.teach_photos * regression(xi, p),
                        settings.teach_words * choosing(xi, q, settings.teacher_scale, masked[:, :n]),
                        settings.teach_likeness * likeness(xi, p, p, settings.likeness_scale),
                    ]
                if xt is not None:
                    parts.append(settings.teach_texts * regression(xt, q))
            if xt is not None and settings.contrast:
                parts.append(
                    settings.contrast
                    * contrastive(
                        xi,
                        xt,
                        model.logit_scale.exp().clamp(max=LARGEST_SCALE),
                        kind=settings.loss,
                        bias=model.logit_bias,
                        negatives=negatives,
                        photos=others,
                        same=masked,
                    )
                )
            return torch.stack(parts).sum()

        return loss

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self._world.device.type, torch.bfloat16, enabled=self._settings.precision == "bf16")

    def _encode_photos(self, pixels: torch.Tensor) -> torch.Tensor:
        with self._autocast():
            features = self._model.encode_image(pixels)
        return F.normalize(features.float(), dim=-1)

    def _encode_texts(self, tokens: torch.Tensor) -> torch.Tensor:
        with self._autocast():
            features = encode_cut(self._tower, tokens) if self._cut else self._model.encode_text(tokens)
        return F.normalize(features.float(), dim=-1)

    @torch.no_grad()
    def _embed_all_photos(self) -> torch.Tensor:
        """(N, d) unit rows by a frozen tower."""
        self._model.eval()
        rows = []
        for start in range(0, len(self._pairs.pixels), self._settings.micro):
            pixels = torch.from_numpy(np.array(self._pairs.pixels[start : start + self._settings.micro]))
            whole = augmented(pixels.to(self._world.device), self._size, self._settings.seed, 0, area=(1.0, 1.0))
            rows.append(self._encode_photos(whole.sub_(self._mean).div_(self._std)))
        return torch.cat(rows)
