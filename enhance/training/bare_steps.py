"""The steps of a run without what is around them, for measuring: no validation, no checkpoint, no run folder."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from enhance.cost.measure import allocated_peak
from enhance.cost.memory import MemoryPlan
from enhance.device import synchronize
from enhance.settings import Settings
from enhance.training.learner import Learner
from enhance.training.meter import Meter
from enhance.training.trainer import Trainer

_STEPS = 2  # the first one makes the optimizer's state, the second one meets it


class BareSteps:
    """Steps of a new run, one a call: data, forward, backward, optimizer, ema.

    Raises:
        UserError: data or settings that cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        trainer = Trainer(settings)
        self.learner = trainer.learner
        self.meter = Meter()
        self._batches = trainer.batches()

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        with record_function("data"):
            return next(self._batches)

    def __call__(self) -> None:
        """One step, to its end on the device."""
        self.learner.advance(self, self.meter, run_hooks=False)
        synchronize(self.learner.device)


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
            learner.advance(batches, Meter(), run_hooks=True)

    before = _bytes(learner.model) + _bytes(learner.average.model)
    return before + allocated_peak(steps, learner.device)


def _bytes(model: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
