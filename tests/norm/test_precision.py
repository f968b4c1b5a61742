"""Statistics stay exact where the mean is far larger than the spread, and properties that hold for every shape."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from enhance.norm import plain
from enhance.norm.batch import BatchNorm
from enhance.norm.functional import BATCH, CHANNELS, PLANES, channel_moments, normalize, scale_and_shift
from enhance.norm.layout import Axes, split_channels
from enhance.norm.statistics import Moments, center
from tests.norm.test_against_torch import LAYOUTS, assert_equal_to_torch, randomized


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("mean_over_std", [1e2, 1e4, 1e6])
def test_mean_far_above_the_spread(mean_over_std: float, memory_format: torch.memory_format) -> None:
    x = torch.randn(4, 6, 61, 67, dtype=torch.float64) * 0.5 + 0.5 * mean_over_std
    x = x.float().to(memory_format=memory_format)
    exact = x.double()
    layer = BatchNorm(6, momentum=1.0)
    y = layer(x)
    mean, variance = exact.mean((0, 2, 3), keepdim=True), exact.var((0, 2, 3), keepdim=True)
    # The buffer has float32's 24 bits; what standardizes the batch has more.
    torch.testing.assert_close(layer.running_mean.double(), mean.flatten(), rtol=1e-7, atol=0)
    torch.testing.assert_close(layer.running_var.double(), variance.flatten(), rtol=1e-5, atol=0)
    expected, _, _ = plain.normalize(exact, None, None, 6, BATCH, layer.eps)
    torch.testing.assert_close(y.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("mean_over_std", [1e2, 1e4, 1e6])
def test_gradients_where_the_mean_is_far_above_the_spread(twin, mean_over_std: float, layout: str) -> None:
    """What rounding left of the mean counts there in backward, too."""
    x = LAYOUTS[layout](0.5 * torch.randn(4, 6, 21, 17) + 0.5 * mean_over_std)
    assert_equal_to_torch(randomized(twin.ours()), twin.theirs(4), x, torch.randn(x.shape), 1e-4)


def test_torchs_channels_last_path_fails_there() -> None:
    """What the test above is for; once torch mends it, this one fails and may go."""
    exact = torch.randn(4, 6, 61, 67, dtype=torch.float64) * 0.5 + 0.5e6
    x = exact.float().to(memory_format=torch.channels_last)
    expected = nn.functional.batch_norm(x.double(), None, None, training=True)
    errors = {layer: (layer(x).double() - expected).abs().max().item() for layer in (BatchNorm(6), nn.BatchNorm2d(6))}
    assert [error < 1e-5 for error in errors.values()] == [True, False], errors


def test_one_far_image_among_many() -> None:
    """The first mean is off by rounding for every image; only the second pass finds the small spread within."""
    x = torch.randn(8, 6, 16, 16, dtype=torch.float64)
    x[0] += 1e5
    layer = BatchNorm(6, momentum=1.0)
    layer(x.float())
    torch.testing.assert_close(layer.running_var.double(), x.float().double().var((0, 2, 3)), rtol=1e-6, atol=0)


@pytest.mark.parametrize("axes", [BATCH, PLANES, CHANNELS])
def test_center_leaves_what_it_says(axes: Axes) -> None:
    x = torch.randn(3, 6, 5, 7) * 2 + 1e4
    values, (mean, residual, variance) = center(split_channels(x, 2), None, axes)
    wide = x.double().reshape(3, 2, 3, 35)
    zero = torch.zeros_like(wide)  # statistics may come repeated along an axis
    torch.testing.assert_close(values + mean, wide.float())
    exact = wide.mean(axes, keepdim=True), wide.var(axes, unbiased=False, keepdim=True)
    torch.testing.assert_close(zero + (mean.double() + residual), zero + exact[0], rtol=1e-10, atol=0)
    torch.testing.assert_close(zero + variance, zero + exact[1], rtol=1e-5, atol=0)


SIZES = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 7), st.integers(1, 7))


@settings(max_examples=25, deadline=None)
@given(sizes=SIZES, axes=st.sampled_from([BATCH, PLANES, CHANNELS]), seed=st.integers(0, 2**16))
def test_normalize_is_its_formula(sizes: tuple[int, ...], axes: Axes, seed: int) -> None:
    n, groups, size, h, w = sizes
    torch.manual_seed(seed)
    draw = partial(torch.randn, dtype=torch.float64)
    x, weight, bias, grad = (
        2 * draw(n, groups * size, h, w) + 3,
        draw(groups * size),
        draw(groups * size),
        draw(n, 1, h, w),
    )
    results = []
    for compute in (normalize, plain.normalize):
        leaves = [tensor.clone().requires_grad_() for tensor in (x, weight, bias)]
        y, mean, variance = compute(*leaves, groups, axes, 1e-5)
        grads = torch.autograd.grad(y, leaves, grad.expand_as(y))
        zero = torch.zeros(n, groups, size, h * w, dtype=torch.float64)  # statistics may come repeated along an axis
        results.append((y, zero + mean, zero + variance, *grads))
    torch.testing.assert_close(*results, rtol=0, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(images=st.integers(1, 3), channels=st.integers(1, 4), length=st.integers(1, 5))
def test_scale_and_shift_is_its_formula(images: int, channels: int, length: int) -> None:
    draw = partial(torch.randn, dtype=torch.float64)
    vectors = draw(channels), draw(channels).square(), draw(channels), draw(channels)
    x = draw(images, channels, length)
    torch.testing.assert_close(scale_and_shift(x, *vectors, 1e-5), plain.scale_and_shift(x, *vectors, 1e-5))


@settings(max_examples=15, deadline=None)
@given(factor=st.floats(0.5, 1e3), offset=st.floats(-1e3, 1e3))
def test_batch_norm_takes_scale_and_offset_away(factor: float, offset: float) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 6, 9, 9, dtype=torch.float64)
    layer = BatchNorm(6, eps=0).double()
    torch.testing.assert_close(layer(factor * x + offset), layer(x), rtol=0, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 19), unique=True), far=st.sampled_from([0.0, 1e6]))
def test_moments_of_parts_merge_to_those_of_the_whole(cuts: list[int], far: float) -> None:
    torch.manual_seed(0)
    x = torch.randn(20, 3, 5, dtype=torch.float64) + far
    parts = [channel_moments(part) for part in x.tensor_split(sorted(cuts))]
    merged: Moments = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    assert merged.count == 100
    torch.testing.assert_close(merged.mean, x.mean((0, 2)), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(merged.variance, x.var((0, 2), unbiased=False), rtol=1e-8, atol=0)
