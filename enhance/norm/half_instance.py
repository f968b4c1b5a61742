"""Half instance normalization (Chen et al. 2021, "HINet", arXiv 2105.06086, section 3.2)."""

import torch
from torch import Tensor, nn

from enhance.norm.checks import check_channels, refuse_one_position
from enhance.norm.functional import PLANES, normalize
from enhance.norm.statistics import memory_format


class HalfInstanceNorm(nn.Module):
    """Instance norm on the first half of the channels; the others pass unchanged: (N, C, *) -> the same shape.

    Of an odd number of channels the middle one is normalized, as `torch.chunk` parts them.

    Args:
        num_channels: number of channels C.
        eps: added to the variance.
        affine: learn `weight` and `bias`, for each normalized channel.
    """

    def __init__(self, num_channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__()
        self.num_channels = num_channels
        self.num_normalized = (num_channels + 1) // 2
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(self.num_normalized)) if affine else None
        self.bias = nn.Parameter(torch.zeros(self.num_normalized)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *) -> the same shape, type and memory format.

        Raises:
            UserError: in training mode, a channel of an image has one value: its output would always be the bias.
            ValueError: the input has no channel axis, or another number of channels.
        """
        check_channels(self, x, self.num_channels)
        if self.training:
            refuse_one_position("half instance norm", x)
        layout = memory_format(x)
        first, others = x.split((self.num_normalized, self.num_channels - self.num_normalized), dim=1)
        # Some channels of x lie dense in no memory format; and the copy, half of x, is all that backward keeps.
        first = first.contiguous(memory_format=layout)
        y = normalize(first, self.weight, self.bias, self.num_normalized, PLANES, self.eps)[0]
        return torch.cat((y, others), dim=1).contiguous(memory_format=layout)

    def extra_repr(self) -> str:
        return f"{self.num_channels}, eps={self.eps}, affine={self.weight is not None}"
