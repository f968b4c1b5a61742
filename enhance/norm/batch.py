"""Batch normalization (Ioffe and Szegedy 2015, "Batch Normalization", arXiv 1502.03167, algorithms 1 and 2), and the
frozen one, by its running statistics in training too (He et al. 2016, arXiv 1512.03385, appendix A)."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from enhance.norm.base import ChannelNorm
from enhance.norm.functional import BATCH, KERNELS, implementation, normalize, scale_and_shift
from enhance.norm.statistics import Moments


class AnyBatchNorm(ChannelNorm, _NormBase):
    """What `BatchNorm` and its kin share. Parameters and buffers, and how they are reset and loaded from older
    checkpoints, are those of torch's own batch norms.

    Args:
        num_features: number of channels C.
        eps: added to the variance.
        momentum: share of the new batch in the running statistics; None averages all batches with equal weight.
        affine: learn `weight` and `bias` per channel.
        track_running_stats: keep running statistics; without them evaluation uses each batch's own.
        device, dtype: of parameters and buffers.
    """

    axes = BATCH
    kind = "batch norm"
    shown: ClassVar[tuple[str, ...]] = ("eps", "momentum", "affine", "track_running_stats")
    frozen: bool = False  # standardize by the running statistics in training too, and never move them
    # Or None, all three, which a type checker would have asserted wherever they are used.
    running_mean: Tensor | Any
    running_var: Tensor | Any
    num_batches_tracked: Tensor | Any

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        _NormBase.__init__(self, num_features, eps, momentum, affine, track_running_stats, device, dtype)
        self.num_channels = self.num_groups = num_features

    def reset_parameters(self) -> None:
        _NormBase.reset_parameters(self)

    def standardize(self, x: Tensor) -> Tensor:
        """In training mode, each channel needs two values in the batch."""
        if self.running_mean is not None and (self.frozen or not self.training):
            return self._by_running_statistics(x)
        if self.training:
            self.check_count(x, self._count(x))
        y, batch = self._by_batch_statistics(x)
        if self.training and self.running_mean is not None and batch is not None:
            self._track(batch)
        return y

    def _by_running_statistics(self, x: Tensor) -> Tensor:
        return scale_and_shift(x, self.running_mean, self.running_var, self.weight, self.bias, self.eps)

    def _by_batch_statistics(self, x: Tensor) -> tuple[Tensor, Moments | None]:
        """Output, and moments (C,) of the batch for the running statistics; None where they have taken them in."""
        if implementation(x) == KERNELS:
            from enhance.norm import by_kernels

            return by_kernels.batch_norm(x, self.weight, self.bias, self.eps, running=self._running())[0], None
        y, mean, variance = normalize(x, self.weight, self.bias, self.num_groups, self.axes, self.eps)
        return y, self._moments(x, mean, variance)

    def _running(self) -> Any:
        """What the kernels move in the same launch; None: nothing."""
        from enhance.norm.launch import Running

        if not self.training or self.running_mean is None:
            return None
        return Running(self.running_mean, self.running_var, self.num_batches_tracked, self.momentum)

    def _moments(self, x: Tensor, mean: Tensor, variance: Tensor) -> Moments:
        return Moments(self._count(x), mean.flatten(), variance.flatten() * self._count(x))

    def _count(self, x: Tensor) -> int:
        """Values of x (N, C, *) per channel."""
        return x.numel() // self.num_channels

    @torch.no_grad()
    def _track(self, batch: Moments) -> None:
        if isinstance(batch.count, int) and not batch.count:  # torch counts an empty batch
            self.num_batches_tracked.add_(1)
            return
        variance = batch.unbiased_variance
        # Chosen on the device, which the host need not wait for. Where the mean is not finite, no variance is.
        finite = variance.amax() < torch.inf
        self.num_batches_tracked.add_(finite)
        for running, new in ((self.running_mean, batch.mean), (self.running_var, variance)):
            new = torch.where(finite, new.to(running.dtype), running)
            if self.momentum is None:
                running.lerp_(new, (1.0 / self.num_batches_tracked.clamp(min=1)).to(running.dtype))
            else:
                running.lerp_(new, self.momentum)


class BatchNorm(AnyBatchNorm, _BatchNorm):
    """Standardize each channel over the batch and all positions; in evaluation mode, by the running statistics.

    It is a batch norm of torch's to what asks for one, such as `SyncBatchNorm.convert_sync_batchnorm` and
    `swa_utils.update_bn`, and a state_dict of either loads into the other; one class serves (N, C), (N, C, L),
    (N, C, H, W) and (N, C, D, H, W). A batch whose mean or variance is not finite leaves the running statistics as they
    are.

    `momentum` is the share of the new batch: running = (1 - momentum) * running + momentum * batch. Texts that put
    the momentum on the old value ("momentum 0.9") mean `momentum=0.1` here. The running variance takes the unbiased
    batch variance (divided by n - 1), as torch's does, while the batch itself is standardized by the biased one (by
    n); texts that keep the biased one arrive at (n - 1) / n of this layer's `running_var`.

    Arguments are those of `AnyBatchNorm`.

    Example:
        >>> BatchNorm(8)(torch.rand(4, 8, 16, 16)).shape
        torch.Size([4, 8, 16, 16])
    """


class FrozenBatchNorm(AnyBatchNorm):
    """`BatchNorm` that standardizes by its running statistics in training as in evaluation, and none ever moves.

    What is left is a learned scale and shift per channel of an input with fixed statistics; every image, and a single
    position too, is treated by itself. A new layer has mean 0 and variance 1, and is worth something only after the
    `state_dict` of a trained `BatchNorm` was loaded, whose names it shares.
    """

    frozen = True
    shown = ChannelNorm.shown

    def __init__(
        self, num_features: int, eps: float = 1e-5, affine: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(num_features, eps, affine=affine, device=device, dtype=dtype)


def freeze(model: nn.Module) -> None:
    """From now on the model's batch norms do as `FrozenBatchNorm` does, but for those without running statistics."""
    for module in model.modules():
        if isinstance(module, AnyBatchNorm) and module.running_mean is not None:
            module.frozen = True
