"""The moving average of the weights."""

import copy

import pytest
import torch

from enhance.models.build import build_model
from enhance.models.model import EnhancementModel
from enhance.settings.schema import ModelSettings, NormSettings
from enhance.training.average import WeightAverage


@pytest.fixture
def model() -> EnhancementModel:
    return build_model(ModelSettings(width=4, depth=1), NormSettings("bn"))


def set_weights(model: EnhancementModel, value: float) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)


def weight(model: EnhancementModel) -> float:
    return model.network.unet.output.bias[0].item()


def test_decay_warms_up(model: EnhancementModel) -> None:
    average = WeightAverage(model, decay=0.9)
    expected = 0.0
    for step in range(1, 200):
        set_weights(model, float(step))
        average.update(model, step)
        decay = min(0.9, (1 + step) / (10 + step)) if step > 1 else 0.0
        expected = decay * expected + (1 - decay) * step
    assert weight(average.model) == pytest.approx(expected, rel=1e-5)


def test_decay_0_is_the_latest_model_with_its_buffers(model: EnhancementModel) -> None:
    average = WeightAverage(model, decay=0.0)
    for step in (1, 2, 3):
        set_weights(model, float(step))
        model(torch.rand(2, 3, 16, 16))
        average.update(model, step)
    for (name, ours), theirs in zip(average.model.state_dict().items(), model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name


def test_a_new_first_step_starts_the_average_anew(model: EnhancementModel) -> None:
    average = WeightAverage(model, decay=0.999)
    for step, value in [(step, 0.0) for step in range(1, 300)] + [(step, 1.0) for step in range(1, 9)]:
        set_weights(model, value)
        average.update(model, step)
    assert weight(average.model) == pytest.approx(1.0, abs=1e-3)


def test_resumed_average_goes_on(model: EnhancementModel) -> None:
    straight = WeightAverage(model, decay=0.5)
    set_weights(model, 1.0)
    straight.update(model, 1)
    resumed = WeightAverage(copy.deepcopy(model), decay=0.5)
    resumed.load(straight.model.state_dict(), step=1)
    set_weights(model, 5.0)
    straight.update(model, 2)
    resumed.update(model, 2)
    assert weight(resumed.model) == weight(straight.model)
    assert 1.0 < weight(straight.model) < 5.0
