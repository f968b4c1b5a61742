"""Filter Response Normalization and its thresholded activation (Singh and Krishnan 2020, arXiv 1911.09737)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from enhance.norm.affine import ChannelAffine
from enhance.norm.base import ChannelNorm
from enhance.norm.functional import PLANES
from enhance.norm.layout import affine_, count_over, dense_copy, dense_like, split_channels, sum_over, sum_products
from enhance.norm.statistics import Moments


class _FilterResponse(torch.autograd.Function):
    """Saves for backward the input, 1 / sqrt(mean of squares + eps) and the parameters."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, tau: Tensor, eps: float) -> Tensor:
        z = dense_copy(x)
        values = split_channels(z, len(weight))  # (N, C, 1, L), a view: z changes with it
        rrms = (sum_products(values, values, PLANES) / count_over(values, PLANES) + eps).rsqrt_()
        threshold = _per_channel(tau, values)
        affine_(values, rrms * _per_channel(weight, values), _per_channel(bias, values)).clamp_(min=threshold)
        ctx.save_for_backward(x, weight, bias, tau, rrms)
        return z.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_z: Tensor) -> tuple[Tensor | None, ...]:
        """With xhat = x * rrms, dy = dz where y is above tau, and the mean taken over the positions:

        dx = rrms * weight * (dy - xhat * mean(dy * xhat))
        """
        x, weight, bias, tau, rrms = ctx.saved_tensors
        grad_x = dense_copy(x)
        values = split_channels(grad_x, len(weight))
        grad = split_channels(dense_like(grad_z, grad_x), len(weight))
        scale = rrms * _per_channel(weight, values)
        y = affine_(values.clone(), scale, _per_channel(bias, values))  # as in forward, so that the same values pass
        grad_y = grad * (y > _per_channel(tau, values))
        grad_sum = sum_over(grad_y, (3,))
        product_sum = sum_products(grad_y, values, (3,)) * rrms
        grad_weight, grad_bias, grad_tau = (
            sum_over(sums, (0,)).flatten().to(weight.dtype)
            for sums in (product_sum, grad_sum, sum_over(grad, (3,)) - grad_sum)
        )
        slope = product_sum * scale * rrms * (-1 / count_over(values, PLANES))
        values.mul_(slope).addcmul_(grad_y, scale)
        return grad_x.to(x.dtype), grad_weight, grad_bias, grad_tau, None


def _per_channel(vector: Tensor, values: Tensor) -> Tensor:
    """(C,) -> (1, C, 1, 1), of the type of `values`."""
    return vector.to(values.dtype).view(1, -1, 1, 1)


class FilterResponseNorm(ChannelNorm):
    """Divide each channel of each image by its root mean square, scale and shift, and cut off below a threshold:

        y = x / sqrt(mean of x^2 over the positions + eps) * weight + bias
        z = max(y, tau)

    (N, C, *) -> the same shape. No mean is taken away, and the learned threshold (TLU) makes good for it: it takes
    the place of the activation that would follow. No running statistics.

    The paper learns eps where a channel has one position, since x / |x| is only a sign; such input is refused here.

    Args:
        num_features: number of channels C.
        eps: added to the mean of squares.
    """

    axes = PLANES
    kind = "filter response norm"
    one_position_is_enough = False
    activates: bool = True  # no activation follows
    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, num_features: int, eps: float = 1e-6) -> None:
        super().__init__(num_features, eps)
        self.tau = nn.Parameter(torch.zeros(num_features))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *) -> the same shape, type and memory format.

        Raises:
            ValueError: the input has no channel axis, or another number of channels.
            TooFewValues: in training mode, a channel of an image has one value: of it only the sign would be left.
        """
        self.check(x)
        return _FilterResponse.apply(x, self.weight, self.bias, self.tau, self.eps)

    def as_affine(self, moments: Moments) -> ChannelAffine:
        """What this layer does to an image with these moments of its channels, (C,) in float64."""
        mean_square = moments.variance + moments.mean.square()
        return ChannelAffine((mean_square + self.eps).rsqrt() * self.weight, self.bias, self.tau)

    def extra_repr(self) -> str:
        return f"{self.num_channels}, eps={self.eps}"
