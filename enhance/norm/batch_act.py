"""Batch norm and activation in one layer, after In-Place Activated BatchNorm (Rota Bulo, Porzi and Kontschieder 2018,
arXiv 1712.02616).

Batch norm saves its input for backward, the activation its output, which the next convolution saves as well. Here only
the output is saved: with z = act^-1(y) and xhat = (z - bias) / weight, backward computes what it needs from it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from enhance.norm import layout
from enhance.norm.batch import AnyBatchNorm
from enhance.norm.functional import BATCH, KERNELS, PLAIN, TWICE, implementation, standardized
from enhance.norm.statistics import Moments

_SLOPE = 0.2
# By how much xhat may be coarser than a rounding: 128 * 2^-24 = 8e-6 in float32, 1.4e-14 in float64.
_MOST_ROUNDINGS = 128.0
_SMALLEST_WEIGHT = 2.0**-60  # far enough from the end of float32's range for weight * xhat to keep its digits


@dataclass(frozen=True)
class _Activation:
    apply_: Callable[[Tensor], Tensor]  # in place
    inverse: Callable[[Tensor], Tensor]  # y -> z
    backward: Callable[[Tensor, Tensor], Tensor]  # dy, y -> dz
    roundings: Callable[[Tensor], Tensor] | None  # y -> error of the inverse, in roundings of 1; None: at most |z|


ACTIVATIONS = {
    "leaky_relu": _Activation(
        apply_=lambda z: F.leaky_relu_(z, _SLOPE),
        inverse=lambda y: F.leaky_relu(y, 1 / _SLOPE),
        backward=lambda grad, y: torch.ops.aten.leaky_relu_backward(grad, y, _SLOPE, True),
        roundings=None,
    ),
    "elu": _Activation(
        apply_=lambda z: F.elu_(z),
        inverse=lambda y: torch.where(y > 0, y, y.log1p()),
        backward=lambda grad, y: torch.ops.aten.elu_backward(grad, 1.0, 1.0, 1.0, True, y),
        roundings=lambda y: -y / (1 + y),  # a rounding of y times the slope of log1p; grows towards the limit -1
    ),
}


class _NormalizeAndActivate(torch.autograd.Function):
    """Saves for backward the output and vectors; of channels that cannot be inverted also the standardized input."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, activation: _Activation
    ) -> tuple[Tensor, Tensor, Tensor]:
        num_channels = x.shape[1]
        y, (mean, residual, variance), rstd = standardized(x, weight, bias, num_channels, BATCH, eps)
        values = layout.split_channels(y, num_channels)  # a view: y changes with it
        activation.apply_(y)
        std = (variance.sqrt() * rstd).flatten()
        if layout.has_values(x):
            channels = _not_invertible(values, std, weight, bias, activation).nonzero().flatten()
        else:  # as a new layer, whose channels nearly all stay invertible
            channels = x.new_empty(0, dtype=torch.int64)
        saved = None
        if len(channels):
            saved = layout.split_channels(layout.dense_copy(x.index_select(1, channels)), len(channels))
            saved.sub_(mean[:, channels]).sub_(residual[:, channels]).mul_(rstd[:, channels])
        mean += residual
        ctx.save_for_backward(y, weight, bias, rstd, channels, saved)
        ctx.activation = activation
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """With the means taken over the batch and all positions:

        dx = weight / sqrt(variance + eps) * (dz - mean(dz) - xhat * mean(dz * xhat))
        """
        if torch.is_grad_enabled():
            raise RuntimeError(TWICE)
        y, weight, bias, rstd, channels, saved = ctx.saved_tensors
        grad_x = ctx.activation.inverse(y)
        xhat = layout.split_channels(grad_x, y.shape[1])  # a view: becomes grad_x
        gamma, beta = layout.per_channel(weight, y.shape[1]), layout.per_channel(bias, y.shape[1])
        if bias is not None:
            xhat.sub_(beta)
        if weight is not None:
            xhat.div_(gamma)
        if saved is not None:
            xhat.index_copy_(1, channels, saved)
        grad = layout.split_channels(ctx.activation.backward(layout.dense_like(grad_y, y), y), y.shape[1])
        grad_sum, product_sum = layout.sum_over(grad, BATCH), layout.sum_products(grad, xhat, BATCH)
        scale = rstd if weight is None else rstd * gamma
        grad_weight = None if weight is None else product_sum.flatten().to(weight.dtype)
        grad_bias = None if bias is None else grad_sum.flatten().to(bias.dtype)
        minus_share = scale * (-1 / layout.count_over(xhat, BATCH))
        layout.combine_(xhat, product_sum * minus_share, grad_sum * minus_share, grad, scale, xhat)
        return grad_x, grad_weight, grad_bias, None, None


def _not_invertible(
    values: Tensor, std: Tensor, weight: Tensor | None, bias: Tensor | None, activation: _Activation
) -> Tensor:
    """Which channels of the output (N, C, 1, L) do not give their standardized input back, (C,).

    z = weight * xhat + bias carries a rounding of |bias|, or that of the activation's inverse, and weight divides it.
    What is left counts beside `std`, (C,), that of xhat: eps makes it less than 1 where a channel is nearly constant.
    Comparisons are such that a channel with NaN is among them.
    """
    spread = std if weight is None else std * weight.abs()
    roundings = values.new_zeros(values.shape[1]) if bias is None else bias.abs()
    if activation.roundings is not None:
        lowest = values.amin(3).amin(0).flatten()
        roundings = torch.maximum(roundings, activation.roundings(lowest))
    return ((spread > _SMALLEST_WEIGHT) & (roundings <= _MOST_ROUNDINGS * spread)).logical_not()


class BatchNormAct(AnyBatchNorm):
    """Batch norm, then LeakyReLU (slope 0.2) or ELU (alpha 1): (N, C, *) -> the same shape, type and memory format.

    Function, gradients, parameters and buffers are those of `BatchNorm` followed by the activation; a state_dict loads
    either way, for the weight keeps its sign (the paper takes its absolute value). What training saves for backward
    is the output alone, so nothing may change the output in place.

    It saves more where the output does not determine the input: of channels whose weight is 0 or small beside their
    bias, or whose ELU has saturated, the standardized input as well. Of half types it saves the whole input, as batch
    norm does: their output has 8 or 11 bits. So does a compiled or exported layer, whose graph cannot choose by value.

    Args:
        activation: "leaky_relu" or "elu".

    Raises:
        ValueError: another activation, which has no inverse or another slope.
    """

    shown = (*AnyBatchNorm.shown, "activation")
    activates: bool = True  # no activation follows

    def __init__(
        self,
        num_features: int,
        activation: str = "leaky_relu",
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation={activation} has no inverse here: choose {' or '.join(ACTIVATIONS)}")
        self.activation = activation

    def _by_running_statistics(self, x: Tensor) -> Tensor:
        return ACTIVATIONS[self.activation].apply_(super()._by_running_statistics(x))

    def _by_batch_statistics(self, x: Tensor) -> tuple[Tensor, Moments | None]:
        activation = ACTIVATIONS[self.activation]
        way = implementation(x)
        inverts = x.dtype in (torch.float32, torch.float64) and torch.is_grad_enabled()
        if way == KERNELS:
            return self._by_kernels(x, inverts), None
        if not inverts or torch.compiler.is_compiling() or way == PLAIN or not x.numel():
            y, batch = super()._by_batch_statistics(x)
            return activation.apply_(y), batch
        y, mean, variance = _NormalizeAndActivate.apply(x, self.weight, self.bias, self.eps, activation)
        return y, self._moments(x, mean, variance)

    def _by_kernels(self, x: Tensor, inverts: bool) -> Tensor:
        from enhance.norm import by_kernels
        from enhance.norm.launch import Activation

        def kept(y: Tensor, statistics: Tensor) -> Tensor:
            _, _, rstd, variance = statistics[:, 0]
            values, std = layout.split_channels(y, x.shape[1]), variance.sqrt() * rstd
            kind = ACTIVATIONS[self.activation]
            return _not_invertible(values, std, self.weight, self.bias, kind).nonzero().flatten()

        if x.is_cuda and torch.cuda.is_current_stream_capturing():  # a CUDA graph cannot choose
            inverts = False
        activation, choose = Activation(self.activation, _SLOPE), kept if inverts else None
        return by_kernels.batch_norm(
            x, self.weight, self.bias, self.eps, activation=activation, running=self._running(), choose=choose
        )[0]
