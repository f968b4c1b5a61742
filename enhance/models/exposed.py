"""A model that first exposes the photograph anew, and then restores it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhance.models.brightness import at_brightness, mean_grey
from enhance.models.exposure import LEAST_STOPS, MOST_STOPS, expose, stops_to
from enhance.models.model import MOST_GAIN, EnhancementModel, RunNetwork
from enhance.models.residual import ResidualUNet
from enhance.models.unet import UNet

_COPY = 128  # pixels a side of the copy that the guide sees
_USUAL = 0.45  # mean grey value of normal-light photographs, from which the guide departs
_WEIGHT = 0.1  # of an error of one stop, so that it does not rule the norm of all gradients


class ExposedUNet(ResidualUNet):
    """(N, C, H, W) in [0, 1] -> (N, C, H, W), not clamped; H, W >= 16.

    The U-Net sees the image and the exposed one, and computes what is added to the latter. How far to `expose` it is
    predicted by `guide`, a small U-Net without norm, on a small copy.

    Args:
        unet, guide: build the U-Nets for these numbers of channels, C_in and C_out.
        unshuffle, channels: as of `ResidualUNet`.
    """

    def __init__(
        self,
        unet: Callable[[int, int], UNet],
        unshuffle: int,
        channels: int,
        guide: Callable[[int, int], UNet],
    ) -> None:
        super().__init__(unet, unshuffle, True, channels)
        self.guide = guide(2 * channels * 2**2, 1)

    def gain(self, image: Tensor) -> Tensor:
        """Stops by which to expose the whole image: (N, 1, 1, 1)."""
        copy = F.interpolate(image, (_COPY, _COPY), mode="bilinear", antialias=True)
        copy = copy.to(self.guide.output.weight.device)  # of a photograph in tiles, which stays on the CPU
        usual = stops_to(copy, _USUAL)
        seen = F.pixel_unshuffle(torch.cat((copy, expose(copy, usual)), dim=1), 2)
        return (usual + self.guide(seen).float().mean((2, 3), keepdim=True)).clamp(LEAST_STOPS, MOST_STOPS)

    def enhance_part(self, part: Tensor, gain: Tensor | None) -> Tensor:
        assert gain is not None
        exposed = expose(part, gain)
        return exposed + self.shuffle(self.unet(self.unshuffle(torch.cat((part, exposed), dim=1))))


class ExposedModel(EnhancementModel):
    """`network`, but no brighter than `MOST_GAIN` allows: black stays black.

    In training the image is exposed to the target's mean grey value, so that the network learns colour and detail at
    any brightness. The guide learns those stops beside it, and stops early where a data set has few brightnesses.
    """

    network: ExposedUNet

    def enhance(self, image: Tensor, run: RunNetwork) -> Tensor:
        # Of an almost black photograph the network makes a little something.
        return at_brightness(run(self.network, image), MOST_GAIN * mean_grey(image), most=1.0)

    def training_output(self, low: Tensor, normal: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        predicted = self.network.gain(low)
        with torch.no_grad():
            met = stops_to(low, mean_grey(normal))
        return self.network(low, met).float(), {"exposure": _WEIGHT * (predicted - met).abs().mean()}

    def early_parameters(self) -> list[nn.Parameter]:
        return list(self.network.guide.parameters())
