"""The moving average of weights: its arithmetic, and that it goes on from its state."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vlsearch.train.ema import Ema


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


def move(net: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    net(torch.rand(2, 3, 4, 4, generator=generator))


def test_the_average_is_that_of_the_formula() -> None:
    net = model()
    ema = Ema(net, decay=0.3)
    expected = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for step in range(6):
        move(net, step)
        ema.update(net, step)
        decay = min(0.3, (1 + step) / (10 + step))
        for name, tensor in net.state_dict().items():
            floats = tensor.is_floating_point()
            expected[name] = decay * expected[name] + (1 - decay) * tensor if floats else tensor.clone()
    own = net[0].weight.clone()  # type: ignore[index, operator, union-attr]
    ema.copy_to(net)
    torch.testing.assert_close(dict(net.state_dict()), expected)
    assert not torch.allclose(net[0].weight, own)  # type: ignore[index, arg-type]
    assert net[1].num_batches_tracked == 6  # type: ignore[index]


def test_the_average_is_not_the_model() -> None:
    net = model()
    ema = Ema(net, decay=0.9)
    first = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    move(net, 0)
    ema.copy_to(net)
    torch.testing.assert_close(dict(net.state_dict()), first, rtol=0, atol=0)


def test_a_loaded_state_goes_on_exactly() -> None:
    net = model()
    ema = Ema(net, decay=0.9)
    move(net, 0)
    ema.update(net, 0)
    other = Ema(model(), decay=0.9)
    other.load_state_dict({name: tensor.clone() for name, tensor in ema.state_dict().items()})
    move(net, 1)
    ema.update(net, 1)
    other.update(net, 1)
    torch.testing.assert_close(ema.state_dict(), other.state_dict(), rtol=0, atol=0)


def test_a_state_of_another_model_is_refused() -> None:
    with pytest.raises(KeyError):
        Ema(model(), 0.9).load_state_dict({})
