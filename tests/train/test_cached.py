"""A batch in pieces has the loss and the gradients of the whole."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor, nn

from vlsearch.train.cached import backward
from vlsearch.train.losses import contrastive
from vlsearch.train.parallel import World

N, FURTHER = 13, 5


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads cost such small towers more than they save."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clip() -> Any:
    torch.manual_seed(0)
    vision = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
    text = {"context_length": 12, "vocab_size": 100, "width": 32, "heads": 2, "layers": 2}
    return open_clip.CLIP(embed_dim=16, vision_cfg=vision, text_cfg=text).train()


def inputs() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    tokens = torch.randint(1, 98, (N + FURTHER, 12), generator=draw)
    tokens[:, -1] = 99
    return torch.randn(N, 3, 32, 32, generator=draw), tokens


def loss_of(model: Any, seen: list[tuple[int, int]] | None = None) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(xi: Tensor, xt: Tensor) -> Tensor:
        if seen is not None:
            seen.append((len(xi), len(xt)))
        return contrastive(xi, xt[:N], model.logit_scale.exp(), negatives=xt[N:])

    return loss


def encoders_of(model: Any) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    return (lambda x: model.encode_image(x, normalize=True)), (lambda x: model.encode_text(x, normalize=True))


def gradients(model: nn.Module) -> dict[str, Tensor | None]:
    return {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}


def whole(model: Any) -> tuple[Tensor, dict[str, Tensor | None]]:
    """One graph of the whole batch."""
    model.zero_grad()
    photos, texts = encoders_of(model)
    value = loss_of(model)(photos(inputs()[0]), texts(inputs()[1]))
    value.backward()
    return value.detach(), gradients(model)


@pytest.mark.parametrize("micro", [2, 5, 100])
def test_pieces_have_the_loss_and_gradients_of_the_whole_batch(clip: Any, micro: int) -> None:
    wanted, by = whole(clip)
    seen: list[tuple[int, int]] = []
    value = backward(clip, list(zip(encoders_of(clip), inputs(), strict=True)), loss_of(clip, seen), micro, World())
    assert not value.requires_grad
    assert seen == [(N, N + FURTHER)]
    torch.testing.assert_close(value, wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(gradients(clip), by, rtol=1e-5, atol=1e-5)
    assert clip.logit_scale.grad.abs() > 1e-3
    assert all(p.grad.abs().max() > 0 for p in clip.parameters())


def test_gradients_of_before_are_forgotten(clip: Any) -> None:
    _, by = whole(clip)
    parts = list(zip(encoders_of(clip), inputs(), strict=True))
    for _ in range(2):
        backward(clip, parts, loss_of(clip), 4, World())
    torch.testing.assert_close(gradients(clip), by, rtol=1e-5, atol=1e-5)


class Counted(nn.Module):
    """A tower whose forward passes, and rows in them, are counted."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.calls: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append(len(x))
        return nn.functional.normalize(self.layers(x), dim=1)


def pair_loss(xi: Tensor, xt: Tensor) -> Tensor:
    return contrastive(xi, xt, torch.tensor(5.0))


def towers(*layers: nn.Module) -> tuple[nn.ModuleList, list[tuple[Callable[[Tensor], Tensor], Tensor]]]:
    torch.manual_seed(2)
    model = nn.ModuleList([Counted(nn.Linear(6, 8), *copy.deepcopy(layers)) for _ in range(2)]).train()
    return model, [(model[0], torch.randn(10, 6)), (model[1], torch.randn(10, 6))]


def test_no_piece_is_embedded_more_often_than_it_must_be() -> None:
    model, parts = towers()
    backward(model, parts, pair_loss, 10, World())
    assert [tower.calls for tower in model] == [[10], [10]]
    model, parts = towers()
    model[1].requires_grad_(False)
    backward(model, parts, pair_loss, 4, World())
    assert [tower.calls for tower in model] == [[4, 3, 3, 4, 3], [4, 3, 3]]
    assert all(p.grad is None for p in model[1].parameters())


def test_dropout_drops_the_same_in_both_passes() -> None:
    """In one graph of all pieces each is embedded once, so its masks are what the loss has seen."""
    model, parts = towers(nn.Dropout(0.5), nn.Linear(8, 8))
    torch.manual_seed(7)
    value = backward(model, parts, pair_loss, 4, World())
    after = torch.rand(1)
    got = gradients(model)

    model.zero_grad()
    torch.manual_seed(7)
    rows = [torch.cat([encode(piece) for piece in x.tensor_split(3)]) for encode, x in parts]
    wanted = pair_loss(*rows)
    wanted.backward()
    torch.testing.assert_close(value, wanted.detach())
    torch.testing.assert_close(got, gradients(model), rtol=0, atol=1e-6)
    assert after == torch.rand(1), "what is drawn after the step depends on the pieces"
    torch.manual_seed(8)
    assert backward(model, parts, pair_loss, 4, World()) != value


def test_batch_norms_count_each_piece_once() -> None:
    model, parts = towers(nn.BatchNorm1d(8))
    once = copy.deepcopy(model)
    backward(model, parts, pair_loss, 4, World())
    first, second, last = parts[0][1].tensor_split(3)
    for piece in (last, first, second):
        once[0](piece)
    norm, wanted = model[0].layers[1], once[0].layers[1]
    assert norm.num_batches_tracked == wanted.num_batches_tracked == 3
    assert norm.track_running_stats
    torch.testing.assert_close(norm.running_mean, wanted.running_mean)
    assert norm.running_mean.abs().max() > 0
    evaluated = model[0].eval()(parts[0][1])
    backward(model, parts, pair_loss, 4, World())
    torch.testing.assert_close(model[0](parts[0][1]), evaluated, rtol=0, atol=0)


def test_autocast_within_the_encoders_reaches_every_weight() -> None:
    model, parts = towers()

    def in_bf16(encode: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def embed(x: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return encode(x).float()

        return embed

    exact = backward(model, parts, pair_loss, 4, World())
    by = gradients(model)
    value = backward(model, [(in_bf16(encode), x) for encode, x in parts], pair_loss, 4, World())
    assert 0 < abs(value - exact) < 0.05
    torch.testing.assert_close(gradients(model), by, rtol=0, atol=0.05)
