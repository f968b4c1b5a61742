"""Two ranks with half a batch each learn what one process learns from the whole."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from enhance import ranks
from enhance.settings.schema import ModelSettings, NormSettings, Settings
from enhance.training.learner import Learner
from enhance.training.meter import Meter
from tests.norm.ranks import on_two_ranks

BATCH = 8
CASES = {
    "gn": Settings(norm=NormSettings(name="gn")),
    "sync_bn": Settings(norm=NormSettings(name="sync_bn")),
    "accumulate": Settings(norm=NormSettings(name="gn"), batch_size=4, accumulate=2),
    "plain": Settings(norm=NormSettings(name="sync_bn"), model=ModelSettings(exposure=False, brightened=False)),
}


def make_learner(settings: Settings, early_steps: int | None = None) -> Learner:
    settings.model.width, settings.model.depth = 8, 1
    settings.precision = "fp32"
    learner = Learner(settings, torch.device("cpu"), torch.float32, 10, early_steps)
    output = learner.model.network.unet.output  # zero before training: nothing before it would learn
    torch.nn.init.normal_(output.weight, std=0.05)
    return learner


def batches(settings: Settings) -> list[Tensor]:
    """This rank's part of each batch."""
    draw = torch.Generator().manual_seed(0)
    size, share = settings.batch_size, settings.batch_size // ranks.world_size()
    own = slice(ranks.rank() * share, (ranks.rank() + 1) * share)
    images = torch.randint(0, 256, (settings.accumulate, 2, size, 3, 32, 32), generator=draw, dtype=torch.uint8)
    return [torch.stack((low[own] // 5, normal[own])) for low, normal in images]


def learn(settings: Settings) -> list[Tensor]:
    """The loss of a step, its gradients, and the weights after it."""
    learner, meter = make_learner(settings), Meter()
    gradients: list[Tensor] = []

    def note(*_: Any) -> None:
        gradients.extend(parameter.grad.clone() for parameter in learner.model.parameters())

    learner.optimizer.register_step_pre_hook(note)
    learner.advance(iter(batches(settings)), meter, run_hooks=False)
    return [torch.tensor(meter.read()["train/loss"]), *gradients, *learner.model.parameters()]


def learn_case(case: str, _: int) -> list[Tensor]:
    return learn(CASES[case])


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients_are_those_of_one_process(case: str, tmp_path: Path) -> None:
    first, second = on_two_ranks(partial(learn_case, case), tmp_path)
    wanted = learn(CASES[case])
    parameters = (len(wanted) - 1) // 2
    for index, (one, other, value) in enumerate(zip(first, second, wanted, strict=True)):
        assert torch.equal(one, other)
        if index <= parameters:
            assert torch.allclose(one, value, rtol=0, atol=1e-5 * max(1.0, value.abs().max().item())), index


def learn_three_steps(_: int) -> list[Tensor]:
    """Weights after each of three steps, of which the exposure network learns in the first; number of its weights."""
    settings = CASES["sync_bn"]
    learner, meter, weights = make_learner(settings, early_steps=1), Meter(), []
    for _ in range(3):
        learner.advance(iter(batches(settings)), meter, run_hooks=False)
        weights.append(torch.cat([each.detach().flatten() for each in learner.model.parameters()]))
    return [*weights, torch.tensor(sum(each.numel() for each in learner.model.early_parameters()))]


def test_the_exposure_network_stops_learning_on_all_ranks(tmp_path: Path) -> None:
    first, second = on_two_ranks(learn_three_steps, tmp_path)
    for one, other, value in zip(first, second, learn_three_steps(0), strict=True):
        assert torch.equal(one, other)
        assert torch.allclose(one, value, rtol=0, atol=2e-3)  # Adam's first steps follow the sign of a gradient
    *weights, last = first
    size = int(last)  # its weights come last
    assert size > 0
    assert torch.equal(weights[0][-size:], weights[2][-size:])
    assert not torch.equal(weights[0][:-size], weights[2][:-size])


def with_a_broken_rank(rank: int) -> list[Tensor]:
    settings = CASES["gn"]
    learner = make_learner(settings)
    broken = learner.model.network.unet.output.bias
    others = [parameter for parameter in learner.model.parameters() if parameter is not broken]
    before = [parameter.detach().clone() for parameter in others]
    if rank == 1:
        with torch.no_grad():
            broken.fill_(torch.nan)
    learner.advance(iter(batches(settings)), Meter(), run_hooks=True)
    unchanged = [torch.equal(*pair) for pair in zip(before, others, strict=True)]
    return [torch.tensor(unchanged), torch.tensor(learner.skipped.read(1))]


def test_a_loss_that_is_not_finite_on_one_rank_is_a_skipped_step_on_all(tmp_path: Path) -> None:
    for unchanged, skipped in on_two_ranks(with_a_broken_rank, tmp_path):
        assert unchanged.all()
        assert skipped.tolist() == [1]
