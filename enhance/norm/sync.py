"""Synchronised batch normalization (Peng et al. 2018, "MegDet: A Large Mini-Batch Object Detector", arXiv 1711.07240):
the statistics of a batch that is spread over several processes."""

from typing import Any

import torch
from torch import Tensor, distributed

from enhance.norm import layout
from enhance.norm.batch import BatchNorm
from enhance.norm.functional import BATCH, then_affine
from enhance.norm.statistics import Moments, center


class _NormalizeOverRanks(torch.autograd.Function):
    """Saves for backward the input and vectors, nothing of the input's size besides."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if x.numel():
            y, (first_mean, residual, variance) = center(x, x.shape[1], BATCH)
        else:
            y = layout.dense_copy(x)
            first_mean = residual = variance = y.new_zeros(1, x.shape[1], 1, 1)
        values = layout.split_channels(y, x.shape[1])  # a view: y changes with it
        first_mean = first_mean.double()
        count, mean, m2 = _merged_over_ranks(layout.count_over(values, BATCH), first_mean + residual, variance.double())
        rstd = (m2 / count + eps).rsqrt_()
        gamma, beta = layout.per_channel(weight, x.shape[1]), layout.per_channel(bias, x.shape[1])
        scale, shift = then_affine(rstd, (first_mean - mean) * rstd, gamma, beta)
        layout.affine_(values, scale.to(y.dtype), shift.to(y.dtype))
        ctx.save_for_backward(x, weight, bias, mean, rstd, count)
        ctx.mark_non_differentiable(count, mean, m2)
        return y.to(x.dtype), count, mean, m2

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """With the means taken over all values of all ranks:

        dx = weight / sqrt(variance + eps) * (dy - mean(dy) - xhat * mean(dy * xhat))
        """
        if torch.is_grad_enabled():
            raise RuntimeError(
                "SyncBatchNorm (norm=sync_bn) of several processes has no second derivative: use BatchNorm"
            )
        x, weight, bias, mean, rstd, count = ctx.saved_tensors
        subtracted = mean.to(torch.promote_types(x.dtype, torch.float32))
        residual = mean - subtracted  # what rounding left
        grad_x, source, values = layout.prepare(x, x.shape[1])
        layout.subtract(source, subtracted, values)
        grad = layout.split_channels(layout.dense_like(grad_y, grad_x), x.shape[1])
        grad_sum = layout.sum_over(grad, BATCH).double()
        product_sum = (layout.sum_products(grad, values, BATCH) - residual * grad_sum) * rstd
        product_sum = product_sum.where(count > 0, 0.0)  # no rank has values, and mean and rstd are NaN
        scale = rstd if weight is None else rstd * layout.per_channel(weight, len(weight))
        grad_weight = None if weight is None else product_sum.flatten().to(weight.dtype)
        grad_bias = None if bias is None else grad_sum.flatten().to(bias.dtype)
        sums = torch.cat((grad_sum, product_sum))
        distributed.all_reduce(sums)
        grad_mean, product_mean = (sums / count).split(1)
        slope = -scale * rstd * product_mean
        shift = -scale * grad_mean - residual * slope
        slope, shift, scale = (vector.to(values.dtype) for vector in (slope, shift, scale))
        layout.combine_(values, slope, shift, grad, scale)
        return grad_x.to(x.dtype), grad_weight, grad_bias, None


def _merged_over_ranks(count: int, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Count (), mean and M2 of the values of all ranks, from this rank's; vectors are float64 (1, C, 1, 1).

    Chan et al. 1983, eq. 2.1, for several sets at once. A rank without values sends zeros, which weigh nothing.
    """
    channels = mean.numel()
    # Filled on the device: a tensor made of a number would make the host wait.
    local = torch.cat((mean.flatten(), variance.flatten() * count, mean.new_full((1,), count)))
    gathered = local.new_empty(distributed.get_world_size(), len(local))
    distributed.all_gather(list(gathered), local)
    means, m2s, counts = gathered.split((channels, channels, 1), dim=1)
    total = counts.sum()
    merged = (counts * means).sum(0) / total
    m2 = (m2s + counts * (means - merged).square()).sum(0)
    return total, layout.per_channel(merged, len(merged)), layout.per_channel(m2, len(m2))


class SyncBatchNorm(BatchNorm):
    """Batch norm whose statistics in training are those of the batches of all processes together.

    The processes ("ranks") are those of the default group of `torch.distributed`. Outputs, gradients of the input and
    running statistics are those of one batch of all ranks' images. Numbers and sizes of images may differ between
    ranks; a rank without images (shape (0, C, H, W)) contributes nothing and remembers what the others do. A batch that
    is not finite on any rank leaves the running statistics of all as they are.

    The loss is the sum of the ranks' losses. Gradients of `weight` and `bias` are each rank's share: summed over ranks
    they are those of one batch. `DistributedDataParallel` averages them, so that it arrives at the gradient of the mean
    of the ranks' losses, as for any other layer.

    Every rank must run each forward pass in training, and its backward pass, as often and in the same order as the
    others, without images too: they wait for each other. Without a process group, or with one of a single rank, it is
    `BatchNorm`; so it is in evaluation mode, where nothing is exchanged. Parameters and buffers have the same names.
    `TooFewValues` is raised on each rank, where a channel has fewer than two values on all of them together.
    """

    kind = "synchronised batch norm"

    def _by_batch_statistics(self, x: Tensor) -> tuple[Tensor, Moments | None]:
        if not (self.training and _several_ranks() and layout.has_values(x)):
            return super()._by_batch_statistics(x)
        y, count, mean, m2 = _NormalizeOverRanks.apply(x, self.weight, self.bias, self.eps)
        # Reading the count makes the host wait. With two values here there is no need, and no other rank refuses.
        if self._count(x) < 2:
            super().check_count(x, int(count))
        return y, Moments(count, mean.flatten(), m2.flatten())

    def check_count(self, x: Tensor, count: int) -> None:
        if not _several_ranks():  # else the count of all ranks decides, once it is known
            super().check_count(x, count)


def _several_ranks() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
