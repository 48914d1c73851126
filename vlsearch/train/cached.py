"""The gradient of a loss over a whole batch, with a part of the batch in memory at a time, on one process or several.

A contrastive loss compares each row with every other, so its batch cannot be cut. GradCache (Gao et al., 2021) embeds
all rows without a graph, takes the loss's gradient of the embeddings, and embeds once more, part by part, to carry it
on to the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from vlsearch.train.parallel import World

Encode = Callable[[Tensor], Tensor]


def backward(
    model: nn.Module, parts: Sequence[tuple[Encode, Tensor]], loss: Callable[..., Tensor], micro: int, world: World
) -> Tensor:
    """The loss, 0-d and detached; the gradients of `model`, those before forgotten, are its, over all processes.

    Each part is an encoder and this process's share of its inputs, at least one row; `loss` is given the (whole batch,
    d) embeddings of each part. What `encode` and `loss` depend on are parameters of `model`. An encoder is given up to
    `micro` rows at a time, and one such piece of each part is in memory at once. The last piece of a part keeps its
    graph, so a share of up to `micro` rows is embedded once, not twice, and so is all that is frozen.

    Dropout drops the same in both passes, and batch norms, whose statistics are those of a piece, count each piece
    once. Autocast belongs inside `encode`: around both passes, its cache would hold weights without a graph.
    """
    model.zero_grad()
    embedded = [_Embedded.of(encode, inputs, micro, model, world.device) for encode, inputs in parts]
    whole = [world.gather(part.rows).requires_grad_(part.last.requires_grad) for part in embedded]
    value = loss(*whole)
    value.backward()  # type: ignore[no-untyped-call]
    if world.rank > 0:
        # What the loss itself depends on, its scale say, has its whole gradient in every process.
        model.zero_grad()
    for part, rows in zip(embedded, whole, strict=True):
        if rows.grad is not None:
            part.carry_on(world.share(rows.grad))
    world.sum_gradients(model.parameters())
    return value.detach()


@dataclass
class _Embedded:
    """A share of rows, embedded in pieces."""

    encode: Encode
    rows: Tensor
    """(share, d), detached"""
    again: list[tuple[Tensor, _Draws]]
    """the inputs of every piece but the last, and what was drawn for it"""
    last: Tensor
    """embeddings of the last piece, with their graph"""

    @classmethod
    def of(cls, encode: Encode, inputs: Tensor, micro: int, model: nn.Module, device: torch.device) -> _Embedded:
        # Pieces of one size, to a row: a last one of a single row would be too few for a batch norm.
        *pieces, last_piece = inputs.tensor_split(math.ceil(len(inputs) / micro))
        again, rows = [], []
        with torch.no_grad(), _statistics_wait(model):
            for piece in pieces:
                again.append((piece, _Draws(device)))
                rows.append(encode(piece))
        last = encode(last_piece)
        return cls(encode, torch.cat([*rows, last.detach()]), again if last.requires_grad else [], last)

    def carry_on(self, gradient: Tensor) -> None:
        """Add to the gradients of the weights, from that of `rows`."""
        *gradients, of_last = torch.split(gradient, [*(len(piece) for piece, _ in self.again), len(self.last)])
        self.last.backward(of_last)  # type: ignore[no-untyped-call]
        for (piece, draws), part in zip(self.again, gradients, strict=True):
            with draws.again():
                rows = self.encode(piece)
            rows.backward(part)  # type: ignore[no-untyped-call]


class _Draws:
    """The state of the generators now, to draw the same again."""

    def __init__(self, device: torch.device) -> None:
        self._devices = [device] if device.type == "cuda" else []
        self._state = torch.get_rng_state()
        self._of_gpu = [torch.cuda.get_rng_state(device) for device in self._devices]

    @contextmanager
    def again(self) -> Iterator[None]:
        with torch.random.fork_rng(self._devices):
            torch.set_rng_state(self._state)
            for device, state in zip(self._devices, self._of_gpu, strict=True):
                torch.cuda.set_rng_state(state, device)
            yield


@contextmanager
def _statistics_wait(model: nn.Module) -> Iterator[None]:
    """Batch norms compute as they do in training, but leave their running statistics alone."""
    norms = [module for module in model.modules() if isinstance(module, _NormBase) and module.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
