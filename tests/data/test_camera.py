"""The camera's signal, noise and quantization are those that its settings state."""

import numpy as np
import pytest

from enhance.data.camera import GAUSSIAN_FROM, darken, expose, linear_to_srgb, srgb_to_linear
from enhance.settings.schema import CameraSettings

SIDE = 300


def flat(value: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), value, np.uint8)


def linear(image: np.ndarray) -> np.ndarray:
    return srgb_to_linear(image / 255)


@pytest.mark.parametrize("read_noise", [0.0, 2.0, 4.0])
@pytest.mark.parametrize("electrons", [0.0, 0.3, 5.0, GAUSSIAN_FROM - 0.1, GAUSSIAN_FROM + 0.1, 300.0])
def test_mean_and_variance_of_the_electrons(electrons: float, read_noise: float) -> None:
    signal = np.full((3, 256), electrons, np.float32)
    read = expose(flat(7), signal, read_noise, np.random.default_rng(1)).astype(np.float64)
    variance = electrons + read_noise**2
    count = read.size
    assert abs(read.mean() - electrons) <= 5 * np.sqrt(variance / count)
    # the variance of a sample variance: 2 sigma^4 + the fourth cumulant, which is the mean for a Poisson variable
    assert abs(read.var() - variance) <= 5 * np.sqrt((2 * variance**2 + electrons) / count)


def test_few_electrons_are_counted_whole_without_read_noise() -> None:
    signal = np.full((3, 256), 2.0, np.float32)
    read = expose(flat(7), signal, 0.0, np.random.default_rng(1))
    values, counts = np.unique(read, return_counts=True)
    np.testing.assert_array_equal(values, np.rint(values))
    assert counts[values == 0] / read.size == pytest.approx(np.exp(-2), rel=0.02)


def test_exposure_scales_linear_light() -> None:
    quiet = CameraSettings(-3.0, -3.0, 0.0, full_well_electrons=1e9, read_noise_electrons=0.0)
    photograph = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    dark = darken(photograph, quiet, np.random.default_rng(0))
    wanted = 255 * linear_to_srgb(linear(photograph) / 8)
    assert np.abs(dark - wanted).max() <= 0.51  # rounded to the nearest of 256 levels


def test_noise_has_the_stated_size_in_the_image() -> None:
    camera = CameraSettings(-2.0, -2.0, 0.0, full_well_electrons=4000.0, read_noise_electrons=8.0)
    value = 200
    dark = linear(darken(flat(value), camera, np.random.default_rng(3))) * 4000
    electrons = float(linear(np.array(value))) * 1000
    assert dark.mean() == pytest.approx(electrons, rel=0.01)
    assert dark.std() == pytest.approx(np.sqrt(electrons + 64), rel=0.03)


def test_exposures_and_white_balance_are_drawn_from_their_ranges() -> None:
    camera = CameraSettings(-4.0, -1.0, 0.2, full_well_electrons=1e8, read_noise_electrons=0.0)
    rng = np.random.default_rng(0)
    white = np.full((2, 2, 3), 160, np.uint8)
    gains = np.array([linear(darken(white, camera, rng)).mean((0, 1)) for _ in range(800)]) / linear(white).mean()
    ev = np.log2(gains[:, 1])
    assert -4.1 < ev.min() < -3.9
    assert -1.1 < ev.max() < -0.9
    assert ev.mean() == pytest.approx(-2.5, abs=0.15)
    drift = np.log(gains[:, [0, 2]] / gains[:, 1:2])
    np.testing.assert_allclose(drift.std(0), 0.2, atol=0.03)


def test_clipping_at_black_and_white() -> None:
    bright = CameraSettings(1.0, 1.0, 0.0, full_well_electrons=1000.0, read_noise_electrons=50.0)
    assert darken(flat(255), bright, np.random.default_rng(0)).min() == 255
    black = darken(flat(0), bright, np.random.default_rng(0))
    assert 0.4 < (black == 0).mean() < 0.6


def test_a_seed_repeats_the_image_and_another_does_not() -> None:
    photograph = np.random.default_rng(5).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    first, again, other = (darken(photograph, CameraSettings(), np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first.dtype == np.uint8
