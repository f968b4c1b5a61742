"""Exponential moving average of the weights (Polyak and Juditsky 1992): the model that is validated and saved."""

import copy

import torch
from torch import Tensor

from enhance.models.model import EnhancementModel


class WeightAverage:
    """Exponential moving average over the optimizer steps; `model` is the averaged one, in evaluation mode.

    The decay warms up as (1 + step) / (10 + step), so that the first random weights are soon forgotten. Buffers are
    the training model's own: averaged running statistics would belong to no weights at all.

    torch.optim.swa_utils.AveragedModel would wait for a CUDA device at every update, to hand it the number of updates.

    Args:
        model: the model in training.
        decay: largest decay; 0 makes `model` a copy of the latest weights.
    """

    def __init__(self, model: EnhancementModel, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval()
        self._begun = False

    @torch.no_grad()
    def update(self, model: EnhancementModel, step: int) -> None:
        """Take in the weights after step number `step`, counted from 1 for the average; a new 1 starts it anew."""
        averaged, current = tuple(self.model.parameters()), tuple(model.parameters())
        if self._begun:
            torch._foreach_lerp_(averaged, current, 1 - min(self.decay, (1 + step) / (10 + step)))
        else:
            torch._foreach_copy_(averaged, current)
        self._begun = True
        buffers, latest = list(self.model.buffers()), list(model.buffers())
        for dtype in {buffer.dtype for buffer in buffers}:  # together: alone, each copy is a call of the device
            ours, theirs = ([each for each in side if each.dtype == dtype] for side in (buffers, latest))
            torch._foreach_copy_(ours, theirs)

    def load(self, model_state: dict[str, Tensor], step: int) -> None:
        """Go on from the averaged weights after `step` steps."""
        self.model.load_state_dict(model_state)
        self._begun = step > 0
