"""Filter Response Normalization and its thresholded activation (Singh and Krishnan 2020, arXiv 1911.09737)."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from enhance.norm import layout, plain
from enhance.norm.base import ChannelAffine, ChannelNorm
from enhance.norm.functional import PLAIN, PLANES, differentiable_gradients, implementation
from enhance.norm.statistics import Moments


class _FilterResponse(torch.autograd.Function):
    """Saves for backward the input, 1 / sqrt(mean of squares + eps) and the parameters."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, tau: Tensor, eps: float) -> Tensor:
        z = layout.dense_copy(x)
        values = layout.split_channels(z, len(weight))  # (N, C, 1, L), a view: z changes with it
        rrms = (layout.sum_products(values, values, PLANES) / layout.count_over(values, PLANES) + eps).rsqrt_()
        gamma, beta, threshold = (layout.per_channel(vector.to(z.dtype), len(vector)) for vector in (weight, bias, tau))
        layout.affine_(values, rrms * gamma, beta).clamp_(min=threshold)
        ctx.save_for_backward(x, weight, bias, tau, rrms)
        ctx.eps = eps
        return z.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad_z: Tensor) -> tuple[Tensor | None, ...]:
        """With xhat = x * rrms, dy = dz where y is above tau, and the mean taken over the positions:

        dx = rrms * weight * (dy - xhat * mean(dy * xhat))
        """
        x, weight, bias, tau, rrms = ctx.saved_tensors
        if torch.is_grad_enabled():
            inputs, needed = (x, weight, bias, tau), ctx.needs_input_grad[:4]
            output = partial(plain.filter_response, eps=ctx.eps)
            again = differentiable_gradients(output, inputs, needed, grad_z)
            return *again, None
        grad_x = layout.dense_copy(x)
        values = layout.split_channels(grad_x, len(weight))
        grad = layout.split_channels(layout.dense_like(grad_z, grad_x), len(weight))
        gamma, beta, threshold = (
            layout.per_channel(vector.to(grad_x.dtype), len(vector)) for vector in (weight, bias, tau)
        )
        scale = rrms * gamma
        y = layout.affine_(values.clone(), scale, beta)  # as in forward, so that the same values pass
        grad_y = grad * (y > threshold)
        grad_sum = layout.sum_over(grad_y, (3,))
        product_sum = layout.sum_products(grad_y, values, (3,)) * rrms
        grad_weight, grad_bias, grad_tau = (
            layout.sum_over(sums, (0,)).flatten().to(weight.dtype)
            for sums in (product_sum, grad_sum, layout.sum_over(grad, (3,)) - grad_sum)
        )
        slope = product_sum * scale * rrms * (-1 / layout.count_over(values, PLANES))
        values.mul_(slope).addcmul_(grad_y, scale)
        return grad_x.to(x.dtype), grad_weight, grad_bias, grad_tau, None


class FilterResponseNorm(ChannelNorm):
    """Divide each channel of each image by its root mean square, scale and shift, and cut off below a threshold:

        y = x / sqrt(mean of x^2 over the positions + eps) * weight + bias
        z = max(y, tau)

    (N, C, *) -> the same shape. No mean is taken away, and the learned threshold (TLU) makes good for it: it takes
    the place of the activation that would follow. No running statistics.

    The paper learns eps where a channel has one position, since x / |x| is only a sign; such input is refused here.
    """

    axes = PLANES
    kind = "filter response norm"
    one_position_is_enough = False
    shown = ("eps",)
    activates: bool = True  # no activation follows
    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, num_features: int, eps: float = 1e-6, device: Any = None, dtype: Any = None) -> None:
        super().__init__(num_features, eps, device=device, dtype=dtype)
        self.tau = nn.Parameter(torch.zeros_like(self.bias))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if hasattr(self, "tau"):
            nn.init.zeros_(self.tau)

    def standardize(self, x: Tensor) -> Tensor:
        if not x.numel() or implementation(x) == PLAIN:
            return plain.filter_response(x, self.weight, self.bias, self.tau, self.eps)
        return _FilterResponse.apply(x, self.weight, self.bias, self.tau, self.eps)

    def as_affine(self, moments: Moments) -> ChannelAffine:
        """What this layer does to an image with these moments of its channels, (C,) in float64."""
        mean_square = moments.variance + moments.mean.square()
        return ChannelAffine((mean_square + self.eps).rsqrt() * self.weight, self.bias, self.tau)
