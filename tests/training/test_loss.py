"""The loss of a training step under torch.compile, of the U-Net that `model=` sets."""

import pytest
import torch

from enhance.models.build import build_model
from enhance.settings.schema import ModelSettings, NormSettings, ObjectiveSettings
from enhance.training.loss import compiled, training_loss
from enhance.training.objective import Objective

CPU = torch.device("cpu")


@pytest.mark.slow
def test_compiled_in_bfloat16_it_is_the_same() -> None:
    """Of two networks side by side: one of them once read memory before it was written."""
    torch.manual_seed(0)
    model = build_model(ModelSettings(), NormSettings("bn"))
    model = model.to(memory_format=torch.channels_last)
    normal = torch.rand(8, 3, 64, 64).to(memory_format=torch.channels_last)
    eager = training_loss(model, Objective(ObjectiveSettings()), CPU, torch.bfloat16)
    results = {}
    for name, loss in (("eager", eager), ("compiled", compiled(eager, CPU))):
        model.zero_grad()
        value, _ = loss(normal**2 / 5, normal)
        value.backward()
        results[name] = [value.detach(), *(each.grad for each in model.parameters() if each.grad is not None)]
    assert len(results["eager"]) == len(results["compiled"])
    torch.testing.assert_close(results["compiled"][0], results["eager"][0], rtol=1e-3, atol=0)
    for one, other in zip(results["compiled"], results["eager"], strict=True):
        assert one.isfinite().all()
        assert (one - other).norm() <= 0.1 * other.norm() + 1e-3
