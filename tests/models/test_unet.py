"""The U-Net as a user meets it: any size, every setting, the same start under every norm."""

import pytest
import torch
from torch import nn

from enhance.models.brightness import mean_grey
from enhance.models.unet import UNet, build_unet, count_gflops, count_parameters
from enhance.norm.registry import NORMS
from enhance.settings import ModelSettings, NormSettings
from enhance.settings.checks import ACTIVATIONS


def random_output(model: UNet) -> UNet:
    """The output convolution starts at zero, which would hide everything before it."""
    nn.init.normal_(model.output.weight, std=0.1)
    return model


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (64, 40), (97, 130)])
@pytest.mark.parametrize(("unshuffle", "depth"), [(1, 1), (2, 3), (2, 4), (4, 3)])
def test_every_size_from_16_px_passes(size: tuple[int, int], unshuffle: int, depth: int) -> None:
    model = random_output(UNet(nn.BatchNorm2d, width=4, depth=depth, unshuffle=unshuffle)).eval()
    image = torch.rand(1, 3, *size)
    output = model(image)
    assert output.shape == image.shape
    assert output.isfinite().all()


def test_padding_does_not_touch_images_that_need_none() -> None:
    model = random_output(UNet(nn.BatchNorm2d, width=4, depth=2)).eval()
    image = torch.rand(1, 3, 32, 48)
    torch.testing.assert_close(model(image), image + model.residual(image, None))


def test_untrained_model_is_the_identity() -> None:
    image = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(build_unet(ModelSettings(width=8), NormSettings()).eval()(image), image)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("down", ["max_pool", "strided"])
def test_every_setting_gives_gradients_to_every_parameter(activation: str, down: str) -> None:
    model = random_output(
        build_unet(ModelSettings(width=8, depth=2, activation=activation, down=down), NormSettings("gn"))
    )
    (model(torch.rand(2, 3, 32, 32)) * torch.randn(2, 3, 32, 32)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_seed_gives_the_same_convolutions_under_every_norm() -> None:
    def weights(norm: str) -> list[torch.Tensor]:
        torch.manual_seed(3)
        model = build_unet(ModelSettings(width=8, depth=2), NormSettings(norm))
        return [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]

    for norm in NORMS:
        for ours, reference in zip(weights(norm), weights("bn"), strict=True):
            torch.testing.assert_close(ours, reference, rtol=0, atol=0)


def test_entry_and_output_carry_no_norm() -> None:
    """A photograph that is brighter all over comes out other than the dark one: its own brightness gets through."""
    model = random_output(build_unet(ModelSettings(width=8, depth=1), NormSettings("in"))).eval()
    assert not any(isinstance(module, tuple(set(NORMS.values()) - {nn.Identity})) for module in model.entry)
    flat = torch.full((1, 3, 32, 32), 0.1)
    assert not torch.allclose(model(flat) - flat, model(2 * flat) - 2 * flat)


def test_counts() -> None:
    model = UNet(lambda _: nn.Identity(), width=4, depth=1, unshuffle=2)
    assert count_parameters(model) == sum(p.numel() for p in model.parameters())
    plain = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1))
    assert count_gflops(plain, 10, 20) == pytest.approx(2 * 10 * 20 * 3 * 5 * 9 / 1e9)
    assert plain.training


def test_compiles_and_exports_whole() -> None:
    model = random_output(build_unet(ModelSettings(width=4, depth=1), NormSettings("bn")))
    image = torch.rand(2, 3, 32, 32)
    expected = model.eval()(image)
    exported = torch.export.export(model, (image,)).module()
    torch.testing.assert_close(exported(image), expected)
    compiled = torch.compile(model.train(), fullgraph=True, backend="aot_eager")
    compiled(image).square().sum().backward()
    assert model.output.weight.grad is not None


def test_context_leaves_the_start_as_it_is() -> None:
    image = torch.rand(2, 3, 32, 32)
    outputs = []
    for context in (False, True):
        torch.manual_seed(0)
        model = build_unet(ModelSettings(width=8, depth=2, context=context), NormSettings())
        torch.manual_seed(1)
        outputs.append(random_output(model)(image))
    assert torch.equal(*outputs)


def test_exposure_sets_the_brightness_and_nothing_else() -> None:
    models = []
    for exposure in (False, True):
        torch.manual_seed(0)
        models.append(build_unet(ModelSettings(width=8, depth=2, exposure=exposure), NormSettings("in")))
    without, model = (random_output(each).eval() for each in models)
    model.load_state_dict(without.state_dict(), strict=False)  # `random_output` draws
    assert model.exposure is not None
    nn.init.constant_(model.exposure.output.bias, 0.2)
    image = 0.5 * torch.rand(2, 3, 40, 56)
    output, detail = model(image), without(image).clamp(0, 1)
    torch.testing.assert_close(mean_grey(output), mean_grey(image) + 0.2)
    torch.testing.assert_close(output / mean_grey(output), detail / mean_grey(detail))


def test_the_brightened_image_is_the_same_at_every_brightness() -> None:
    model = random_output(build_unet(ModelSettings(width=8, depth=2, brightened=True), NormSettings())).eval()
    image = 0.4 * torch.rand(2, 3, 40, 56)

    def added(seen: torch.Tensor) -> torch.Tensor:
        return model(seen) - seen

    assert not torch.allclose(added(image), added(image / 2))
    nn.init.zeros_(model.entry[0].weight[:, :12])  # of the image itself, unshuffled
    torch.testing.assert_close(added(image), added(image / 2))
    black = torch.zeros(1, 3, 32, 32)
    assert added(black).isfinite().all()


def test_first_weights_are_the_same_with_an_exposure_and_without() -> None:
    states = []
    for exposure in (False, True):
        torch.manual_seed(0)
        states.append(build_unet(ModelSettings(exposure=exposure), NormSettings()).state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    assert len(states[1]) > len(states[0])


@pytest.mark.parametrize("context", [False, True])
def test_context_reaches_across_the_whole_image(context: bool) -> None:
    model = random_output(build_unet(ModelSettings(width=4, depth=1, context=context), NormSettings())).eval()
    for block in model.contexts:
        if context:
            nn.init.normal_(block.expand.weight)
    dark = torch.rand(1, 3, 128, 128) / 8
    bright_corner = dark.clone()
    bright_corner[..., :16, :16] = 1.0
    far = (..., slice(112, 128), slice(112, 128))
    assert torch.equal(model(dark)[far], model(bright_corner)[far]) != context


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
    model = build_unet(ModelSettings(width=32, depth=1, init=init, init_scale=scale), NormSettings(name="none"))
    weight = model.first[0][0].weight  # 32 to 32 channels, 3x3
    assert weight.std().item() == pytest.approx(std, rel=0.05)
    assert not model.output.weight.any()
