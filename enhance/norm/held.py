"""What a norm whose statistics are the image's own did to one image, held fast to be done to parts of it."""

import torch
from torch import Tensor, nn

from enhance.norm.statistics import Moments


class Held(nn.Module):
    """x * scale + shift, and not less than `floor`: (N, C, H, W) -> the same shape.

    Args:
        scale, shift: (C,).
        floor: (C,), or None.
    """

    scale: Tensor
    shift: Tensor
    floor: Tensor | None

    def __init__(self, scale: Tensor, shift: Tensor, floor: Tensor | None = None) -> None:
        super().__init__()
        for name, vector in (("scale", scale), ("shift", shift), ("floor", floor)):
            self.register_buffer(name, None if vector is None else vector.detach().float().view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.addcmul(self.shift, x, self.scale)
        return y if self.floor is None else y.clamp_(min=self.floor)


def held_groups(moments: Moments, num_groups: int, eps: float, weight: Tensor | None, bias: Tensor | None) -> Held:
    """Groups of channels standardized together, as instance and group norm do.

    Args:
        moments: of each channel of the image, (C,) in float64.
        weight, bias: (C,), or None together.
    """
    mean, m2 = moments.mean.view(num_groups, -1), moments.m2.view(num_groups, -1)
    of_group = mean.mean(1, keepdim=True)
    within = m2 / moments.count + (mean - of_group).square()  # Chan et al. 1983, eq. 2.1, for equal counts
    variance = within.mean(1, keepdim=True)
    scale = (variance + eps).rsqrt().expand_as(mean).flatten()
    shift = -of_group.expand_as(mean).flatten() * scale
    if weight is not None and bias is not None:
        scale, shift = scale * weight, shift * weight + bias
    return Held(scale, shift)
