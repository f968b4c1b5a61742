"""The steps of a run without what is around them, for measuring: no validation, no checkpoint, no run folder."""

import torch

from enhance.cost.measure import allocated_peak
from enhance.cost.memory import MemoryPlan
from enhance.device import synchronize
from enhance.settings.schema import Settings
from enhance.training.learner import Learner
from enhance.training.meter import Meter
from enhance.training.trainer import Trainer

_STEPS = 2  # the first one makes the optimizer's state, the second one meets it


class BareSteps:
    """Steps of a new run, one a call: data, forward, backward, optimizer, ema. Raises what `Trainer` raises."""

    def __init__(self, settings: Settings) -> None:
        trainer = Trainer(settings)
        self.learner = trainer.learner
        self.batches = trainer.batches()
        self.meter = Meter()

    def __call__(self) -> None:
        """One step, to its end on the device."""
        self.learner.advance(self.batches, self.meter, run_hooks=False)
        synchronize(self.learner.device)


def measured_peak(plan: MemoryPlan) -> int:
    """Most bytes that the planned step allocates on the plan's device, in two steps on noise."""
    settings = plan.settings
    learner = Learner(settings, plan.device, plan.dtype, _STEPS)
    shape = (2, settings.batch_size, settings.model.channels, settings.data.crop, settings.data.crop)
    batches = (torch.randint(256, shape, dtype=torch.uint8) for _ in range(_STEPS * settings.accumulate))

    def steps() -> None:
        for _ in range(_STEPS):
            learner.advance(batches, Meter(), run_hooks=True)

    models = (learner.model, learner.average.model)
    before = sum(tensor.nbytes for model in models for tensor in (*model.parameters(), *model.buffers()))
    return before + allocated_peak(steps, learner.device)
