"""One step of a learner."""

import copy

import pytest
import torch

from enhance.settings.schema import DataSettings, ModelSettings, Settings
from enhance.training.bare_steps import BareSteps
from enhance.training.learner import Learner
from enhance.training.meter import Meter


@pytest.mark.parametrize("overflows", [0, 1])
def test_a_step_in_fp16_is_skipped_for_any_of_its_batches(overflows: int) -> None:
    model = ModelSettings(width=8, depth=1)
    settings = Settings(data=DataSettings(crop=16), model=model, batch_size=2, accumulate=2, precision="fp16")
    steps = BareSteps(settings)
    learner, losses, calls = steps.learner, steps.learner.losses, []

    def overflowing(*batch: object) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        loss, parts = losses(*batch)
        calls.append(loss)
        return loss * torch.inf if len(calls) == overflows + 1 else loss, parts

    learner.losses = overflowing
    steps()
    steps()
    assert learner.skipped.read(learner.step) == [1]


def learner(early_steps: int) -> Learner:
    settings = Settings(model=ModelSettings(width=8, depth=1), batch_size=2)
    return Learner(settings, torch.device("cpu"), torch.float32, steps=6, early_steps=early_steps)


def advance(learner: Learner, steps: int) -> None:
    for _ in range(steps):
        draw = torch.Generator().manual_seed(learner.step)
        batch = torch.randint(256, (2, 2, 3, 16, 16), generator=draw, dtype=torch.uint8)
        learner.advance(iter([batch]), Meter(), run_hooks=False)


@pytest.mark.parametrize("stopped_at", [1, 2, 4])
def test_resumed_around_the_last_early_step_it_ends_in_the_same_weights(stopped_at: int) -> None:
    straight, stopped, resumed = (learner(early_steps=2) for _ in range(3))
    advance(straight, 6)
    advance(stopped, stopped_at)
    resumed.load_state_dict(copy.deepcopy(stopped.state_dict()))
    resumed.average.load(stopped.average.model.state_dict(), stopped.step)
    resumed.step = stopped.step
    advance(resumed, 6 - stopped_at)
    for one, other in ((straight.model, resumed.model), (straight.average.model, resumed.average.model)):
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
