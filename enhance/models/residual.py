"""A U-Net on photographs: it works at reduced resolution, and computes what is added to the photograph."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance.models.brightness import factor_to
from enhance.models.unet import UNet

SMALLEST_SIDE = 16  # pixels; reflection pads up to 32 and cannot be wider than the image
_BRIGHTENED = 0.45  # mean grey value, about that of normal-light photographs
_MOST_GAIN = 450.0  # to that value: met by a mean below 0.001, a quarter of a step of 8 bits
_BRIGHTEST = 3.0  # what lamps and skies in a brightened image are clamped to


class ResidualUNet(nn.Module):
    """(N, C, H, W) in [0, 1] -> (N, C, H, W), not clamped; H, W >= 16.

    Pixel-unshuffle (Shi et al. 2016, arXiv 1609.05158) moves a square of pixels into channels, so that the U-Net works
    at 1/unshuffle of the resolution. Sides that it cannot halve are padded by reflection, and the result is cropped.

    Args:
        unet: builds the U-Net for these numbers of channels, C_in and C_out.
        unshuffle: side of that square, in pixels.
        brightened: the U-Net also sees the image at one overall brightness. So it knows how dark a place is for its
            image, which a norm with the image's own statistics shows it in every layer, and batch norm in none.
        channels: C of the images.
    """

    def __init__(self, unet: Callable[[int, int], UNet], unshuffle: int, brightened: bool, channels: int = 3) -> None:
        super().__init__()
        views = 2 if brightened else 1
        self.channels = channels
        self.brightened = brightened
        self.unshuffle = nn.PixelUnshuffle(unshuffle)
        self.unet = unet(channels * views * unshuffle**2, channels * unshuffle**2)
        self.shuffle = nn.PixelShuffle(unshuffle)
        self.multiple = unshuffle * self.unet.multiple
        self.reach = unshuffle * (self.unet.reach + 1)  # pixels, as `UNet.reach`: a position is a square of them

    def forward(self, image: Tensor, gain: Tensor | None = None) -> Tensor:
        gain = self.gain(image) if gain is None else gain
        height, width = image.shape[-2:]
        sides = reflected_sides(height, width, self.multiple)
        enhanced = self.enhance_part(F.pad(image, sides, mode="reflect"), gain)
        if torch.compiler.is_exporting() and isinstance(height, int):  # of one size: OpenCV 4 knows no negative padding
            return enhanced[..., sides[2] : sides[2] + height, sides[0] : sides[0] + width]
        return F.pad(enhanced, [-side for side in sides])  # a slice would bind torch.export to one kind of size

    def gain(self, image: Tensor) -> Tensor | None:
        """What brings the whole image (N, C, H, W) to the one brightness: (N, 1, 1, 1); None where nothing does."""
        return factor_to(image, _BRIGHTENED, _MOST_GAIN) if self.brightened else None

    def enhance_part(self, part: Tensor, gain: Tensor | None) -> Tensor:
        """The enhanced part of an image, whose `gain` as a whole is `gain`: (N, C, H, W) -> (N, C, H, W), multiples of
        `multiple`."""
        seen = part if gain is None else torch.cat((part, (part * gain).clamp(max=_BRIGHTEST)), dim=1)
        return part + self.shuffle(self.unet(self.unshuffle(seen)))


def reflected_sides(height: int, width: int, multiple: int) -> list[int]:
    """Pixels to reflect at the left, right, top and bottom, so that both sides become multiples of `multiple`.

    >>> reflected_sides(30, 33, 16)
    [7, 8, 1, 1]
    """
    bottom, right = -height % multiple, -width % multiple
    # Both sides of an axis share its padding: reflection cannot be wider than the image.
    return [right // 2, right - right // 2, bottom // 2, bottom - bottom // 2]
