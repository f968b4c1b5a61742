"""What every layer of this package is: one operation, over axes that the layer says."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from enhance.norm.errors import TooFewValues
from enhance.norm.functional import normalize
from enhance.norm.layout import Axes


class ChannelNorm(nn.Module):
    """Standardize (N, C, *) over `axes`, then scale and shift each channel. A subclass says which axes, and what it
    remembers.

    Args:
        num_channels: number of channels C.
        eps: added to the variance.
        affine: learn `weight` and `bias` per channel.
        num_groups: into which the channels are divided, a divisor of C; None: each channel is one.
    """

    axes: ClassVar[Axes]  # of `functional.normalize`
    kind: ClassVar[str]  # what messages call the layer
    one_position_is_enough: ClassVar[bool] = True  # for a channel of an image, in training

    def __init__(self, num_channels: int, eps: float, affine: bool = True, num_groups: int | None = None) -> None:
        super().__init__()
        self.num_channels = num_channels
        self.num_groups = num_channels if num_groups is None else num_groups
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_channels)) if affine else None

    @property
    def num_features(self) -> int:
        """What torch's batch and instance norm call the number of channels."""
        return self.num_channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *) -> the same shape, type and memory format.

        Raises:
            ValueError: the input has no channel axis, or another number of channels.
            TooFewValues: in training mode, a channel has one value, and the output would not depend on it.
        """
        self.check(x)
        return normalize(x, self.weight, self.bias, self.num_groups, self.axes, self.eps)[0]

    def check(self, x: Tensor) -> None:
        """Refuse what `forward` does."""
        if x.dim() < 2 or x.shape[1] != self.num_channels:
            raise ValueError(f"{self}: input (N, {self.num_channels}, ...) expected, got {tuple(x.shape)}")
        if self.training and not self.one_position_is_enough and math.prod(x.shape[2:]) < 2:
            raise self.too_few_values(x, 1)

    def too_few_values(self, x: Tensor, count: int) -> TooFewValues:
        """The error for x (N, C, *) with `count` values per channel."""
        message = f"{self.kind} of {self.num_channels} channels sees {count} value per channel, input {tuple(x.shape)}"
        return TooFewValues(message, self)

    def extra_repr(self) -> str:
        return f"{self.num_channels}, eps={self.eps}, affine={self.weight is not None}"
