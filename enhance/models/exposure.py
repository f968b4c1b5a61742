"""Exposure after the photograph was taken, as a curve that lifts shadows and keeps black and white where they are."""

import torch
from torch import Tensor
from torch.nn import functional as F

from enhance.models.brightness import mean_grey

LEAST_STOPS, MOST_STOPS = -6.0, 11.0
_HALVINGS = 14  # of that range, to 0.001 stops
_STRAIGHT = 1e-3  # below it, what the curve differs from a straight line by is lost in rounding


def expose(image: Tensor, stops: Tensor) -> Tensor:
    """The image as a longer exposure on film shows it: of linear light L it makes (1 - exp(-k L)) / (1 - exp(-k)).

    With stops above 0, k is 2^stops - 1: dark places become up to 2^stops times as light, and 0 and 1 stay what they
    are. Below 0 it is 1 - 2^-stops, and light places become darker.

    Args:
        image: (N, C, H, W) sRGB in [0, 1].
        stops: (N, 1, H, W), or sides of 1.
    """
    k = torch.sign(stops) * (torch.exp2(stops.abs()) - 1)
    k = torch.where(k.abs() < _STRAIGHT, _STRAIGHT, k)
    light = torch.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    light = torch.expm1(-k * light) / torch.expm1(-k)
    # Far from 0, where the power's gradient is infinite.
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def stops_to(image: Tensor, wanted: Tensor | float, side: int = 32) -> Tensor:
    """Stops that give the exposed image the mean grey value `wanted`: (N, 1, 1, 1), within
    `LEAST_STOPS` and `MOST_STOPS`. It is found on a small copy.

    Args:
        image: (N, C, H, W) in [0, 1].
        wanted: a number, or (N, 1, 1, 1).
        side: pixels of that copy.
    """
    small = F.interpolate(image, (side, side), mode="area")
    least = small.new_full((len(image), 1, 1, 1), LEAST_STOPS)
    most = torch.full_like(least, MOST_STOPS)
    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        dark = mean_grey(expose(small, middle)) < wanted
        least, most = torch.where(dark, middle, least), torch.where(dark, most, middle)
    return (least + most) / 2
