"""A model that exposes a photograph anew and restores it."""

import pytest
import torch
from torch import nn

from enhance.models.brightness import mean_grey
from enhance.models.build import build_model
from enhance.models.exposed import ExposedModel
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


def test_what_is_right_already_stays_and_between_it_and_dark_nothing_jumps() -> None:
    model = random_output(exposed_model()).eval()
    scene = scenes(1, 3, 64, 64)
    scene /= mean_grey(scene)
    greys = [0.2, 0.26, 0.3, 0.34, 0.36, 0.5]
    with torch.inference_mode():
        changes = [(model(grey * scene) - grey * scene).abs().mean().item() for grey in greys]
    assert changes == sorted(changes, reverse=True)
    assert changes[0] > 0.1
    assert changes[-2:] == [0, 0]


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
    normal = scenes(2, 3, 64, 64) * torch.tensor([0.5, 1]).view(2, 1, 1, 1)
    output, losses = exposed_model().training_output(0.1 * normal, normal)
    torch.testing.assert_close(mean_grey(output), mean_grey(normal), rtol=0, atol=0.03)
    assert not losses
