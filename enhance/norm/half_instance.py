"""Half instance normalization (Chen et al. 2021, "HINet", arXiv 2105.06086, section 3.2)."""

import torch
from torch import Tensor, nn

from enhance.norm.checks import check_channels, refuse_one_position
from enhance.norm.functional import PLANES, normalize
from enhance.norm.held import Held, held_groups
from enhance.norm.statistics import Moments, memory_format


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

    def held(self, moments: Moments) -> Held:
        """What this layer does to an image whose channels have these moments, (C,) in float64."""
        count = self.num_normalized
        first = Moments(moments.count, moments.mean[:count], moments.m2[:count])
        held = held_groups(first, count, self.eps, self.weight, self.bias)
        others = moments.mean[count:].float()
        scale = torch.cat((held.scale.flatten(), torch.ones_like(others)))
        return Held(scale, torch.cat((held.shift.flatten(), torch.zeros_like(others))))

    def extra_repr(self) -> str:
        return f"{self.num_channels}, eps={self.eps}, affine={self.weight is not None}"
