"""Mean and variance, exact where E[x^2] - E[x]^2 is not, and mergeable."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from enhance.norm.layout import Axes, count_over, for_each_channel, prepare, subtract, sum_over, sum_products


class Statistics(NamedTuple):
    """Of the values before `center`; broadcast to (N, G, K, L)."""

    mean: Tensor  # what was subtracted
    residual: Tensor  # what rounding left: the mean is `mean` + `residual`
    variance: Tensor  # biased


def center(x: Tensor, num_groups: int, axes: Axes) -> tuple[Tensor, Statistics]:
    """x (N, C, *) minus its mean over `axes` of (N, G, K, L), in float32 or wider, and what is measured on the way."""
    y, source, values = prepare(x, num_groups)
    return y, center_into(source, values, axes)


def center_into(source: Tensor, values: Tensor, axes: Axes) -> Statistics:
    """values = source - its mean over `axes`, for views (N, G, K, L) that `layout.prepare` made.

    The corrected two-pass algorithm (Chan, Golub and LeVeque 1983, "Algorithms for Computing the Sample Variance",
    eq. 1.7): the second pass also sums the centered values, which takes the rounding of the first mean away.
    """
    share = 1 / count_over(source, axes)
    mean = for_each_channel(sum_over(source, axes), source, axes) * share
    subtract(source, mean, values)
    residual = for_each_channel(sum_over(values, axes), values, axes) * share
    variance = for_each_channel(sum_products(values, values, axes), values, axes) * share
    # Below 0 by rounding, of a channel that is constant.
    return Statistics(mean, residual, variance.addcmul_(residual, residual, value=-1).clamp_(min=0))


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


def channel_moments(x: Tensor) -> Moments:
    """Moments of each channel of x (N, C, *), as float64 vectors (C,)."""
    count = x.numel() // x.shape[1]
    _, statistics = center(x, x.shape[1], (0, 2, 3))
    mean, residual, variance = (statistic.flatten().double() for statistic in statistics)
    return Moments(count, mean + residual, variance * count)
