"""Moving average of the weights (Polyak and Juditsky 1992), the model that is validated and kept."""

from typing import cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from enhance.models.unet import UNet

Weights = tuple[Tensor, ...] | list[Tensor]


class WeightAverage:
    """Exponential moving average over the optimizer steps; `model` is the averaged one, in evaluation mode.

    The decay warms up as (1 + step) / (10 + step), so that the first random weights are soon forgotten. Buffers are
    the training model's own: averaged running statistics would belong to no weights at all.

    Args:
        model: the model in training.
        decay: largest decay; 0 makes `model` a copy of the latest weights.
    """

    def __init__(self, model: UNet, decay: float) -> None:
        self.decay = decay
        self.step = 0
        self._averaged = AveragedModel(model, multi_avg_fn=self._average)
        self.model = cast(UNet, self._averaged.module.eval())

    @torch.no_grad()
    def update(self, model: UNet, step: int) -> None:
        """Take in the weights after step number `step`, counted from 1 for the average; a new 1 starts it anew."""
        self.step = step
        self._averaged.update_parameters(model)

    def load(self, model_state: dict[str, Tensor], step: int) -> None:
        """Go on from the averaged weights after `step` steps."""
        self.model.load_state_dict(model_state)
        self._averaged.n_averaged.fill_(step)

    def _average(self, averaged: Weights, current: Weights, _: Tensor | int) -> None:
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(averaged, current, 1 - decay)
