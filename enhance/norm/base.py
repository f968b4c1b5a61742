"""What every layer of this package is: one operation, over axes that the layer says; and what it raises."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, fx, nn

from enhance.norm.functional import normalize
from enhance.norm.layout import Axes


class TooFewValues(ValueError):
    """A channel has fewer than two values, of which no variance can be taken. `layer` refused its input."""

    def __init__(self, message: str, layer: nn.Module) -> None:
        super().__init__(message)
        self.layer = layer


class ChannelNorm(nn.Module):
    """Standardize (N, C, *) over `axes`, then scale and shift each channel. A subclass says which axes, and what it
    remembers.

    Args:
        num_channels: number of channels C.
        eps: added to the variance.
        affine: learn `weight` and `bias` per channel.
        num_groups: into which the channels are divided, a divisor of C; None: each channel is one.
        device, dtype: of the parameters.
    """

    axes: ClassVar[Axes]  # of `functional.normalize`
    kind: ClassVar[str]  # what messages call the layer
    one_position_is_enough: ClassVar[bool] = True  # for a channel of an image, in training
    shown: ClassVar[tuple[str, ...]] = ("eps", "affine")  # attributes in the representation
    num_features: int  # what torch's batch and instance norm call the number of channels
    weight: nn.Parameter | Any  # or None, as bias
    bias: nn.Parameter | Any

    def __init__(
        self,
        num_channels: int,
        eps: float,
        affine: bool = True,
        num_groups: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_channels = self.num_features = num_channels
        self.num_groups = num_channels if num_groups is None else num_groups
        self.eps = eps
        self.affine = affine
        for name in ("weight", "bias"):
            values = nn.Parameter(torch.empty(num_channels, device=device, dtype=dtype)) if affine else None
            self.register_parameter(name, values)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Scale by one, shift by nothing."""
        if self.affine:
            nn.init.ones_(self.weight)
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *) -> the same shape, type and memory format. To torch.fx the layer is one node, as torch's own are.

        Raises:
            ValueError: the input is no floating-point tensor, or has no channel axis, or another number of channels.
            TooFewValues: in training mode, a channel has one value, and the output would not depend on it.
        """
        if isinstance(x, fx.Proxy):
            return x.tracer.create_proxy("call_module", x.tracer.path_of_module(self), (x,), {})
        self.check(x)
        return self.standardize(x)

    def standardize(self, x: Tensor) -> Tensor:
        """`forward` of what `check` has passed."""
        return normalize(x, self.weight, self.bias, self.num_groups, self.axes, self.eps)[0]

    def check(self, x: Tensor) -> None:
        """Refuse what `forward` does."""
        if x.dim() < 2 or x.shape[1] != self.num_channels or not x.is_floating_point():
            wanted = f"floating-point input (N, {self.num_channels}, ...) expected"
            raise ValueError(f"{self}: {wanted}, got {tuple(x.shape)} of {x.dtype}")
        if self.training and not self.one_position_is_enough:
            self.check_count(x, math.prod(x.shape[2:]))

    def check_count(self, x: Tensor, count: int) -> None:
        """Refuse x (N, C, *), of which a channel has `count` values, where that is one; of none there is no output."""
        if count == 1:
            sees = f"sees {count} value per channel, input {tuple(x.shape)}"
            raise TooFewValues(f"{self.kind} of {self.num_channels} channels {sees}", self)

    def extra_repr(self) -> str:
        return ", ".join([str(self.num_channels), *(f"{name}={getattr(self, name)}" for name in self.shown)])


class ChannelAffine(nn.Module):
    """What a layer with statistics of each image does to one image, so that it can be applied to parts of the image:
    x * scale + shift, and not less than `floor`, for x (N, C, *, *) and vectors (C,).

    Layers that allow it have a method `as_affine(moments)`.
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
