"""Learning rate, length of the run, optimizer."""

import pytest
import torch
from torch import nn

from enhance.models.build import build_model
from enhance.settings.schema import (
    DataSettings,
    ModelSettings,
    NormSettings,
    OptimizerSettings,
    ScheduleSettings,
    Settings,
)
from enhance.training.schedule import build_optimizer, exposure_steps, learning_rate, total_steps


def rates(schedule: ScheduleSettings, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "early": False}], lr=0.1)
    scheduler = learning_rate(optimizer, schedule, steps, steps)
    values = []
    for _ in range(steps):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return [*values, optimizer.param_groups[0]["lr"]]


def test_rises_to_the_peak_then_falls_to_the_floor() -> None:
    values = rates(ScheduleSettings(warmup=0.1, floor=0.05), 100)
    peak = values.index(max(values))
    assert peak == 10
    assert values[peak] == pytest.approx(0.1)
    assert values[:peak] == sorted(values[:peak])
    assert values[peak:] == sorted(values[peak:], reverse=True)
    assert values[0] > 0
    assert values[-1] == pytest.approx(0.005)


def test_length_from_steps_or_epochs() -> None:
    assert total_steps(ScheduleSettings(steps=7), num_images=100, images_per_step=8) == 7
    assert total_steps(ScheduleSettings(steps=None, epochs=2), num_images=100, images_per_step=8) == 25
    assert total_steps(ScheduleSettings(steps=None, epochs=0.01), num_images=10, images_per_step=8) == 1


@pytest.mark.parametrize(
    ("epochs", "num_images", "steps", "wanted"),
    [
        (40, 393, 12000, 2000),  # 16000 crops of few photographs
        (40, 393, 1500, 1500),
        (40, 1000, 12000, 5000),  # 40 passes over many
        (2, 393, 12000, 2000),
        (1e9, 393, 12000, 12000),
        (None, 393, 12000, 12000),
    ],
)
def test_how_long_the_exposure_network_learns(epochs: float | None, num_images: int, steps: int, wanted: int) -> None:
    settings = Settings(data=DataSettings(exposure_epochs=epochs), batch_size=8)
    assert exposure_steps(settings, num_images, steps) == wanted


def test_the_exposure_network_has_a_cosine_of_its_own() -> None:
    model = build_model(ModelSettings(width=4, depth=1), NormSettings("none"))
    optimizer = build_optimizer(model, OptimizerSettings())
    scheduler = learning_rate(optimizer, ScheduleSettings(floor=0.1), steps=100, early_steps=40)
    rates: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(101):
        for group in optimizer.param_groups:
            rates[group["early"]].append(group["lr"])
        optimizer.step()
        scheduler.step()
    assert min(rates[True]) == pytest.approx(1e-4) == pytest.approx(rates[True][2 * 40])
    assert rates[False][2 * 40] > 5e-4
    early = {id(each) for group in optimizer.param_groups if group["early"] for each in group["params"]}
    assert early == {id(each) for each in model.early_parameters()}
    assert early
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))


def test_vectors_do_not_decay() -> None:
    model = build_model(ModelSettings(width=4, depth=1), NormSettings("bn"))
    optimizer = build_optimizer(model, OptimizerSettings(lr=0.1, weight_decay=0.5), images_per_step=8)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = [parameter.clone() for parameter in model.parameters()]
    optimizer.step()
    for old, new in zip(before, model.parameters(), strict=True):
        torch.testing.assert_close(new, old * 0.95 if new.dim() > 1 else old)


@pytest.mark.parametrize(("scaling", "lr"), [("none", 0.1), ("sqrt", 0.2), ("linear", 0.4)])
def test_the_rate_follows_the_batch(scaling: str, lr: float) -> None:
    settings = OptimizerSettings(lr=0.1, lr_scaling=scaling)
    model = build_model(ModelSettings(width=4, depth=1), NormSettings("bn"))
    assert build_optimizer(model, settings, images_per_step=32).param_groups[0]["lr"] == pytest.approx(lr)
    assert build_optimizer(model, settings, images_per_step=8).param_groups[0]["lr"] == pytest.approx(0.1)
