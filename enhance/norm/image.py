"""Norms with statistics of each image, or of each position: instance, group, half instance and layer norm. Arguments
and shapes are those of `ChannelNorm`."""

from typing import Any

import torch
from torch import Tensor

from enhance.norm.base import ChannelAffine, ChannelNorm
from enhance.norm.functional import CHANNELS, PLANES, normalize, then_affine
from enhance.norm.layout import memory_format
from enhance.norm.statistics import Moments


class _PlaneNorm(ChannelNorm):
    """Standardize groups of channels of each image over its positions."""

    axes = PLANES

    def as_affine(self, moments: Moments) -> ChannelAffine:
        """What this layer does to an image with these moments of its channels, (C,) in float64."""
        mean, m2 = moments.mean.view(self.num_groups, -1), moments.m2.view(self.num_groups, -1)
        group_mean = mean.mean(1, keepdim=True)
        within = m2 / moments.count + (mean - group_mean).square()  # Chan et al. 1983, eq. 2.1, for equal counts
        variance = within.mean(1, keepdim=True)
        scale = (variance + self.eps).rsqrt().expand_as(mean).flatten()
        shift = -group_mean.expand_as(mean).flatten() * scale
        return ChannelAffine(*then_affine(scale, shift, self.weight, self.bias))


class InstanceNorm(_PlaneNorm):
    """Instance normalization (Ulyanov et al. 2016, arXiv 1607.08022): standardize each channel of each image over its
    positions. No running statistics."""

    kind = "instance norm"
    one_position_is_enough = False

    def __init__(
        self, num_features: int, eps: float = 1e-5, affine: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(num_features, eps, affine, device=device, dtype=dtype)


class GroupNorm(_PlaneNorm):
    """Group normalization (Wu and He 2018, arXiv 1803.08494): standardize each group of channels of each image over its
    positions. One group is layer normalization over (C, H, W); C groups are instance normalization.

    Raises:
        ValueError: `num_groups` does not divide `num_channels`.
    """

    shown = ("num_groups", *ChannelNorm.shown)

    def __init__(
        self,
        num_channels: int,
        num_groups: int = 8,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if num_channels % num_groups:
            raise ValueError(f"num_groups={num_groups} does not divide the {num_channels} channels of a layer")
        super().__init__(num_channels, eps, affine, num_groups, device, dtype)


class HalfInstanceNorm(_PlaneNorm):
    """Half instance normalization (Chen et al. 2021, "HINet", arXiv 2105.06086, section 3.2): instance norm on the
    first half of the channels, which alone have a `weight` and `bias`; the others pass unchanged.

    Of an odd number of channels the middle one is normalized, as `torch.chunk` parts them.
    """

    kind = "half instance norm"
    one_position_is_enough = False

    def __init__(
        self, num_channels: int, eps: float = 1e-5, affine: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__((num_channels + 1) // 2, eps, affine, device=device, dtype=dtype)
        self.num_channels = self.num_features = num_channels

    def standardize(self, x: Tensor) -> Tensor:
        layout = memory_format(x)
        first, others = x.split((self.num_groups, self.num_channels - self.num_groups), dim=1)
        # Some channels of x lie dense in no memory format; and the copy, half of x, is all that backward saves.
        first = first.contiguous(memory_format=layout)
        y = normalize(first, self.weight, self.bias, self.num_groups, self.axes, self.eps)[0]
        return torch.cat((y, others), dim=1).contiguous(memory_format=layout)

    def as_affine(self, moments: Moments) -> ChannelAffine:
        mean, others = moments.mean.tensor_split((self.num_groups,))
        first = super().as_affine(Moments(moments.count, mean, moments.m2[: self.num_groups]))
        scale = torch.cat((first.scale.flatten(), torch.ones_like(others)))
        return ChannelAffine(scale, torch.cat((first.shift.flatten(), torch.zeros_like(others))))


class LayerNorm2d(ChannelNorm):
    """Layer normalization (Ba et al. 2016, arXiv 1607.06450) of images: standardize the channels of each position by
    themselves.

    This is `torch.nn.LayerNorm(C)` on (N, *, C), as NAFNet (Chen et al. 2022) and ConvNeXt use it on images. Layer
    normalization over all of (C, H, W) is `GroupNorm` with one group.
    """

    axes = CHANNELS

    def __init__(
        self, num_channels: int, eps: float = 1e-5, affine: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(num_channels, eps, affine, 1, device, dtype)
