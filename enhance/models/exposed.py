"""A model that first exposes the photograph anew, and then restores it."""

from collections.abc import Callable

import torch
from torch import Tensor

from enhance.models.brightness import at_brightness, mean_grey
from enhance.models.exposure import expose, small_copy, stops_to
from enhance.models.model import MOST_GAIN, EnhancementModel, RunNetwork
from enhance.models.residual import ResidualUNet
from enhance.models.unet import UNet

_USUAL = 0.45  # mean grey value of normal-light photographs
_RIGHT, _DARK = 0.35, 0.25  # mean grey values from which a photograph stays as it is, and below which it is enhanced


class ExposedUNet(ResidualUNet):
    """(N, C, H, W) in [0, 1] -> (N, C, H, W), not clamped; H, W >= 16.

    The U-Net sees the image and the exposed one, and computes what is added to the latter. Without other stops, it is
    exposed to the mean grey value of normal-light photographs, and less where lights would burn.

    Args:
        unet: builds the U-Net for these numbers of channels, C_in and C_out.
        unshuffle, channels: as of `ResidualUNet`.
    """

    def __init__(self, unet: Callable[[int, int], UNet], unshuffle: int, channels: int) -> None:
        super().__init__(unet, unshuffle, True, channels)

    def gain(self, image: Tensor) -> Tensor:
        """Stops by which to `expose` the whole image: (N, 1, 1, 1)."""
        return stops_to(small_copy(image), _USUAL, sparing=True)

    def enhance_part(self, part: Tensor, gain: Tensor | None) -> Tensor:
        assert gain is not None
        exposed = expose(part, gain)
        change = self.shuffle(self.unet(self.unshuffle(torch.cat((part, exposed), dim=1))))
        return exposed + (1 - exposed) * change  # noise is in the dark; what is bright is not to burn


class ExposedModel(EnhancementModel):
    """`network`, but no brighter than `MOST_GAIN` allows: black stays black. The brighter a photograph is already, the
    more of it stays.

    In training the image is exposed to the target's mean grey value, so that the network learns colour and detail at
    any brightness.
    """

    network: ExposedUNet

    def light(self, image: Tensor) -> Tensor:
        """Stops by which the image is exposed, and the share of the network's output in the result: (N, 2, 1, 1)."""
        share = ((_RIGHT - mean_grey(image)) / (_RIGHT - _DARK)).clamp(0, 1)
        return torch.cat((self.network.gain(image), share), dim=1)

    def enhance(self, image: Tensor, run: RunNetwork, light: Tensor | None = None) -> Tensor:
        stops, share = (self.light(image) if light is None else light).split(1, dim=1)
        # Of an almost black photograph the network makes a little something.
        output = at_brightness(run(self.network, image, stops), MOST_GAIN * mean_grey(image), most=1.0)
        return image.lerp(output, share)

    def training_output(self, low: Tensor, normal: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            stops = stops_to(small_copy(low), mean_grey(normal))
        return self.network(low, stops).float(), {}
