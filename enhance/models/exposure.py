"""Exposure after the photograph was taken, as a curve that lifts shadows and keeps black and white where they are."""

import torch
from torch import Tensor
from torch.nn import functional as F

from enhance.models.brightness import mean_grey

LEAST_STOPS, MOST_STOPS = -6.0, 11.0
_BEND = 1.5  # 1 spares highlights and greys the rest; the larger, the straighter the curve, until it clips
_BURNT = 0.97
_TRIED, _ROUNDS = 17, 3  # of that range: to 0.002 stops


def expose(image: Tensor, stops: Tensor) -> Tensor:
    """The image with so much more light: of linear light L it makes a L / (1 + (a^p - 1) L^p)^(1/p), where a is
    2^stops, and p is 1.5.

    Dark places become 2^stops times as light, and 0 and 1 stay what they are. Stops below 0 undo those above, and the
    stops of two exposures add up.

    Args:
        image: (N, C, H, W) sRGB in [0, 1].
        stops: (N, 1, H, W), or sides of 1.
    """
    light = _linear(image)
    gain = torch.exp2(stops)
    light = gain * light / (1 + (gain**_BEND - 1) * light**_BEND) ** (1 / _BEND)
    # Far from 0, where the power's gradient is infinite.
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def level(image: Tensor) -> Tensor:
    """Where values stand on the curve, in stops: `expose` by so many stops adds so many to it. 0 is 2^(-1/p) of white's
    light.

    Args:
        image: of any shape, sRGB within 0 and 1, which themselves have no level.
    """
    light = _linear(image) ** _BEND
    return torch.log2(light / (1 - light)) / _BEND


def _linear(image: Tensor) -> Tensor:
    """Light of sRGB values (IEC 61966-2-1)."""
    return torch.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)


def small_copy(image: Tensor) -> Tensor:
    """What `stops_to` is quick with: (N, C, H, W) -> (N, C, 32, 32). Samples cover the image; antialiasing would read
    all of it, and OpenCV 4 leaves it out."""
    return F.avg_pool2d(F.interpolate(image, (128, 128), mode="bilinear"), 4)


def stops_to(image: Tensor, wanted: Tensor | float, sparing: bool = False) -> Tensor:
    """Stops that give the exposed image the mean grey value `wanted`: (N, 1, 1, 1), within
    `LEAST_STOPS` and `MOST_STOPS`. They are tried out, which wants a small image.

    Args:
        image: (N, C, H, W) in [0, 1].
        wanted: a number, or (N, 1, 1, 1).
        sparing: fewer where a share of the image would burn; that share counts as grey value, too.
    """
    least, step = image.new_full((len(image), 1, 1, 1), LEAST_STOPS), (MOST_STOPS - LEAST_STOPS) / _TRIED
    already = _burnt(image) if sparing else None
    count = torch.arange(1, _TRIED, device=image.device).view(1, -1, 1, 1)
    for _ in range(_ROUNDS):
        exposed = expose(image.repeat_interleave(_TRIED - 1, 0), (least + step * count).view(-1, 1, 1, 1))
        grey = mean_grey(exposed).view(len(image), -1, 1, 1)
        if already is not None:
            grey = grey + (_burnt(exposed).view(len(image), -1, 1, 1) - already).clamp(min=0)
        dark = grey < wanted
        least, step = least + step * dark.sum(1, keepdim=True), step / _TRIED
    return least + step / 2


def _burnt(image: Tensor) -> Tensor:
    """Share of the image that is white to the eye, by any channel: (N, C, H, W) -> (N, 1, 1, 1)."""
    return (image.amax(1, keepdim=True) > _BURNT).to(image.dtype).mean((2, 3), keepdim=True)
