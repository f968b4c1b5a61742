"""The plain U-Net."""

import pytest
import torch
from torch import nn

from enhance.models.unet import UNet


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_sides_stay_and_channels_are_those_asked_for(depth: int) -> None:
    unet = UNet(nn.BatchNorm2d, 5, 7, width=4, depth=depth)
    assert unet(torch.rand(2, 5, 32, 48)).shape == (2, 7, 32, 48)


def test_as_in_the_figure_each_level_has_twice_the_channels_and_half_the_side() -> None:
    unet = UNet(nn.BatchNorm2d, 3, 3, width=4, depth=3)
    shapes: list[tuple[int, ...]] = []
    for level in (unet.first, *unet.downs, *unet.ups):
        level.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape[1:])))
    unet(torch.rand(1, 3, 32, 64))
    down = [(4, 32, 64), (8, 16, 32), (16, 8, 16), (32, 4, 8)]
    assert shapes == [*down, *reversed(down[:-1])]


@pytest.mark.parametrize("context", [False, True])
def test_context_reaches_across_the_whole_image(context: bool) -> None:
    unet = UNet(nn.BatchNorm2d, 3, 3, width=4, depth=1, context=context).eval()
    dark = torch.rand(1, 3, 64, 64) / 8
    bright_corner = dark.clone()
    bright_corner[..., :8, :8] = 1.0
    far = (..., slice(56, 64), slice(56, 64))
    assert torch.equal(unet(dark)[far], unet(bright_corner)[far]) != context
