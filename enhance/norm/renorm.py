"""Batch renormalization (Ioffe 2017, arXiv 1702.03275, algorithm 1)."""

from typing import Any

import torch
from torch import Tensor, nn

from enhance.norm.batch import AnyBatchNorm
from enhance.norm.functional import channel_statistics, normalize, then_affine
from enhance.norm.layout import to_float64, wide_type
from enhance.norm.statistics import Moments


class BatchRenorm(AnyBatchNorm):
    """Batch norm that corrects each batch's statistics towards the running ones, within limits:

        y = (r * (x - mean) / sqrt(variance + eps) + d) * weight + bias
        r = sqrt((variance + eps) / (running_var + eps)),     within 1 / r_limit and r_limit
        d = (mean - running_mean) / sqrt(running_var + eps),  within -d_limit and d_limit

    No gradient passes through r and d. Where neither meets its limit, training computes what evaluation does; with
    limits 1 and 0 the layer is `BatchNorm`, as it is in evaluation mode. Parameters and buffers have the same names.

    The limits widen with the share of the run that is done (`set_progress`): they are 1 and 0 up to `ramp_start`, so
    that the running statistics settle first, then rise linearly to `r_max` and `d_max`. The default shares
    are the paper's 5 000, 40 000 and 25 000 steps in a run of 100 000.

    Args:
        momentum: smaller by default than in `BatchNorm` (the paper has 0.01), since its noise enters training here.
        r_max, d_max: largest r, at least 1, and largest |d|, at least 0.
        ramp_start, r_ramp_end, d_ramp_end: shares of the run, between 0 and 1.

    Raises:
        ValueError: a ramp that ends before it starts.
    """

    kind = "batch renormalization"
    shown = (*AnyBatchNorm.shown, "r_max", "d_max", "ramp_start", "r_ramp_end", "d_ramp_end")
    progress: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.05,
        affine: bool = True,
        r_max: float = 3.0,
        d_max: float = 5.0,
        ramp_start: float = 0.05,
        r_ramp_end: float = 0.4,
        d_ramp_end: float = 0.25,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, device=device, dtype=dtype)
        for option, end in (("r_ramp_end", r_ramp_end), ("d_ramp_end", d_ramp_end)):
            if end <= ramp_start:
                raise ValueError(f"{option}={end} is not after ramp_start={ramp_start}: raise it")
        self.r_max = r_max
        self.d_max = d_max
        self.ramp_start = ramp_start
        self.r_ramp_end = r_ramp_end
        self.d_ramp_end = d_ramp_end
        # On the device, so that a compiled step neither waits for it nor is compiled again; not persistent, so that
        # a state_dict is that of a batch norm.
        self.register_buffer("progress", torch.tensor(0.0, device=device), persistent=False)

    def _by_batch_statistics(self, x: Tensor) -> tuple[Tensor, Moments | None]:
        if not self.training or not x.numel():
            return super()._by_batch_statistics(x)
        with torch.no_grad():
            statistics = channel_statistics(x.detach())
            batch = statistics.moments(self._count(x))
            r, d = self._correction(batch, wide_type(x))
        # xhat * r + d, then scale and shift, are one scale and one shift.
        weight, bias = then_affine(r, d, self.weight, self.bias)
        return normalize(x, weight, bias, self.num_groups, self.axes, self.eps, statistics)[0], batch

    def _correction(self, batch: Moments, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """r and d (C,)."""
        # Stacked, which torch.compile keeps for backward. Anything simpler it computes again there, from running
        # statistics that have moved by then (pytorch/pytorch#197039).
        running_mean, running_var = to_float64(torch.stack((self.running_mean, self.running_var))).unbind()
        running_std = (running_var + self.eps).sqrt()
        r_limit = 1 + (self.r_max - 1) * self._ramp(self.r_ramp_end)
        d_limit = self.d_max * self._ramp(self.d_ramp_end)
        r = ((batch.variance + self.eps).sqrt() / running_std).clamp(1 / r_limit, r_limit)
        d = ((batch.mean - running_mean) / running_std).clamp(-d_limit, d_limit)
        return r.to(dtype), d.to(dtype)

    def _ramp(self, ramp_end: float) -> Tensor:
        """Share of a limit's ramp that is done, between 0 and 1."""
        return ((to_float64(self.progress) - self.ramp_start) / (ramp_end - self.ramp_start)).clamp(0, 1)


def set_progress(model: nn.Module, share: float) -> None:
    """Set in the model's batch renormalizations which share of the run is done, between 0 and 1, before each step.

    Does not wait for the device. No state_dict has it: a resumed run sets it again.
    """
    for module in model.modules():
        if isinstance(module, BatchRenorm):
            module.progress.fill_(share)
