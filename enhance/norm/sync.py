"""Synchronised batch normalization (Peng et al. 2018, "MegDet: A Large Mini-Batch Object Detector", arXiv 1711.07240):
the statistics of a batch that is spread over several processes."""

import torch
from torch import Tensor, distributed

from enhance.norm import layout
from enhance.norm.batch import BatchNorm
from enhance.norm.functional import BATCH, OVER_RANKS_PLAIN, PLAIN, channel_moments, implementation, normalize
from enhance.norm.statistics import Moments, merged, split


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
        if not (self.training and _several_ranks()):
            return super()._by_batch_statistics(x)
        if implementation(x) == PLAIN:  # which knows of no other rank
            raise RuntimeError(OVER_RANKS_PLAIN)
        if not layout.has_values(x):
            return super()._by_batch_statistics(x)
        count, mean, m2 = _over_ranks(x)
        # Reading the count makes the host wait. With two values here there is no need, and no other rank refuses.
        if self._count(x) < 2:
            super().check_count(x, int(count))

        def means_of(sums: Tensor) -> Tensor:
            """A gradient's sums over this rank's values -> means over those of all ranks."""
            distributed.all_reduce(sums)
            return sums / count

        # NaN where no rank has values, which gradients of 0 must not meet.
        of_all = torch.stack((mean, m2 / count)).where(count > 0, 0.0).view(2, 1, -1, 1, 1)
        known = split(of_all[0], of_all[1], layout.wide_type(x))
        y, _, _ = normalize(x, self.weight, self.bias, len(mean), BATCH, self.eps, known, means_of)
        return y, Moments(count, mean, m2)

    def check_count(self, x: Tensor, count: int) -> None:
        if not _several_ranks():  # else the count of all ranks decides, once it is known
            super().check_count(x, count)


@torch.no_grad()
def _over_ranks(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Count (), mean and sum of squared deviations, float64 (C,), of each channel of all ranks' x (N, C, *)."""
    channels = x.shape[1]
    # Filled on the device: a tensor made of a number would make the host wait.
    local = x.new_zeros(2 * channels + 1, dtype=torch.float64)
    if x.numel():  # a rank without values sends zeros
        moments = channel_moments(x)
        local = torch.cat((moments.mean, moments.m2, local[:1] + moments.count))
    gathered = local.new_empty(distributed.get_world_size(), len(local))
    distributed.all_gather(list(gathered), local)
    means, m2s, counts = gathered.split((channels, channels, 1), dim=1)
    count, mean, m2 = merged(counts, means, m2s)
    return count.squeeze(), mean, m2


def _several_ranks() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
