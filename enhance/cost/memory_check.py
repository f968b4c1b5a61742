"""What a real training step allocates, to hold the plan against."""

import torch
from torch import nn

from enhance.cost.measure import allocated_peak
from enhance.cost.memory import MemoryPlan
from enhance.training.learner import Learner
from enhance.training.meter import Meter

_STEPS = 2  # the first one makes the optimizer's state, the second one meets it


def measured_peak(plan: MemoryPlan) -> int:
    """Most bytes that the planned step allocates on the plan's device, in two steps on noise.

    Raises:
        UserError: from the step.
    """
    settings = plan.settings
    learner = Learner(settings, plan.device, plan.dtype, _STEPS)
    shape = (2, settings.batch_size, 3, settings.data.crop, settings.data.crop)
    batches = (torch.randint(256, shape, dtype=torch.uint8) for _ in range(_STEPS * settings.accumulate))

    def steps() -> None:
        for _ in range(_STEPS):
            learner.advance(batches, Meter(), watched=True)

    held = _bytes(learner.model) + _bytes(learner.average.model)
    return held + allocated_peak(steps, learner.device)


def _bytes(model: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
