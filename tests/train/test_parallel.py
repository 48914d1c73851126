"""Two processes have the loss and the gradients of one that has the whole batch."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vlsearch.errors import UsageError, VlsearchError
from vlsearch.train.cached import backward
from vlsearch.train.losses import contrastive
from vlsearch.train.parallel import World

N, FURTHER = 9, 4
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
SECONDS = 120
"""that two processes may take before they are ended; most of what they need is the import of torch, twice"""


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.image, self.text, self.unused = nn.Linear(6, 8), nn.Linear(5, 8), nn.Linear(2, 2)
        self.scale, self.bias = nn.Parameter(torch.tensor(1.5)), nn.Parameter(torch.tensor(-2.0))
        self.text.bias.requires_grad_(False)

    def loss(self, kind: Any) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda xi, xt: contrastive(xi, xt[:N], self.scale.exp(), kind=kind, bias=self.bias, negatives=xt[N:])

    def parts(self, world: World) -> list[tuple[Callable[[Tensor], Tensor], Tensor]]:
        draw = torch.Generator().manual_seed(1)
        photos, texts = torch.randn(N, 6, generator=draw), torch.randn(N + FURTHER, 5, generator=draw)
        return [
            (lambda x: nn.functional.normalize(torch.tanh(self.image(x)), dim=1), world.share(photos)),
            (lambda x: nn.functional.normalize(torch.tanh(self.text(x)), dim=1), world.share(texts)),
        ]


def step(world: World, kind: str, micro: int) -> dict[str, Any]:
    model = Model()
    loss = backward(model, model.parts(world), model.loss(kind), micro, world)
    return {"loss": loss, "gradients": {name: p.grad for name, p in model.named_parameters()}}


CASES = [(kind, micro) for kind in ("softmax", "sigmoid") for micro in (3, 100)]


def train(rank: int, folder: Path) -> None:
    world = World.from_environment("cpu")
    found: dict[str, Any] = {f"{kind} {micro}": step(world, kind, micro) for kind, micro in CASES}
    found["gathered"] = world.gather(world.share(torch.arange(N * 2).view(N, 2)))
    found["any"] = [world.any(rank == 1), world.any(False)]
    world.barrier()
    world.close()
    torch.save(found, folder / f"{rank}.pt")


def one_fails(rank: int, folder: Path) -> None:
    world = World.from_environment("cpu")
    world.barrier()
    if rank == 1:
        os._exit(3)
    try:
        world.gather(torch.ones(2, 2))
    except VlsearchError as error:
        (folder / "message").write_text(str(error))
    world.close()


def in_two(target: Callable[[int, Path], None], folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Their exit codes, None for one that did not end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn = multiprocessing.get_context("spawn")
    started = []
    for rank in range(2):
        for name, value in zip(VARIABLES, (rank, 2, rank, "127.0.0.1", port), strict=True):
            monkeypatch.setenv(name, str(value))
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        started.append(spawn.Process(target=target, args=(rank, folder), daemon=True))
        started[-1].start()
    try:
        for process in started:
            process.join(SECONDS)
        return [process.exitcode for process in started]
    finally:
        for process in started:
            process.kill()
            process.join()


def test_two_processes_equal_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_two(train, tmp_path, monkeypatch) == [0, 0]
    both = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for kind, micro in CASES:
        wanted = step(World(), kind, N + FURTHER)
        assert wanted["gradients"]["scale"].abs() > 1e-3
        assert wanted["gradients"]["unused.weight"] is None
        for found in both:
            torch.testing.assert_close(found[f"{kind} {micro}"], wanted, rtol=0, atol=1e-6)
        first, second = (found[f"{kind} {micro}"]["gradients"] for found in both)
        torch.testing.assert_close(first, second, rtol=0, atol=0, msg="weights of the two would drift apart")
    for found in both:
        assert found["gathered"].tolist() == [[2 * n, 2 * n + 1] for n in range(N)]
        assert found["any"] == [True, False]


def test_one_that_ends_does_not_leave_the_other_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_two(one_fails, tmp_path, monkeypatch) == [0, 3]
    message = (tmp_path / "message").read_text()
    assert message.startswith("process 0 of 2 cannot reach the others (")
    assert message.endswith("look for what one of them says, and start all again")
    assert "\n" not in message


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    world = World.from_environment("cpu")
    assert world == World(0, 1, torch.device("cpu"))
    rows = torch.arange(3.0, requires_grad=True)
    assert world.share(rows).tolist() == [0, 1, 2]
    assert world.gather(rows).tolist() == [0, 1, 2]
    assert not world.gather(rows).requires_grad
    assert world.any(True)
    assert not world.any(False)
    world.barrier()
    world.close()


@pytest.mark.parametrize("n", [3, 4, 10, 11])
def test_shares_are_those_of_tensor_split(n: int) -> None:
    rows = torch.arange(n)
    for rank, part in enumerate(rows.tensor_split(3)):
        assert World(rank, 3).share(rows).tolist() == part.tolist()
        assert rows[World(rank, 3).slice(n)].tolist() == part.tolist()


def test_a_batch_of_fewer_rows_than_processes_is_refused() -> None:
    with pytest.raises(UsageError, match="a batch of 2 cannot be shared by 3 processes; give a larger --batch"):
        World(0, 3).share(torch.ones(2))


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK is 2 but WORLD_SIZE is 2; start with torchrun"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two', not a number"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE is 2 but RANK is not set"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "WORLD_SIZE is 2 but MASTER_ADDR is not set"),
    ],
)
def test_an_environment_that_makes_no_sense_is_refused(
    environment: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=said):
        World.from_environment("cpu")
