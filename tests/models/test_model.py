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
