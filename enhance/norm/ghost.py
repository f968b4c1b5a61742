"""Ghost batch normalization (Hoffer, Hubara and Soudry 2017, "Train longer, generalize better", arXiv 1705.08741)."""

from functools import reduce
from typing import Any

import torch
from torch import Tensor

from enhance.norm.batch import AnyBatchNorm
from enhance.norm.functional import KERNELS, PLANES, implementation, normalize
from enhance.norm.layout import memory_format
from enhance.norm.statistics import Moments


class GhostBatchNorm(AnyBatchNorm):
    """Batch norm whose statistics in training come from virtual batches of a few images each.

    The batch is cut into runs of `virtual_batch` images, each standardized by its own statistics: the gradient stays
    that of the whole batch, the noise of the statistics becomes that of a small one. Images that are left over make
    a smaller virtual batch of their own, so that no statistic ever spans more than `virtual_batch` images. A batch of
    at most `virtual_batch` images is one virtual batch, and the layer is `BatchNorm`.

    The running statistics move once a step, to the moments pooled over all virtual batches, which are those of the
    whole batch. The paper moves them once for each virtual batch: `momentum` would then mean something else for each
    batch size, and the variance between virtual batches would be missing, which images in evaluation do have.

    In evaluation mode it is `BatchNorm`; parameters and buffers have the same names.
    """

    kind = "ghost batch norm"
    shown = (*AnyBatchNorm.shown, "virtual_batch")

    def __init__(
        self,
        num_features: int,
        virtual_batch: int = 2,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)
        self.virtual_batch = virtual_batch

    def _by_batch_statistics(self, x: Tensor) -> tuple[Tensor, Moments | None]:
        if not self.training or x.shape[0] <= self.virtual_batch or not x.numel():
            return super()._by_batch_statistics(x)
        if torch.compiler.is_compiling() and not torch.compiler.is_exporting() and x.shape[0] % self.virtual_batch == 0:
            return self._folded(x)
        if implementation(x) == KERNELS:
            return self._by_kernels(x)
        outputs: list[Tensor] = []
        moments: list[Any] = []
        for part in x.split(self.virtual_batch):
            self.check_count(part, self._count(part))
            y, of_part = super()._by_batch_statistics(part)
            outputs.append(y)
            moments.append(of_part)
        return torch.cat(outputs), reduce(Moments.merge, moments)

    def _by_kernels(self, x: Tensor) -> tuple[Tensor, Moments]:
        from enhance.norm import by_kernels

        y, statistics = by_kernels.batch_norm(x, self.weight, self.bias, self.eps, self.virtual_batch)
        mean, residual, _, variance = statistics
        an_image = x.shape[2:].numel()
        sizes = [an_image * min(self.virtual_batch, len(x) - start) for start in range(0, len(x), self.virtual_batch)]
        self.check_count(x, min(sizes))
        parts = zip(sizes, mean + residual, variance, strict=True)
        return y, reduce(Moments.merge, (Moments(size, each, var * size) for size, each, var in parts))

    def _folded(self, x: Tensor) -> tuple[Tensor, Moments]:
        """The same in one operation, for a compiler, which takes no loop whose length it does not know: each virtual
        batch as one image of instance norm, whose positions are those of all of its images."""
        images, length = x.shape[0] // self.virtual_batch, x.shape[2:].numel()
        parts = x.reshape(images, self.virtual_batch, self.num_channels, length).transpose(1, 2)
        y, mean, variance = normalize(parts.flatten(2), self.weight, self.bias, self.num_groups, PLANES, self.eps)
        y = y.view(parts.shape).transpose(1, 2).reshape(x.shape)
        means = mean.view(images, self.num_channels)
        pooled, count = means.mean(0), self._count(x)
        between = (means - pooled).square() + variance.view(images, self.num_channels)
        return y.contiguous(memory_format=memory_format(x)), Moments(count, pooled, between.mean(0) * count)
