"""A checkpoint is whole or not there, and of one architecture and one recipe."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from vlsearch.errors import ModelError, UsageError, VlsearchError
from vlsearch.train import checkpoint

RECIPE = {"method": "negclip", "rate": 0.1, "freeze": ("image:2",), "sizes": ((0.5, 64),), "teacher": None}


def state(step: int = 3, width: int = 40) -> dict[str, Any]:
    torch.manual_seed(0)
    model = torch.nn.Linear(width, 50)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(2, width)).sum().backward()
    optimizer.step()
    return {
        "step": step,
        "model": model.state_dict(),
        "ema": {},
        "optimizers": [optimizer.state_dict()],
        "losses": [(step, 0.5)],
        "recipe": RECIPE,
    }


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """The system refuses to write more than `size` bytes into a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path) is None
    (tmp_path / "checkpoint.part").write_bytes(b"left by a run that was killed")
    wanted = state()
    checkpoint.save(tmp_path, wanted)
    again = checkpoint.load(tmp_path)
    assert again is not None
    checkpoint.require_same(again, wanted["model"], RECIPE, tmp_path)
    for part in ("model", "optimizers"):
        torch.testing.assert_close(again.pop(part), wanted.pop(part), rtol=0, atol=0)
    assert again == wanted
    assert names(tmp_path) == [checkpoint.FILE]


@pytest.mark.parametrize("size", [0, 100, 20_000])
def test_a_full_disk_leaves_the_checkpoint_that_was_there(size: int, tmp_path: Path) -> None:
    with files_up_to(size), pytest.raises(VlsearchError, match=r"step 3 .*there is none yet; make room"):
        checkpoint.save(tmp_path, state())
    assert names(tmp_path) == []
    checkpoint.save(tmp_path, state())
    with files_up_to(size), pytest.raises(VlsearchError) as raised:
        checkpoint.save(tmp_path, state(step=1004))
    assert str(raised.value) == (
        f"cannot write a checkpoint of step 1,004 to {tmp_path}: File too large; "
        f"{tmp_path / checkpoint.FILE} of an earlier step is kept; make room, and the same command goes on from there"
    )
    assert raised.value.exit_code == 1
    assert names(tmp_path) == [checkpoint.FILE]
    again = checkpoint.load(tmp_path)
    assert again is not None
    assert again["step"] == 3


def test_a_disk_that_turns_out_to_be_full_late_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    checkpoint.save(tmp_path, state())
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(VlsearchError, match=r"step 4 to .*: No space left on device"):
        checkpoint.save(tmp_path, state(step=4))
    assert names(tmp_path) == [checkpoint.FILE]
    again = checkpoint.load(tmp_path)
    assert again is not None
    assert again["step"] == 3


@pytest.mark.parametrize("kept", [0, 10, 5_000, -1])
def test_a_file_that_was_cut_is_damaged(kept: int, tmp_path: Path) -> None:
    checkpoint.save(tmp_path, state())
    file = tmp_path / checkpoint.FILE
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(
        ModelError, match=r"checkpoint\.pt is damaged \(\w+\); delete it to begin anew, or give another"
    ):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("content", [{"model": {"weight": torch.zeros(2)}}, [1, 2], torch.zeros(2)])
def test_a_file_of_something_else_is_no_checkpoint(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / checkpoint.FILE)
    with pytest.raises(ModelError, match=r"checkpoint\.pt is no checkpoint of a training run; delete it to begin anew"):
        checkpoint.load(tmp_path)


def test_a_file_that_runs_code_is_refused(tmp_path: Path) -> None:
    torch.save({**state(), "recipe": Path("a")}, tmp_path / checkpoint.FILE)
    with pytest.raises(ModelError, match=r"damaged \(UnpicklingError\)"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"weight": torch.zeros(50, 41), "bias": torch.zeros(50)}, "weight is 50 × 40, in this model 50 × 41"),
        ({"weight": torch.zeros(50, 40)}, "it has bias, which this model has not"),
        ({**state()["model"], "scale": torch.zeros(())}, "it has no scale, which this model has"),
        ({"weight": torch.zeros(50, 40), "bias": torch.zeros(())}, "bias is 50, in this model a number"),
    ],
)
def test_another_architecture_is_refused(weights: dict[str, torch.Tensor], said: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as raised:
        checkpoint.require_same(state(), weights, RECIPE, tmp_path)
    file = tmp_path / checkpoint.FILE
    assert str(raised.value) == f"{file} is of another architecture: {said}; give another --out"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rate": 0.2}, "rate 0.1, now 0.2"),
        ({"teacher": "builtin"}, "teacher None, now builtin"),
        ({"lora": 4}, "lora None, now 4"),
        ({"freeze": ()}, r"freeze \('image:2',\), now \(\)"),
    ],
)
def test_another_recipe_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"with other settings \({said}\); repeat those, or give another --out"):
        checkpoint.require_same(state(), state()["model"], RECIPE | changes, tmp_path)
