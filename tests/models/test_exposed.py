"""A model that exposes a photograph anew and restores it."""

import pytest
import torch
from torch import nn

from enhance.models.brightness import mean_grey
from enhance.models.build import build_model
from enhance.models.exposed import ExposedModel
from enhance.models.exposure import expose, stops_to
from enhance.settings.schema import ModelSettings, NormSettings
from tests.models.conftest import random_output


def exposed_model(norm: str = "in", channels: int = 3) -> ExposedModel:
    torch.manual_seed(0)
    settings = ModelSettings(
        width=8, depth=2, channels=channels, exposure=False, brightened=False, exposed=True, context=True
    )
    model = build_model(settings, NormSettings(norm))
    assert isinstance(model, ExposedModel)
    return model


def scenes(*shape: int) -> torch.Tensor:
    """Smooth at the scale on which brightness is found."""
    return nn.functional.interpolate(torch.rand(*shape[:2], 7, 9), shape[2:], mode="bilinear")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_at_first_it_brings_photographs_to_the_usual_brightness(channels: int) -> None:
    image = scenes(2, channels, 70, 90) * torch.tensor([0.05, 0.3]).view(2, 1, 1, 1)
    with torch.inference_mode():
        output = exposed_model(channels=channels).eval()(image)
    torch.testing.assert_close(mean_grey(output).flatten(), torch.full((2,), 0.45), rtol=0, atol=0.03)


def test_the_guide_says_how_bright() -> None:
    model = exposed_model().eval()
    image = 0.1 * scenes(1, 3, 64, 64)
    with torch.inference_mode():
        before = mean_grey(model(image))
        nn.init.constant_(model.network.guide.output.bias, 1.0)  # a stop more
        torch.testing.assert_close(model(image), expose(image, stops_to(image, 0.45) + 1), rtol=0, atol=0.02)
        assert mean_grey(model(image)) > before + 0.05


def test_black_stays_black_and_gains_are_limited() -> None:
    model = random_output(exposed_model()).eval()
    nn.init.constant_(model.network.unet.output.bias, 0.1)
    image = torch.zeros(2, 3, 48, 64)
    image[1, :, 9::24, 5::31] = 0.02  # stars
    with torch.inference_mode():
        black, stars = model(image)
    assert black.eq(0).all()
    assert mean_grey(stars.clamp(0, 1)[None]) <= 64.01 * mean_grey(image[1:])


def test_training_compares_at_the_targets_brightness() -> None:
    """Whatever the guide says, which learns by a loss of its own."""
    normal = scenes(2, 3, 64, 64)
    low = 0.1 * normal
    model = exposed_model()
    outputs = []
    for bias in (0.0, -3.0):
        nn.init.constant_(model.network.guide.output.bias, bias)
        output, losses = model.training_output(low, normal)
        torch.testing.assert_close(mean_grey(output), mean_grey(normal), rtol=0, atol=0.03)
        outputs.append(output)
    torch.testing.assert_close(*outputs)
    guide = model.early_parameters()
    assert list(model.parameters())[-len(guide) :] == guide
    losses["exposure"].backward()
    assert model.network.guide.output.weight.grad is not None
    assert model.network.unet.output.weight.grad is None


def test_the_guide_learns_the_brightness_of_the_targets() -> None:
    torch.manual_seed(1)
    model = exposed_model()
    optimizer = torch.optim.Adam(model.early_parameters(), lr=1e-3)
    normal = 0.6 + 0.3 * scenes(4, 3, 64, 64)
    low = normal / 8
    for _ in range(60):
        optimizer.zero_grad()
        loss = model.training_output(low, normal)[1]["exposure"]
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        assert (mean_grey(model.eval()(low)) - mean_grey(normal)).abs().max() < 0.08  # 0.3 at first
