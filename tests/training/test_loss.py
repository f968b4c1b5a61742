"""The loss of a training step under torch.compile, of the U-Net that `model=` sets."""

import pytest
import torch

from enhance.models.unet import build_unet
from enhance.settings import ModelSettings, NormSettings, ObjectiveSettings
from enhance.training.loss import compiled, training_loss
from enhance.training.objective import Objective

CPU = torch.device("cpu")


@pytest.mark.slow
def test_compiled_in_bfloat16_it_is_the_same() -> None:
    """Of two U-Nets side by side: one of them once read memory before it was written."""
    torch.manual_seed(0)
    model = build_unet(ModelSettings(exposure=True, brightened=True), NormSettings("bn"))
    model = model.to(memory_format=torch.channels_last)
    normal = torch.rand(8, 3, 64, 64).to(memory_format=torch.channels_last)
    eager = training_loss(model, Objective(ObjectiveSettings()), CPU, torch.bfloat16)
    found = {}
    for name, loss in (("eager", eager), ("compiled", compiled(eager, CPU))):
        model.zero_grad()
        value, _ = loss(normal**2 / 5, normal)
        value.backward()
        found[name] = [value.detach(), *(each.grad for each in model.parameters() if each.grad is not None)]
    assert len(found["eager"]) == len(found["compiled"])
    torch.testing.assert_close(found["compiled"][0], found["eager"][0], rtol=1e-3, atol=0)
    for one, other in zip(found["compiled"], found["eager"], strict=True):
        assert one.isfinite().all()
        assert (one - other).norm() <= 0.1 * other.norm() + 1e-3
