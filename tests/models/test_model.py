"""The exposure network sets the brightness, learns beside the other one, and stops early."""

import torch
from torch import nn

from enhance.models.brightness import mean_grey
from enhance.models.build import build_model
from enhance.models.model import ExposureModel
from enhance.settings.schema import ModelSettings, NormSettings
from tests.models.conftest import random_output


def exposure_model() -> ExposureModel:
    torch.manual_seed(0)
    model = build_model(ModelSettings(width=8, depth=2), NormSettings("in"))
    assert isinstance(model, ExposureModel)
    nn.init.constant_(model.exposure.unet.output.bias, 0.2)
    return random_output(model).eval()


def test_it_sets_the_brightness_and_nothing_else() -> None:
    model = exposure_model()
    image = 0.5 * torch.rand(2, 3, 40, 56)
    output, detail = model(image), model.network(image).clamp(0, 1)
    torch.testing.assert_close(mean_grey(output), mean_grey(image) + 0.2)
    torch.testing.assert_close(output / mean_grey(output), detail / mean_grey(detail))


def test_black_stays_black_and_gains_are_limited() -> None:
    """Of black both networks make a little something; their ratio once was a gain of 29, and a frame of 255."""
    model = exposure_model()
    nn.init.constant_(model.network.unet.output.bias, 0.002)
    image = torch.zeros(2, 3, 48, 64)
    image[1, :, 9::24, 5::31] = 0.1  # stars
    with torch.inference_mode():
        black, stars = model(image)
        detail = model.network(image).clamp(0, 1)
        grey_of_exposure = mean_grey(model.exposure(image).clamp(0, 1))
        assert grey_of_exposure.min() > 0.15  # what both were brought to before
        assert black.eq(0).all()
        assert mean_grey(stars[None]) <= 64.01 * mean_grey(image[1:])
        assert (stars <= 8.01 * detail[1]).all()


def test_the_output_is_brightened_eightfold_at_most() -> None:
    """Of a photograph that is dark but not black, the exposure asks for more."""
    model = exposure_model()
    nn.init.zeros_(model.network.unet.output.weight)  # so that the network leaves the image as it is
    image = 0.01 + 0.01 * torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(model(image), 8 * image)
    bright = 0.1 + image
    torch.testing.assert_close(mean_grey(model(bright)), mean_grey(bright) + 0.2)


def test_the_objective_sees_the_targets_brightness_and_each_network_learns_by_its_own_loss() -> None:
    model = exposure_model()
    normal = 0.3 + 0.4 * torch.rand(2, 3, 32, 32)
    low = normal / 2
    output, losses = model.training_output(low, normal)
    scale = output / model.network(low)
    torch.testing.assert_close(scale, scale[:, :1, :1, :1].expand_as(scale))
    torch.testing.assert_close(mean_grey(model.network(low).clamp(0, 1)) * scale[:, :1, :1, :1], mean_grey(normal))
    torch.testing.assert_close(losses, {"exposure": (model.exposure(low) - normal).abs().mean()})
    early = model.early_parameters()
    others = list(model.network.parameters())
    assert not any(torch.autograd.grad(output.sum(), early, allow_unused=True, retain_graph=True))
    assert not any(torch.autograd.grad(losses["exposure"], others, allow_unused=True))


def test_early_parameters_are_the_exposures_and_come_last() -> None:
    model = exposure_model()
    early = model.early_parameters()
    assert {id(each) for each in early} == {id(each) for each in model.exposure.parameters()}
    assert [id(each) for each in list(model.parameters())[-len(early) :]] == [id(each) for each in early]
