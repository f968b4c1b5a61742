"""Layer normalization (Ba et al. 2016, arXiv 1607.06450) of images."""

import torch
from torch import Tensor, nn

from enhance.norm.checks import check_channels
from enhance.norm.functional import CHANNELS, normalize


class LayerNorm2d(nn.Module):
    """Standardize the channels of each position by themselves: (N, C, *) -> the same shape.

    This is `torch.nn.LayerNorm(C)` on (N, *, C), as NAFNet (Chen et al. 2022) and ConvNeXt use it on images. Layer
    normalization over all of (C, H, W) is `GroupNorm` with one group.

    Args:
        num_channels: number of channels C.
        eps: added to the variance.
        affine: learn `weight` and `bias` per channel.
    """

    def __init__(self, num_channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__()
        self.num_channels = num_channels
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_channels)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *) -> the same shape, type and memory format.

        Raises:
            ValueError: the input has no channel axis, or another number of channels.
        """
        check_channels(self, x, self.num_channels)
        return normalize(x, self.weight, self.bias, 1, CHANNELS, self.eps)[0]

    def extra_repr(self) -> str:
        return f"{self.num_channels}, eps={self.eps}, affine={self.weight is not None}"
