"""What a norm with statistics of each image does to one image, as a layer of its own.

So it can be applied to parts of the image. Layers that allow it have a method `as_affine(moments)`.
"""

import torch
from torch import Tensor, nn


class ChannelAffine(nn.Module):
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
