"""The profile of a step adds up, and tells layers apart in both directions; the limit counts what the step computes."""

import json
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from enhance.cost.profile import StepProfile, bare_steps, profile_steps
from enhance.cost.rate import Limit
from enhance.settings import ModelSettings, NormSettings, Settings

CPU = torch.device("cpu")


def profiled(trace: Path, **options) -> StepProfile:
    model = ModelSettings(width=8, depth=1)
    settings = Settings(model=model, batch_size=2, precision="fp32", threads=torch.get_num_threads(), **options)
    settings.data.crop = 32
    with bare_steps(settings) as steps:
        steps()
        before = [parameter.clone() for parameter in steps.learner.model.parameters()]
        profile = profile_steps(steps, 2, trace)
        assert steps.learner.step == 3
        after = list(steps.learner.model.parameters())
        assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))
    return profile


@pytest.mark.parametrize("norm", ["bn", "none"])
def test_shares(tmp_path: Path, norm: str) -> None:
    trace = tmp_path / "step.pt.trace.json"
    profile = profiled(trace, norm=NormSettings(name=norm))
    for shares in (profile.phases, profile.kinds):
        assert sum(shares.values()) == pytest.approx(1)
    assert all(share > 0 for name, share in profile.phases.items() if name != "the rest")
    kinds = ("convolutions", "activations", "resampling", "loss", "optimizer")
    assert all(profile.kinds[name] > 0 for name in kinds)
    assert (profile.kinds["norms"] > 0) == (norm == "bn")
    events = json.loads(trace.read_text())["traceEvents"]
    assert {"step", "data wait", "forward", "aten::convolution", "Optimizer.step#AdamW.step"} <= {
        event.get("name") for event in events
    }


def test_the_backward_pass_counts_to_its_layers(tmp_path: Path) -> None:
    """It is more than half of a step, and would be of the rest if it were not matched with the forward pass.

    Of several profiles the best: a busy machine interrupts whatever runs, and the rest is of short operations."""
    profiles = [profiled(tmp_path / "trace.json").kinds for _ in range(4)]
    told = ("convolutions", "norms", "loss")
    assert min(kinds["the rest"] / sum(kinds[name] for name in told) for kinds in profiles) < 0.4


def test_the_limit_of_a_convolution() -> None:
    layer = torch.nn.Conv2d(4, 8, 3, padding=1, bias=False)
    image = torch.randn(2, 4, 16, 16, requires_grad=True)

    def task() -> None:
        layer(image).sum().backward()

    limit = Limit(task, CPU)
    assert limit.flops == 3 * (2 * 2 * 8 * 16 * 16 * 4 * 9)  # forward, gradient of the image and of the weights
    assert limit.seconds == float("inf")
    limit.measure()
    assert 0 < limit.seconds < 10
    with FlopCounterMode(display=False) as counter:
        limit.measure()  # in both layouts
    assert counter.get_total_flops() == 2 * limit.flops
