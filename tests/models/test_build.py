"""Models as settings describe them: every setting, the same start under every norm, and old names of weights."""

import pytest
import torch
from torch import nn

from enhance.models.build import build_model, count_gflops, count_parameters, upgrade_state
from enhance.models.model import ExposureModel
from enhance.models.residual import ResidualUNet
from enhance.models.unet import UNet
from enhance.norm.recalibrate import running_statistics
from enhance.norm.registry import NORMS
from enhance.settings.schema import Activation, ModelSettings, NormSettings
from tests.models.conftest import random_output


def test_untrained_network_is_the_identity() -> None:
    image = torch.rand(2, 3, 32, 32)
    model = build_model(ModelSettings(width=8), NormSettings()).eval()
    for network in model.networks():
        torch.testing.assert_close(network(image), image)


def test_the_defaults_set_the_brightness_and_a_plain_model_does_not() -> None:
    assert isinstance(build_model(ModelSettings(), NormSettings()), ExposureModel)
    plain = build_model(ModelSettings(exposure=False), NormSettings())
    assert [type(each) for each in plain.children()] == [ResidualUNet]
    low, normal = torch.rand(2, 2, 3, 32, 32)
    output, losses = random_output(plain).eval().training_output(low, normal)
    assert torch.equal(output, plain(low))
    assert (losses, plain.early_parameters()) == ({}, [])


@pytest.mark.parametrize("activation", Activation)
def test_every_setting_gives_gradients_to_every_parameter(activation: Activation) -> None:
    settings = ModelSettings(width=8, depth=2, activation=activation, exposure=False)
    model = random_output(build_model(settings, NormSettings("gn")))
    (model(torch.rand(2, 3, 32, 32)) * torch.randn(2, 3, 32, 32)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_seed_gives_the_same_convolutions_under_every_norm() -> None:
    def weights(norm: str) -> list[torch.Tensor]:
        torch.manual_seed(3)
        model = build_model(ModelSettings(width=8, depth=2), NormSettings(norm))
        return [module.weight for module in model.network.modules() if isinstance(module, nn.Conv2d)]

    for norm in NORMS:
        for ours, reference in zip(weights(norm), weights("bn"), strict=True):
            torch.testing.assert_close(ours, reference, rtol=0, atol=0)


def test_entry_and_output_carry_no_norm() -> None:
    """A photograph that is brighter all over comes out other than the dark one: its own brightness gets through."""
    settings = ModelSettings(width=8, depth=1, exposure=False, brightened=False)
    model = random_output(build_model(settings, NormSettings("in"))).eval()
    entry = model.network.unet.entry
    assert not any(isinstance(module, tuple(set(NORMS.values()) - {nn.Identity})) for module in entry)
    flat = torch.full((1, 3, 32, 32), 0.1)
    assert not torch.allclose(model(flat) - flat, model(2 * flat) - 2 * flat)


def test_counts() -> None:
    model = UNet(nn.BatchNorm2d, 3, 3, width=4, depth=1)
    assert count_parameters(model) == sum(p.numel() for p in model.parameters())
    plain = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1))
    assert count_gflops(plain, 10, 20) == pytest.approx(2 * 10 * 20 * 3 * 5 * 9 / 1e9)
    assert plain.training


@pytest.mark.parametrize("exposure", [True, False])
def test_compiles_and_exports_whole(exposure: bool) -> None:
    model = random_output(build_model(ModelSettings(width=4, depth=1, exposure=exposure), NormSettings("bn")))
    image = torch.rand(2, 3, 32, 32)
    expected = model.eval()(image)
    exported = torch.export.export(model, (image,)).module()
    torch.testing.assert_close(exported(image), expected)
    compiled = torch.compile(model.train(), fullgraph=True, backend="aot_eager")
    compiled(image).square().sum().backward()
    assert model.network.unet.output.weight.grad is not None


def test_context_leaves_the_start_as_it_is() -> None:
    image = torch.rand(2, 3, 32, 32)
    outputs = []
    for context in (False, True):
        torch.manual_seed(0)
        model = build_model(ModelSettings(width=8, depth=2, context=context), NormSettings())
        torch.manual_seed(1)
        outputs.append(random_output(model)(image))
    assert torch.equal(*outputs)


def test_first_weights_are_the_same_with_an_exposure_and_without() -> None:
    states = []
    for exposure in (False, True):
        torch.manual_seed(0)
        states.append(build_model(ModelSettings(exposure=exposure), NormSettings()).state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    assert len(states[1]) > len(states[0])


@pytest.mark.parametrize(
    ("init", "scale", "std"),
    [
        ("kaiming", 1.0, (2 / (1.04 * 9 * 32)) ** 0.5),  # gain^2 / fan_in of a LeakyReLU of slope 0.2
        ("xavier", 1.0, (2 / (2 * 9 * 32)) ** 0.5),
        ("torch", 1.0, (1 / (3 * 9 * 32)) ** 0.5),  # uniform within 1 / sqrt(fan_in)
        ("kaiming", 0.1, 0.1 * (2 / (1.04 * 9 * 32)) ** 0.5),
    ],
)
def test_first_weights_have_the_scale_that_is_asked_for(init: str, scale: float, std: float) -> None:
    torch.manual_seed(0)
    model = build_model(ModelSettings(width=32, depth=1, init=init, init_scale=scale), NormSettings(name="none"))
    unet = model.network.unet
    weight = unet.first[0][0].weight  # 32 to 32 channels, 3x3
    assert weight.std().item() == pytest.approx(std, rel=0.05)
    assert not unet.output.weight.any()


def old_name(name: str) -> str:
    """What it was when one class held all layers."""
    return name.removeprefix("network.unet.").replace("exposure.unet.", "exposure.")


@pytest.mark.parametrize("exposure", [True, False])
def test_old_checkpoints_load(exposure: bool) -> None:
    settings = ModelSettings(width=8, depth=1, context=True, exposure=exposure)
    model = build_model(settings, NormSettings("bn"))
    for state in (model.state_dict(), running_statistics(model)):
        old = {old_name(name): value for name, value in state.items()}
        assert not old.keys() & state.keys()
        assert old
        upgraded = upgrade_state(old)
        assert list(upgraded.items()) == list(state.items())
        assert upgrade_state(upgraded) == upgraded
    assert {name.partition(".")[0] for name in map(old_name, model.state_dict())} - {"exposure"} == {
        "entry",
        "first",
        "downs",
        "ups",
        "output",
        "contexts",
    }
