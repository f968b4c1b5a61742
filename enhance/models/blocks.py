"""The pieces that the U-Net is built from. The norm is passed in, never chosen here."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from enhance.models.resample import DoubleBilinear, HalveByMax
from enhance.norm.base import ChannelAffine
from enhance.norm.image import HalfInstanceNorm
from enhance.norm.statistics import Moments

NormFactory = Callable[[int], nn.Module]  # number of channels -> layer

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(0.2, inplace=True),
    "elu": lambda: nn.ELU(inplace=True),
    "gelu": nn.GELU,
    "silu": lambda: nn.SiLU(inplace=True),
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}


class ConvNormAct(nn.Sequential):
    """3x3 convolution, norm, activation: (N, C_in, H, W) -> (N, C_out, H, W).

    The convolution has a bias only where channels pass without a norm: one over whole channels takes it away again.
    A norm with `activates` is its own activation; an identity takes the place, so that state_dicts interchange.
    """

    def __init__(self, c_in: int, c_out: int, norm: NormFactory, activation: str) -> None:
        layer = norm(c_out)
        bias = isinstance(layer, nn.Identity | HalfInstanceNorm)
        follows = nn.Identity() if getattr(layer, "activates", False) else ACTIVATIONS[activation]()
        super().__init__(nn.Conv2d(c_in, c_out, 3, padding=1, bias=bias), layer, follows)


class DoubleConv(nn.Sequential):
    """Conv-norm-act twice: (N, C_in, H, W) -> (N, C_out, H, W)."""

    def __init__(self, c_in: int, c_out: int, norm: NormFactory, activation: str) -> None:
        super().__init__(ConvNormAct(c_in, c_out, norm, activation), ConvNormAct(c_out, c_out, norm, activation))


class Down(nn.Sequential):
    """Max-pooling to half the resolution, context, then conv-norm-act twice: (N, C_in, H, W) -> (N, C_out, H/2, W/2).
    The context is passed in: a `Context`, or the identity. After the halving, it keeps nothing more for backward."""

    def __init__(self, c_in: int, c_out: int, norm: NormFactory, activation: str) -> None:
        super().__init__(HalveByMax(), DoubleConv(c_in, c_out, norm, activation))

    def forward(self, x: Tensor, context: nn.Module) -> Tensor:  # type: ignore[override]
        return self[1](context(self[0](x)))


class Context(nn.Module):
    """Adds to each position what follows from the means of the whole image: (N, C, H, W) -> the same shape.

    The means of the channels over all positions go through two 1x1 convolutions; the second starts at zero, so that
    the block starts as the identity. After the global context block of Cao et al. 2019 (GCNet, arXiv 1904.11492), with
    plain means instead of attention. It gives a network with batch norm, which sees no further than its convolutions
    reach, what instance and group norm take from the whole image anyway: how bright the scene is.
    """

    def __init__(self, channels: int, activation: str) -> None:
        super().__init__()
        hidden = max(1, channels // 2)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.activation = ACTIVATIONS[activation]()
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self._added(x.mean((2, 3), keepdim=True))

    def as_affine(self, moments: Moments) -> ChannelAffine:
        """What this block does to an image with these moments of its channels, (C,) in float64."""
        added = self._added(moments.mean.to(self.squeeze.weight.dtype).view(1, -1, 1, 1)).flatten()
        return ChannelAffine(torch.ones_like(added), added)

    def _added(self, means: Tensor) -> Tensor:
        return self.expand(self.activation(self.squeeze(means)))


class Up(nn.Module):
    """Twice the resolution, joined with the skip of that resolution, then conv-norm-act twice: (N, C_in, H, W) and the
    skip (N, C_out, 2 H, 2 W) -> (N, C_out, 2 H, 2 W). A 1x1 convolution halves the channels before the bilinear
    interpolation: the two commute, and this order costs a quarter."""

    def __init__(self, c_in: int, c_out: int, norm: NormFactory, activation: str) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(c_in, c_out, 1)
        self.up = DoubleBilinear()
        self.convs = DoubleConv(2 * c_out, c_out, norm, activation)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        # Autocast interpolates in float32 on CUDA, and would make the skip float32 too.
        return self.convs(torch.cat((skip, self.up(self.reduce(x)).to(skip.dtype)), dim=1))
