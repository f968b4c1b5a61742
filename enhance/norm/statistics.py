"""Mean and variance, exact where E[x^2] - E[x]^2 is not, and mergeable."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from enhance.norm.layout import (
    Axes,
    count_over,
    for_each_channel,
    on_cpu,
    subtract,
    sum_over,
    sum_products,
    to_float64,
    workspace,
)


class Statistics(NamedTuple):
    """Of the values before `center`; broadcast to (N, G, K, L)."""

    mean: Tensor  # what was subtracted
    residual: Tensor  # what rounding left: the mean is `mean` + `residual`
    variance: Tensor  # biased

    def moments(self, count: int) -> "Moments":
        """Of `count` values each, as float64 vectors."""
        mean, residual, variance = (to_float64(statistic.flatten()) for statistic in self)
        return Moments(count, mean + residual, variance * count)


def center(source: Tensor, result: Tensor | None, axes: Axes) -> tuple[Tensor, Statistics]:
    """source (N, G, K, L) minus its mean over `axes`, in float32 or wider (in `result`, if it is), and what is measured
    on the way.

    The corrected two-pass algorithm (Chan, Golub and LeVeque 1983, "Algorithms for Computing the Sample Variance",
    eq. 1.7): the second pass also sums the centered values, which takes the rounding of the first mean away.
    """
    source, values = workspace(source, result)
    share = 1 / count_over(source, axes)
    mean = for_each_channel(sum_over(source, axes), source, axes) * share
    subtract(source, values, mean)
    if not on_cpu(source) and not torch.compiler.is_compiling():
        variance, residual = torch.var_mean(values, axes, correction=0, keepdim=True)
        vectors = (for_each_channel(each, values, axes) for each in (residual, variance))
        return values, Statistics(mean, *vectors)
    residual = for_each_channel(sum_over(values, axes), values, axes) * share
    variance = for_each_channel(sum_products(values, values, axes), values, axes) * share
    # Below 0 by rounding, of a channel that is constant.
    return values, Statistics(mean, residual, variance.addcmul_(residual, residual, value=-1).clamp_(min=0))


def merged(counts: Tensor, means: Tensor, m2s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Count, mean and sum of squared deviations of several sets of values, one along the first axis of each argument
    (Chan et al. 1983, eq. 2.1). A set without values weighs nothing."""
    count = counts.sum(0)
    mean = (counts * means).sum(0) / count
    return count, mean, (m2s + counts * (means - mean).square()).sum(0)


def split(mean: Tensor, variance: Tensor, dtype: torch.dtype) -> Statistics:
    """Statistics of `dtype` from those in float64."""
    rounded = mean.to(dtype)
    return Statistics(rounded, (mean - rounded).to(dtype), variance.to(dtype))


@dataclass(frozen=True)
class Moments:
    """Population moments of some values, ready to be merged with those of others."""

    count: int | Tensor  # a Tensor where the device alone knows it
    mean: Tensor
    m2: Tensor  # sum of squared deviations from `mean`

    @property
    def variance(self) -> Tensor:
        """Biased variance."""
        return self.m2 / self.count

    @property
    def unbiased_variance(self) -> Tensor:
        return self.m2 / (self.count - 1)

    def merge(self, other: "Moments") -> "Moments":
        """Moments of both sets of values together (Chan et al. 1983, eq. 2.1)."""
        count = self.count + other.count
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count / count)
        m2 = self.m2 + other.m2 + delta.square() * (self.count * other.count / count)
        return Moments(count, mean, m2)
