"""The U-Net on photographs: any size, its reach, the brightened image beside it."""

import pytest
import torch
from torch import nn

from enhance.models.build import build_model
from enhance.models.residual import ResidualUNet
from enhance.models.unet import UNet
from enhance.settings.schema import ModelSettings, NormSettings


def network(depth: int = 2, unshuffle: int = 2, brightened: bool = False) -> ResidualUNet:
    """With layers as torch draws them: the output convolution, too."""
    torch.manual_seed(0)
    return ResidualUNet(lambda i, o: UNet(nn.BatchNorm2d, i, o, width=4, depth=depth), unshuffle, brightened).eval()


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (64, 40), (97, 130)])
@pytest.mark.parametrize(("unshuffle", "depth"), [(1, 1), (2, 3), (2, 4), (4, 3)])
def test_every_size_from_16_px_passes(size: tuple[int, int], unshuffle: int, depth: int) -> None:
    image = torch.rand(1, 3, *size)
    output = network(depth, unshuffle)(image)
    assert output.shape == image.shape
    assert output.isfinite().all()


def test_padding_does_not_touch_images_that_need_none() -> None:
    residual = network()
    image = torch.rand(1, 3, 32, 48)
    wanted = image + residual.shuffle(residual.unet(residual.unshuffle(image)))
    torch.testing.assert_close(residual(image), wanted)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("unshuffle", [1, 2])
def test_no_pixel_beyond_the_reach_matters_and_those_within_do(depth: int, unshuffle: int) -> None:
    torch.manual_seed(0)
    settings = ModelSettings(width=4, depth=depth, unshuffle=unshuffle, exposure=False, brightened=False)
    residual = build_model(settings, NormSettings("none")).network.double()
    nn.init.normal_(residual.unet.output.weight, std=0.5)
    side = (2 * residual.reach // residual.multiple + 3) * residual.multiple
    before = torch.rand(1, 3, side, side, dtype=torch.float64)
    after = before.clone()
    after[..., side // 2, side // 2] += 1
    with torch.inference_mode():
        changed = (residual(after) - residual(before)).abs().amax((0, 1)).nonzero()
    reached = (changed - side // 2).abs().max()
    assert 0.6 * residual.reach < reached <= residual.reach


def test_the_brightened_image_is_the_same_at_every_brightness() -> None:
    residual = network(brightened=True)
    image = 0.4 * torch.rand(2, 3, 40, 56)

    def added(seen: torch.Tensor) -> torch.Tensor:
        return residual(seen) - seen

    assert not torch.allclose(added(image), added(image / 2))
    nn.init.zeros_(residual.unet.entry[0].weight[:, :12])  # of the image itself, unshuffled
    torch.testing.assert_close(added(image), added(image / 2))
    black = torch.zeros(1, 3, 32, 32)
    assert added(black).isfinite().all()
