"""The gap between running and batch statistics, by hand on one layer."""

import math

import pytest
import torch
from torch import nn

from enhance.norm.batch import BatchNorm
from enhance.training.batch_norms import statistics_gap


@pytest.mark.parametrize("layer", [BatchNorm(1, momentum=0.0), nn.BatchNorm2d(1, momentum=0.0)])
def test_gap_of_a_known_batch(layer: nn.Module) -> None:
    model = nn.Sequential(layer)
    batch = torch.tensor([-1.0, 1.0, -1.0, 1.0]).view(2, 1, 2, 1) * 2 + 6  # mean 6, std 2; running mean 0, std 1
    with statistics_gap(model, enabled=True) as gaps:
        model(batch)
    assert gaps["train_gap/mean/0"] == pytest.approx(3.0, rel=1e-4)
    assert gaps["train_gap/std/0"] == pytest.approx(math.log(2), rel=1e-4)
    assert not layer._forward_pre_hooks


def test_nothing_is_watched_when_not_enabled() -> None:
    model = nn.Sequential(BatchNorm(1))
    with statistics_gap(model, enabled=False) as gaps:
        model(torch.rand(2, 1, 4, 4))
    assert gaps == {}
