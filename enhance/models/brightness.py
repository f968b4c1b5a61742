"""Overall brightness of an image: its mean grey value."""

import math

import torch
from torch import Tensor


def mean_grey(image: Tensor) -> Tensor:
    """Mean of 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601) over all positions: (N, C, H, W) -> (N, 1, 1, 1). Of one
    channel it is the mean; of four, that of the first three."""
    means = image.mean((2, 3), keepdim=True).split(1, dim=1)
    if len(means) == 1:
        return means[0]
    red, green, blue = means[:3]
    return 0.299 * red + 0.587 * green + 0.114 * blue  # by a tensor of the weights, a device would be waited for


def at_brightness(image: Tensor, wanted: Tensor, most: float = math.inf) -> Tensor:
    """The image (N, C, H, W), clamped to [0, 1] and scaled so that its mean grey value is `wanted` (N, 1, 1, 1), but by
    `most` at most; the result is not clamped. An image that is black everywhere stays black."""
    image = image.clamp(0, 1)
    return image.mul_(factor_to(image, wanted, most))  # in place: a photograph may be large


def factor_to(image: Tensor, wanted: Tensor | float, most: float = math.inf) -> Tensor:
    """What brings the mean grey value of an image to `wanted`, but at most `most`: (N, 1, 1, 1); 1 where the image is
    black everywhere."""
    grey = mean_grey(image)
    lit = grey > 0
    factor = torch.where(lit, wanted / torch.where(lit, grey, 1.0), 1.0)  # by 0, the gradient would be NaN
    return factor if most == math.inf else factor.clamp(max=most)
