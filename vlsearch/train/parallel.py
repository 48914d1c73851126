"""Several processes that train one model: who they are, whose rows are whose, what they exchange.

Started by torchrun, or by anything that sets its variables RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT.
Every process plans the whole batch and embeds its own rows; embeddings are gathered, gradients summed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from vlsearch.errors import UsageError, VlsearchError

TIMEOUT = timedelta(minutes=30)
"""that a process waits for the others before it gives up. What one of them does alone, measuring say, has to take less;
one that ends is noticed at once, by gloo or by torchrun."""

CPU = torch.device("cpu")


@dataclass(frozen=True)
class World:
    """All processes, seen from one of them; by default there is no other.

    Everything but `slice` and `share` waits until every process has called it, and raises VlsearchError where one has
    ended.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @classmethod
    def from_environment(cls, device: str | None = None) -> World:
        """The world that torchrun says this process is in, of size 1 without torchrun; `close` it in the end.

        device: "cpu" or "cuda", by default "cuda" where there is a GPU; a process takes the GPU of its LOCAL_RANK.
        UsageError for an environment that makes no sense, VlsearchError where the others do not come.
        """
        size, rank, local = _number("WORLD_SIZE", 1), _number("RANK", 0), _number("LOCAL_RANK", 0)
        if not 0 <= rank < size:
            raise UsageError(f"RANK is {rank} but WORLD_SIZE is {size}; start with torchrun, which sets both")
        kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
        own = torch.device(kind, local) if kind == "cuda" else torch.device(kind)
        if kind == "cuda":
            if local >= torch.cuda.device_count():
                raise UsageError(
                    f"process {local} of this machine has no GPU, there are {torch.cuda.device_count()}; "
                    "give torchrun as many --nproc-per-node, or fewer"
                )
            torch.cuda.set_device(own)
        world = cls(rank, size, own)
        if size > 1:
            if missing := [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
                raise UsageError(
                    f"WORLD_SIZE is {size} but {missing[0]} is not set; start with torchrun, which sets it"
                )
            nccl = kind == "cuda" and dist.is_nccl_available()
            with world._others_answer():
                dist.init_process_group(
                    "nccl" if nccl else "gloo",
                    rank=rank,
                    world_size=size,
                    timeout=TIMEOUT,
                    device_id=own if nccl else None,
                )
        return world

    def slice(self, n: int) -> slice:
        """Which of n rows are this process's; UsageError where there are fewer rows than processes."""
        if n < self.size:
            raise UsageError(f"a batch of {n:,} cannot be shared by {self.size} processes; give a larger --batch")
        each, further = divmod(n, self.size)
        first = self.rank * each + min(self.rank, further)
        return slice(first, first + each + (self.rank < further))

    def share(self, rows: Tensor) -> Tensor:
        """This process's rows of those of the whole batch."""
        return rows[self.slice(len(rows))]

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of the whole batch, of which every process gives its share; detached from the graph."""
        rows = rows.detach()
        if self.size == 1:
            return rows
        with self._others_answer():
            counts = torch.zeros(self.size, dtype=torch.int64, device=rows.device)
            counts[self.rank] = len(rows)
            dist.all_reduce(counts)
            longest = int(counts.max())
            # Collectives want shares of one length.
            own = torch.cat([rows, rows.new_zeros(longest - len(rows), *rows.shape[1:])])
            padded = [torch.empty_like(own) for _ in range(self.size)]
            dist.all_gather(padded, own)
        return torch.cat([part[:count] for part, count in zip(padded, counts.tolist(), strict=True)])

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Give each parameter the sum of its gradients in all processes, none where no process has one.

        Every process gives the same parameters in the same order.
        """
        if self.size == 1:
            return
        parameters = [p for p in parameters if p.requires_grad]
        with self._others_answer():
            has = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32, device=self.device)
            dist.all_reduce(has, dist.ReduceOp.MAX)
            by_dtype: dict[torch.dtype, list[torch.nn.Parameter]] = {}
            for p, somewhere in zip(parameters, has.tolist(), strict=True):
                if somewhere:
                    by_dtype.setdefault(p.dtype, []).append(p)
            for members in by_dtype.values():
                grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in members]
                flat = torch.cat([grad.reshape(-1) for grad in grads])
                dist.all_reduce(flat)
                for p, summed in zip(members, torch.split(flat, [p.numel() for p in members]), strict=True):
                    # In the order of the weights in memory: fused AdamW walks both as they lie there.
                    p.grad = torch.empty_like(p).copy_(summed.view_as(p))

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process."""
        if self.size == 1:
            return flag
        with self._others_answer():
            flags = torch.tensor(int(flag), device=self.device)
            dist.all_reduce(flags, dist.ReduceOp.MAX)
        return bool(flags)

    def barrier(self) -> None:
        """Wait for the others; at most for TIMEOUT."""
        self.any(False)

    def close(self) -> None:
        """Leave. The others need not be there."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    @contextmanager
    def _others_answer(self) -> Iterator[None]:
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise VlsearchError(
                f"process {self.rank} of {self.size} cannot reach the others ({str(error).strip().splitlines()[0]}); "
                "look for what one of them says, and start all again"
            ) from error


def _number(name: str, default: int) -> int:
    value = os.environ.get(name, str(default))
    try:
        return int(value)
    except ValueError:
        raise UsageError(f"{name} is {value!r}, not a number; start with torchrun, which sets it") from None
