"""Ghost batch normalization (Hoffer, Hubara and Soudry 2017, "Train longer, generalize better", arXiv 1705.08741)."""

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

    Args:
        virtual_batch: images in a virtual batch.
        num_features, eps, momentum, affine, track_running_stats: as of `BatchNorm`.

    Example:
        >>> GhostBatchNorm(8, virtual_batch=2)(torch.rand(5, 8, 16, 16)).shape  # images 0-1, 2-3 and 4
        torch.Size([5, 8, 16, 16])
    """

    kind = "ghost batch norm"

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
        """Output, and moments of the whole batch."""
        if not self.training or x.shape[0] <= self.virtual_batch:
            return super()._by_batch_statistics(x)
        outputs: list[Tensor] = []
        pooled: Moments | None = None
        for part in x.split(self.virtual_batch):
            self._check_count(part, part.numel() // self.num_channels)
            y, moments = super()._by_batch_statistics(part)
            outputs.append(y)
            pooled = moments if pooled is None else pooled.merge(moments)
        assert pooled is not None
        return torch.cat(outputs), pooled

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, virtual_batch={self.virtual_batch}"
