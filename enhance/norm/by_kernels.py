"""The norms by the kernels of `kernels` and `layer_kernels`, with their gradients."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from enhance.norm import launch, plain
from enhance.norm.functional import (
    BATCH,
    CHANNELS,
    OVER_RANKS_TWICE,
    PLANES,
    TWICE,
    MeansOf,
    differentiable_gradients,
)
from enhance.norm.launch import NO_ACTIVATION, Activation, Kept, Running
from enhance.norm.layout import Axes, dense, dense_like
from enhance.norm.statistics import Statistics


class _Normalize(torch.autograd.Function):
    """Saves for backward the input, or with `kept` the output; and vectors."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        images: int,
        group: int,
        eps: float,
        activation: Activation,
        running: Running | None,
        choose: Callable[[Tensor, Tensor], Tensor] | None,
        statistics: Tensor | None,
        means_of: MeansOf | None,
    ) -> tuple[Tensor, Tensor]:
        source = dense(x)
        if statistics is None:
            statistics = launch.statistics_of(source, images, group, eps)
        y = launch.output(source, statistics, images, weight, bias, activation, running)
        kept: tuple[Tensor, ...] = ()
        if choose is not None:
            kept_channels = choose(y, statistics)
            values = source.index_select(1, kept_channels).float().contiguous()
            values = values.view(len(x), len(kept_channels), x.shape[2:].numel())
            mean, residual, rstd = (statistics[:3, 0, kept_channels].unsqueeze(-1)).unbind()
            values.sub_(mean).sub_(residual).mul_(rstd)
            slots = torch.full_like(statistics[0, 0], -1, dtype=torch.int32)
            slots[kept_channels] = torch.arange(len(kept_channels), dtype=torch.int32, device=x.device)
            kept = slots, values
        ctx.save_for_backward(x if choose is None else y, weight, bias, statistics, *kept)
        ctx.options = images, group, eps, activation
        ctx.means_of = means_of
        ctx.mark_non_differentiable(statistics)
        return y, statistics

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        saved, weight, bias, statistics, *kept = ctx.saved_tensors
        images, group, _, activation = ctx.options
        grads: Sequence[Tensor | None]
        if torch.is_grad_enabled():
            if kept or ctx.means_of is not None:
                raise RuntimeError(TWICE if kept else OVER_RANKS_TWICE)
            grads = _differentiable(saved, weight, bias, grad_y, ctx)
        else:
            saved = dense(saved)
            grad_y = dense_like(grad_y, saved)
            others = Kept(*kept) if kept else None
            vectors = weight, bias, activation, others, ctx.means_of
            grads = launch.gradient(saved, grad_y, statistics, images, group, *vectors)
        return *grads, *[None] * 8


def _differentiable(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, grad_y: Tensor, ctx: Any
) -> list[Tensor | None]:
    images, group, eps, activation = ctx.options

    def output(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        axes = PLANES if images == 1 else BATCH
        parts = [x] if images == 1 else x.split(images)
        y = torch.cat([plain.normalize(part, weight, bias, x.shape[1] // group, axes, eps)[0] for part in parts])
        if activation.name == "leaky_relu":
            return F.leaky_relu(y, activation.slope)
        return F.elu(y) if activation.name == "elu" else y

    return differentiable_gradients(output, (x, weight, bias), ctx.needs_input_grad[:3], grad_y)


def batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    images: int | None = None,
    activation: Activation = NO_ACTIVATION,
    running: Running | None = None,
    choose: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Batch norm of runs of `images` images each, None: of all; and statistics as `launch.statistics_of` gives them.

    Args:
        x: (N, C, *), with values.
        activation: follows the scale and shift.
        running: takes the statistics of all images in.
        choose: of output and statistics, the channels whose output does not give their input back, int64 (K,). Their
            input is saved for backward; of the others the output is. None: the whole input is saved.
    """
    return _Normalize.apply(x, weight, bias, images or len(x), 1, eps, activation, running, choose, None, None)


class _LayerNorm(torch.autograd.Function):
    """Saves for backward the input, the parameters, and two numbers for each position."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        y, mean, rstd = launch.layer_output(dense(x), weight, bias, eps)
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, rstd = ctx.saved_tensors
        if torch.is_grad_enabled():

            def output(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
                return plain.normalize(x, weight, bias, 1, CHANNELS, ctx.eps)[0]

            return *differentiable_gradients(output, (x, weight, bias), ctx.needs_input_grad[:3], grad_y), None
        x = dense(x)
        return *launch.layer_gradient(x, dense_like(grad_y, x), mean, rstd, weight, bias), None


def channel_statistics(x: Tensor) -> Statistics:
    """As `functional.channel_statistics`."""
    mean, residual, _, variance = launch.statistics_of(dense(x), len(x), 1, 0.0).view(4, 1, -1, 1, 1)
    return Statistics(mean, residual, variance)


def normalize(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    num_groups: int,
    axes: Axes,
    eps: float,
    known: Statistics | None,
    means_of: MeansOf | None,
) -> tuple[Tensor, Any, Any]:
    """As `functional.normalize`; mean and variance of batch norm alone."""
    if 3 not in axes:
        return _LayerNorm.apply(x, weight, bias, eps), None, None
    images, group = len(x) if 0 in axes else 1, x.shape[1] // num_groups
    given = None
    if known is not None:
        given = torch.stack((known.mean, known.residual, (known.variance + eps).rsqrt(), known.variance))
        given = given.view(4, 1, x.shape[1])
    y, statistics = _Normalize.apply(x, weight, bias, images, group, eps, NO_ACTIVATION, None, None, given, means_of)
    mean, residual, _, variance = statistics.view(4, -1, num_groups, group, 1) if 0 in axes else [None] * 4
    return y, None if mean is None else mean + residual, variance
