"""The one operation that every norm is: standardize over some axes, then scale and shift each channel.

    y = (x - mean) / sqrt(variance + eps) * weight + bias

on x seen as (N, G, K, L): N images, G groups of K channels, L positions. The axes that mean and variance are taken
over make the norm:

    batch     G = C, K = 1    axes N, K, L
    instance  G = C, K = 1    axes K, L
    group     G groups        axes K, L
    layer     G = 1, K = C    axis K: the channels of one position
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from enhance.norm.statistics import (
    Axes,
    affine_,
    center,
    combine_,
    count_over,
    dense_difference,
    memory_format,
    per_channel,
    split_channels,
    sum_over,
    sum_products,
)

BATCH: Axes = (0, 2, 3)
PLANES: Axes = (2, 3)
CHANNELS: Axes = (2,)


class _Normalize(torch.autograd.Function):
    """Keeps for backward the input, mean and 1 / sqrt(variance + eps), nothing of the input's size besides.

    Both ways the work is done in place on one copy of the input, which becomes the result.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        num_groups: int,
        axes: Axes,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        y, (mean, residual, variance) = center(x, num_groups, axes)
        values = split_channels(y, num_groups)  # a view: y changes with it
        rstd = (variance + eps).rsqrt_()
        scale, shift = rstd, -residual * rstd
        if weight is not None and bias is not None:
            gamma, beta = per_channel(weight, num_groups), per_channel(bias, num_groups)
            if 3 in axes:  # no vector depends on the position, and two affine maps make one
                scale, shift = scale * gamma, shift * gamma + beta
            else:
                affine_(values, scale, shift)
                scale, shift = gamma, beta
        affine_(values, scale, shift)
        mean += residual
        ctx.save_for_backward(x, weight, mean, rstd)
        ctx.num_groups, ctx.axes = num_groups, axes
        ctx.mark_non_differentiable(mean, variance)
        return y.to(x.dtype), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """With xhat the standardized input and the means taken over the axes:

        dx = (weight * dy - mean(weight * dy) - xhat * mean(weight * dy * xhat)) / sqrt(variance + eps)
        """
        x, weight, mean, rstd = ctx.saved_tensors
        axes, num_groups = ctx.axes, ctx.num_groups
        grad_x = dense_difference(x, mean, num_groups)
        values = split_channels(grad_x, num_groups)
        grad = grad_y.to(grad_x.dtype).contiguous(memory_format=memory_format(grad_x))
        grad = split_channels(grad, num_groups)
        if 3 in axes:  # weight and rstd are equal at all positions, and weigh sums instead of values
            grad_sum, product_sum = sum_over(grad, (3,)), sum_products(grad, values, (3,))
        else:
            grad_sum, product_sum = grad, grad * values
        product_sum *= rstd
        scale, grad_weight, grad_bias = rstd, None, None
        if weight is not None:
            gamma = per_channel(weight, num_groups)
            grad_weight = sum_over(product_sum, (0, 3)).flatten().to(weight.dtype)
            grad_bias = sum_over(grad_sum, (0, 3)).flatten().to(weight.dtype)
            product_sum *= gamma
            grad_sum = grad_sum * gamma  # not in place: it may be the gradient that was passed in
            if 3 in axes:
                scale = rstd * gamma
            else:
                grad = grad_sum
        minus_share = -1 / count_over(values, axes)
        slope = sum_over(product_sum, axes) * (rstd.square() * minus_share)
        shift = sum_over(grad_sum, axes) * (rstd * minus_share)
        combine_(values, slope, shift, grad, scale)
        return grad_x.to(x.dtype), grad_weight, grad_bias, None, None, None


def normalize(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, num_groups: int, axes: Axes, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Standardize x (N, C, *) over `axes`, then scale and shift each channel.

    Args:
        x: (N, C, *), any floating type and memory format; half types are computed in float32.
        weight, bias: (C,), or None together.
        num_groups: G, a divisor of C.
        axes: the axes of (N, G, K, L) that the statistics span: `BATCH`, `PLANES` or `CHANNELS`.
        eps: added to the variance.

    Returns:
        y (N, C, *) of the type of x; mean and biased variance, broadcastable to (N, G, K, L), not differentiable.
    """
    return _Normalize.apply(x, weight, bias, num_groups, axes, eps)


def scale_and_shift(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """The same with given statistics: x (N, C, *); mean, variance, weight and bias (C,)."""
    scale = (variance.to(torch.promote_types(x.dtype, torch.float32)) + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale
    if bias is not None:
        shift = shift + bias
    shape = (1, -1) + (1,) * (x.dim() - 2)
    return (x * scale.view(shape)).add_(shift.view(shape)).to(x.dtype)
