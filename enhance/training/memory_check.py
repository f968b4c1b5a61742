"""What a real training step allocates, to hold the plan against."""

import torch
from torch import nn

from enhance.device import choose_device
from enhance.measure import allocated_peak
from enhance.settings import Settings
from enhance.training.learner import Learner
from enhance.training.meter import Meter

_STEPS = 2  # the first one makes the optimizer's state, the second one meets it


def measured_peak(settings: Settings) -> int:
    """Most bytes that the trainer's step allocates on the settings' device, in two steps on noise.

    Raises:
        UserError: from the step.
    """
    learner = Learner(settings, _STEPS, choose_device(settings.device))
    shape = (settings.batch_size, 3, settings.data.crop, settings.data.crop)
    batches = (
        (torch.randint(256, shape, dtype=torch.uint8), torch.randint(256, shape, dtype=torch.uint8))
        for _ in range(_STEPS * settings.accumulate)
    )

    def steps() -> None:
        for _ in range(_STEPS):
            learner.advance(batches, Meter(), watched=True)

    held = _bytes(learner.model) + _bytes(learner.average.model)
    return held + allocated_peak(steps, learner.device)


def _bytes(model: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
