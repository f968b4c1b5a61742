"""The one operation that every norm is: standardize over some axes, then scale and shift each channel.

    y = (x - mean) / sqrt(variance + eps) * weight + bias

on x seen as (N, G, K, L): N images, G groups of K channels, L positions. The axes that mean and variance are taken
over make the norm:

    batch     G = C, K = 1    axes N, K, L
    instance  G = C, K = 1    axes K, L
    group     G groups        axes K, L
    layer     G = 1, K = C    axis K: the channels of one position

`plain.normalize` is the same in ordinary operations, which serve where the gradient is to be differentiated itself, and
where `implementation` says so.
"""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from enhance.norm import layout, plain
from enhance.norm.layout import Axes
from enhance.norm.statistics import Moments, Statistics, center

MeansOf = Callable[[Tensor], Tensor]
_TRITON = importlib.util.find_spec("triton")  # torch brings it on Linux
BATCH: Axes = (0, 2, 3)
PLANES: Axes = (2, 3)
CHANNELS: Axes = (2,)


PLAIN, FAST, KERNELS = "plain", "fast", "kernels"
_forced: list[str] = []


def implementation(x: Tensor) -> str:
    """Which way a norm of x (N, C, *) is computed:

    - `FAST`: by a backward pass of its own, in place;
    - `KERNELS`: by Triton kernels, on a CUDA device, where Triton is installed. A compiler fuses operations by itself.
    - `PLAIN`: by ordinary operations, for what does not look through a backward pass of another kind: torch.func's
      transforms, compiled too, forward-mode differentiation and torch.jit.trace.
    """
    transformed = torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0
    if transformed or torch.jit.is_tracing():
        return PLAIN
    if torch.compiler.is_compiling():
        return FAST
    way = _forced[-1] if _forced else KERNELS if x.is_cuda else FAST
    return way if way != KERNELS or _have_kernels(x) else FAST


def _have_kernels(x: Tensor) -> bool:
    wide = x.dtype in (torch.float32, torch.bfloat16, torch.float16)
    # Places within an image, and a bit beyond its end, are counted in 32 bits; CUDA takes 65535 rows of programs.
    fits = 0 < x.numel() < len(x) * 2**30 and x.shape[1] < 2**16
    return wide and fits and layout.has_values(x) and _TRITON is not None


@contextmanager
def forced(way: str) -> Iterator[None]:
    """Within, `implementation` is `way`."""
    _forced.append(way)
    try:
        yield
    finally:
        _forced.pop()


def differentiable_gradients(
    output: Callable[..., Tensor], inputs: Sequence[Tensor | None], needed: Sequence[bool], grad_y: Tensor
) -> list[Tensor | None]:
    """The gradients of `output(*inputs)`, of those that are needed, by ordinary operations: a backward pass takes them
    where its own operations are recorded, for a second derivative."""
    asked = [each for each, need in zip(inputs, needed, strict=True) if need and each is not None]
    grads = iter(torch.autograd.grad(output(*inputs), asked, grad_y, create_graph=True))
    return [next(grads) if need and each is not None else None for each, need in zip(inputs, needed, strict=True)]


TWICE = "BatchNormAct saves no input to differentiate twice (create_graph=True): use BatchNorm and an activation"
OVER_RANKS_TWICE = "SyncBatchNorm of several processes has no second derivative: use BatchNorm"
OVER_RANKS_PLAIN = (
    "SyncBatchNorm of several processes takes no transform of torch.func, no forward-mode differentiation and no "
    "torch.jit.trace in training: use BatchNorm"
)


class _Normalize(torch.autograd.Function):
    """Saves for backward the input and vectors, nothing of the input's size besides."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        num_groups: int,
        axes: Axes,
        eps: float,
        known: Statistics | None,
        means_of: MeansOf | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        y, (mean, residual, variance), rstd = standardized(x, weight, bias, num_groups, axes, eps, known)
        # Layer norm's is of each position, and is measured again.
        ctx.save_for_backward(x, weight, bias, mean, residual if 3 in axes else None, rstd)
        ctx.options = num_groups, axes, eps
        ctx.means_of = means_of
        mean = mean + residual
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """With xhat the standardized input and the means taken over the axes:

        dx = (weight * dy - mean(weight * dy) - xhat * mean(weight * dy * xhat)) / sqrt(variance + eps)
        """
        x, weight, bias, *vectors = ctx.saved_tensors
        num_groups, axes, _ = ctx.options
        if torch.is_grad_enabled():
            if ctx.means_of is not None:
                raise RuntimeError(OVER_RANKS_TWICE)
            needed = ctx.needs_input_grad[:3]
            grads = differentiable_gradients(
                lambda *inputs: plain.normalize(*inputs, *ctx.options)[0], (x, weight, bias), needed, grad_y
            )
            return *grads, *[None] * 5
        grad_x, source, result = layout.prepare(x, num_groups)
        grad = layout.split_channels(layout.dense_like(grad_y, grad_x), num_groups)
        tensors = source, result, grad, *vectors, layout.per_channel(weight, num_groups)
        # Ranks wait for each other, and each may have parts of its own.
        blocks = [tensors] if ctx.means_of is not None else layout.in_channels(axes, *tensors)
        of_vectors = [_gradient(axes, ctx.means_of, *block) for block in blocks]
        of_weight, of_bias = (layout.joined(parts, 0) for parts in zip(*of_vectors, strict=True))
        grad_weight = None if weight is None else of_weight.to(weight.dtype)
        grad_bias = None if bias is None else of_bias.to(bias.dtype)
        return grad_x.to(x.dtype), grad_weight, grad_bias, *[None] * 5


def standardized(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    num_groups: int,
    axes: Axes,
    eps: float,
    known: Statistics | None = None,
) -> tuple[Tensor, Statistics, Tensor]:
    """`normalize` without a gradient: y, statistics, and 1 / sqrt(variance + eps)."""
    y, source, result = layout.prepare(x, num_groups)
    gamma, beta = layout.per_channel(weight, num_groups), layout.per_channel(bias, num_groups)
    tensors = source, result, gamma, beta, *(known or (None,) * 3)
    blocks = [_standardize(axes, eps, *block) for block in layout.in_channels(axes, *tensors)]
    mean, residual, variance, rstd = (layout.joined(parts, 1) for parts in zip(*blocks, strict=True))
    return y.to(x.dtype), Statistics(mean, residual, variance), rstd


def _standardize(
    axes: Axes, eps: float, source: Tensor, result: Tensor, gamma: Any, beta: Any, *known: Any
) -> tuple[Tensor, ...]:
    """result = the standardized source, both (N, G, K, L); returns its statistics and 1 / sqrt(variance + eps)."""
    mean, residual, variance = known
    if mean is None:
        values, (mean, residual, variance) = center(source, result, axes)
    else:
        values = layout.subtract(*layout.workspace(source, result), mean)
    rstd = (variance + eps).rsqrt_()
    scale, shift = rstd, -residual * rstd
    if 3 in axes:  # no vector depends on the position, and two affine maps make one
        scale, shift = then_affine(scale, shift, gamma, beta)
    elif gamma is not None or beta is not None:
        layout.affine_(values, scale, shift)
        one = torch.ones_like(gamma if beta is None else beta)
        scale, shift = then_affine(one, torch.zeros_like(one), gamma, beta)
    layout.affine_(values, scale, shift, result)
    return mean, residual, variance, rstd


def _gradient(
    axes: Axes,
    means_of: MeansOf | None,
    source: Tensor,
    result: Tensor,
    grad: Tensor,
    mean: Tensor,
    residual: Tensor | None,
    rstd: Tensor,
    gamma: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """result = the gradient of source, all (N, G, K, L) or vectors; returns those of weight and bias, (C,)."""
    values = layout.subtract(*layout.workspace(source, result), mean)
    grad = layout.wide_on_cpu(grad)
    if residual is not None:  # weight and rstd are equal at all positions, and weigh sums instead of values
        grad_sum, product_sum = layout.sum_over(grad, (3,)), layout.sum_products(grad, values, (3,))
        product_sum = product_sum - residual * grad_sum
    else:
        values -= layout.sum_over(values, axes) / layout.count_over(values, axes)
        grad_sum, product_sum = grad, grad * values
    product_sum *= rstd
    of_weight, of_bias = (layout.sum_over(each, (0, 3)).flatten() for each in (product_sum, grad_sum))
    scale = rstd
    if means_of is None:
        if gamma is not None:
            product_sum *= gamma
            grad_sum = grad_sum * gamma  # not in place: it may be the gradient that was passed in
        share = 1 / layout.count_over(source, axes)
        grad_mean, product_mean = (layout.sum_over(each, axes) * share for each in (grad_sum, product_sum))
    else:
        means = means_of(layout.to_float64(torch.stack((of_bias, of_weight)))).to(rstd.dtype)
        grad_mean, product_mean = (layout.per_channel(each, len(each)) for each in means)
        if gamma is not None:
            grad_mean, product_mean = grad_mean * gamma, product_mean * gamma
    if gamma is not None:
        scale = rstd * gamma if 3 in axes else rstd
        grad = grad if 3 in axes else grad_sum
    slope, shift = -product_mean * rstd.square(), -grad_mean * rstd
    if residual is not None:
        shift = shift - slope * residual
    layout.combine_(values, slope, shift, grad, scale, result)
    return of_weight, of_bias


def then_affine(scale: Tensor, shift: Tensor, gamma: Tensor | None, beta: Tensor | None) -> tuple[Tensor, Tensor]:
    """Scale and shift of (x * scale + shift) * gamma + beta, for vectors that broadcast; gamma and beta may be None."""
    if gamma is not None:
        scale, shift = scale * gamma, shift * gamma
    return scale, shift if beta is None else shift + beta


def channel_statistics(x: Tensor) -> Statistics:
    """Of each channel of x (N, C, *), which has values; (1, C, 1, 1), float32 or wider."""
    way = implementation(x)
    if way == PLAIN:
        _, mean, variance = plain.normalize(x, None, None, x.shape[1], BATCH, 1.0)
        return Statistics(mean, torch.zeros_like(mean), variance)
    if way == KERNELS:
        from enhance.norm import by_kernels  # which needs Triton

        return by_kernels.channel_statistics(x)
    if torch.compiler.is_compiling():
        _, source, result = layout.prepare(x, x.shape[1])
        return center(source, result, BATCH)[1]
    source = layout.split_channels(layout.dense(x), x.shape[1])
    blocks = [center(block, None, BATCH)[1] for (block,) in layout.in_channels(BATCH, source)]
    return Statistics(*(layout.joined(parts, 1) for parts in zip(*blocks, strict=True)))


def channel_moments(x: Tensor) -> Moments:
    """Moments of each channel of x (N, C, *), as float64 vectors (C,)."""
    return channel_statistics(x).moments(x.numel() // x.shape[1])


def normalize(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    num_groups: int,
    axes: Axes,
    eps: float,
    known: Statistics | None = None,
    means_of: MeansOf | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Standardize x (N, C, *) over `axes`, then scale and shift each channel.

    Args:
        x: any floating type and memory format; half types are computed in float32.
        weight, bias: (C,), or None.
        num_groups: G, a divisor of C.
        axes: of (N, G, K, L), which the statistics span: `BATCH`, `PLANES` or `CHANNELS`.
        known: the statistics over `BATCH`; None: they are taken of x.
        means_of: where `known` are of more than x, from the sums of dy and of dy * xhat over x, float64 (2, C), to
            their means over all that they are of.

    Returns:
        y (N, C, *) of the type of x; mean and biased variance, broadcastable to (N, G, K, L), not differentiable.
    """
    if not x.numel() and means_of is None:
        nothing = x.new_zeros(1, x.shape[1], 1, 1)
        # Of a copy: without weight and bias it would be x itself, which what follows may change in place.
        return plain.affine(x.clone(), weight, bias).to(x.dtype), nothing, nothing
    way = implementation(x)
    if way == PLAIN:
        return plain.normalize(x, weight, bias, num_groups, axes, eps)
    if way == KERNELS:
        from enhance.norm import by_kernels

        return by_kernels.normalize(x, weight, bias, num_groups, axes, eps, known, means_of)
    return _Normalize.apply(x, weight, bias, num_groups, axes, eps, known, means_of)


def scale_and_shift(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """The same with given statistics: x (N, C, *); mean, variance, weight and bias (C,)."""
    scale = (variance.to(layout.wide_type(x)) + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale
    if bias is not None:
        shift = shift + bias
    shape = (1, -1) + (1,) * (x.dim() - 2)
    return (x * scale.view(shape)).add_(shift.view(shape)).to(x.dtype)
