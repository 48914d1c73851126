"""A moving average of weights, which is better than the last weights of a noisy run."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Ema:
    """Exponential moving average of a model's weights and running statistics (Polyak and Juditsky 1992).

    The decay grows with the steps, min(`decay`, (1 + step) / (10 + step)), so that random first weights are soon
    forgotten. Whole numbers, which have no average, are the model's own.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._average = {name: tensor.clone() for name, tensor in _weights(model).items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after step `step`, counted from 0."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        average, current = [], []
        for name, tensor in _weights(model).items():
            if tensor.is_floating_point():
                average.append(self._average[name])
                current.append(tensor)
            else:
                self._average[name].copy_(tensor)
        torch._foreach_lerp_(average, current, weight)

    def copy_to(self, model: nn.Module) -> None:
        """Give `model` the averaged weights."""
        _copy(self._average, _weights(model))

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self._average)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state`; KeyError where it is of another model."""
        _copy(state, self._average)


def _weights(model: nn.Module) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = model.state_dict()
    return weights


@torch.no_grad()
def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    for name, tensor in target.items():
        tensor.copy_(source[name])
