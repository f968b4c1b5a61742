"""The formulas of the norms in ordinary autograd operations: what `functional`, `frn` and `renorm` compute.

To read, for second derivatives, for what does not look through another backward pass (`functional.implementation`), and
for the tests to compare with. They keep several tensors of the input's size for backward, compute half types in
float32, and take no other care of rounding: compare in float64.
"""

import torch
from torch import Tensor


def normalize(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, num_groups: int, axes: tuple[int, ...], eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`functional.normalize`:

        y = (x - mean) / sqrt(variance + eps) * weight + bias

    Args:
        x: (N, C, *), seen as (N, G, K, L): G groups of K channels, L positions.
        weight, bias: (C,), or None.
        axes: of (N, G, K, L), which mean and variance are taken over.

    Returns:
        y (N, C, *); mean and biased variance, broadcastable to (N, G, K, L).
    """
    values = _split(_wide(x), num_groups)
    mean, variance = values.mean(axes, keepdim=True), values.var(axes, unbiased=False, keepdim=True)
    y = ((values - mean) / (variance + eps).sqrt()).reshape_as(x)
    return affine(y, weight, bias).to(x.dtype), mean, variance


def scale_and_shift(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """`functional.scale_and_shift`: the same with given mean and variance, (C,)."""
    return affine((x - _over(mean, x)) / (_over(variance, x) + eps).sqrt(), weight, bias)


def filter_response(x: Tensor, weight: Tensor, bias: Tensor, tau: Tensor, eps: float) -> Tensor:
    """`frn.FilterResponseNorm`, for weight, bias and tau (C,):

    z = max(x / sqrt(mean of x^2 over the positions + eps) * weight + bias, tau)
    """
    values = _wide(x)
    mean_square = _split(values, x.shape[1]).square().mean((2, 3))
    for _ in range(x.dim() - 2):
        mean_square = mean_square.unsqueeze(-1)
    return torch.maximum(affine(values / (mean_square + eps).sqrt(), weight, bias), _over(tau, x)).to(x.dtype)


def renormalize(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    r_limit: float,
    d_limit: float,
    eps: float,
) -> Tensor:
    """`renorm.BatchRenorm` in training, for running statistics, weight and bias (C,); no gradient passes r and d:

    y = ((x - mean) / sqrt(variance + eps) * r + d) * weight + bias
    """
    y, mean, variance = normalize(x, None, None, x.shape[1], (0, 2, 3), eps)
    running_std = (running_var + eps).sqrt()
    r = ((variance.flatten() + eps).sqrt() / running_std).clamp(1 / r_limit, r_limit).detach()
    d = ((mean.flatten() - running_mean) / running_std).clamp(-d_limit, d_limit).detach()
    return affine(affine(y, r, d), weight, bias)


def _over(vector: Tensor, x: Tensor) -> Tensor:
    """(C,) -> (1, C, 1, ...), which broadcasts over x (N, C, *)."""
    return vector.view(1, -1, *[1] * (x.dim() - 2))


def affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """x * weight + bias, channel by channel."""
    x = x if weight is None else x * _over(weight, x)
    return x if bias is None else x + _over(bias, x)


def _wide(x: Tensor) -> Tensor:
    """float32, or float64 where x is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _split(x: Tensor, num_groups: int) -> Tensor:
    """(N, C, *) -> (N, G, K, L)."""
    x = x.flatten(2) if x.dim() > 2 else x.unsqueeze(2)  # torch.jit.trace would take sides for constants
    return x.unflatten(1, (num_groups, -1))
