"""Group normalization (Wu and He 2018, arXiv 1803.08494)."""

import torch
from torch import Tensor, nn

from enhance.errors import SettingsError
from enhance.norm.checks import check_channels
from enhance.norm.functional import PLANES, normalize
from enhance.norm.held import Held, held_groups
from enhance.norm.statistics import Moments


class GroupNorm(nn.Module):
    """Standardize each group of channels of each image over its positions: (N, C, *) -> the same shape.

    One group is layer normalization over (C, H, W); C groups are instance normalization.

    Args:
        num_channels: number of channels C.
        num_groups: a divisor of C.
        eps: added to the variance.
        affine: learn `weight` and `bias` per channel.

    Raises:
        SettingsError: `num_groups` does not divide `num_channels`.
    """

    def __init__(self, num_channels: int, num_groups: int = 8, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise SettingsError(
                f"norm.num_groups={num_groups} does not divide the {num_channels} channels of a layer: "
                "change it or model.width"
            )
        self.num_channels = num_channels
        self.num_groups = num_groups
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_channels)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *) -> the same shape, type and memory format.

        Raises:
            ValueError: the input has no channel axis, or another number of channels.
        """
        check_channels(self, x, self.num_channels)
        return normalize(x, self.weight, self.bias, self.num_groups, PLANES, self.eps)[0]

    def held(self, moments: Moments) -> Held:
        """What this layer does to an image whose channels have these moments, (C,) in float64."""
        return held_groups(moments, self.num_groups, self.eps, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.num_channels}, num_groups={self.num_groups}, eps={self.eps}, affine={self.weight is not None}"
