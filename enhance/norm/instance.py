"""Instance normalization (Ulyanov et al. 2016, arXiv 1607.08022)."""

import torch
from torch import Tensor, nn

from enhance.norm.checks import check_channels, refuse_one_position
from enhance.norm.functional import PLANES, normalize
from enhance.norm.held import Held, held_groups
from enhance.norm.statistics import Moments


class InstanceNorm(nn.Module):
    """Standardize each channel of each image over its positions: (N, C, *) -> the same shape. No running statistics.

    Args:
        num_features: number of channels C.
        eps: added to the variance.
        affine: learn `weight` and `bias` per channel.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *) -> the same shape, type and memory format.

        Raises:
            UserError: in training mode, a channel of an image has one value: its output would always be the bias.
            ValueError: the input has no channel axis, or another number of channels.
        """
        check_channels(self, x, self.num_features)
        if self.training:
            refuse_one_position("instance norm", x)
        return normalize(x, self.weight, self.bias, self.num_features, PLANES, self.eps)[0]

    def held(self, moments: Moments) -> Held:
        """What this layer does to an image whose channels have these moments, (C,) in float64."""
        return held_groups(moments, self.num_features, self.eps, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, affine={self.weight is not None}"
