"""Ghost batch normalization (Hoffer, Hubara and Soudry 2017, "Train longer, generalize better", arXiv 1705.08741)."""

from functools import reduce

import torch
from torch import Tensor

from enhance.norm.batch import BatchNorm
from enhance.norm.statistics import Moments


class GhostBatchNorm(BatchNorm):
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
    shown = (*BatchNorm.shown, "virtual_batch")

    def __init__(
        self,
        num_features: int,
        virtual_batch: int = 2,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats)
        self.virtual_batch = virtual_batch

    def _by_batch_statistics(self, x: Tensor) -> tuple[Tensor, Moments]:
        if not self.training or x.shape[0] <= self.virtual_batch:
            return super()._by_batch_statistics(x)
        outputs, moments = [], []
        for part in x.split(self.virtual_batch):
            self.check_count(part, self._count(part))
            y, of_part = super()._by_batch_statistics(part)
            outputs.append(y)
            moments.append(of_part)
        return torch.cat(outputs), reduce(Moments.merge, moments)
