"""The camera's signal, noise and quantization are those that its settings state."""

from typing import Any

import numpy as np
import pytest
import skimage.data

from enhance.data.camera import GAUSSIAN_FROM, darken, demosaiced, expose, linear_to_srgb, srgb_to_linear
from enhance.settings.schema import CameraSettings

SIDE = 300


def flat(value: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), value, np.uint8)


def linear(image: np.ndarray) -> np.ndarray:
    return srgb_to_linear(image / 255)


def dark_of(photograph: np.ndarray, camera: CameraSettings, rng: np.random.Generator) -> np.ndarray:
    dark, same = darken(photograph, camera, rng)
    assert same is photograph
    return dark


@pytest.mark.parametrize("read_noise", [0.0, 2.0, 4.0])
@pytest.mark.parametrize("electrons", [0.0, 0.3, 5.0, GAUSSIAN_FROM - 0.1, GAUSSIAN_FROM + 0.1, 300.0])
def test_mean_and_variance_of_the_electrons(electrons: float, read_noise: float) -> None:
    mean = np.full((SIDE, SIDE, 3), electrons, np.float32)
    read = expose(mean, CameraSettings(read_noise_electrons=read_noise), np.random.default_rng(1)).astype(np.float64)
    variance = electrons + read_noise**2
    count = read.size
    assert abs(read.mean() - electrons) <= 5 * np.sqrt(variance / count)
    # the variance of a sample variance: 2 sigma^4 + the fourth cumulant, which is the mean for a Poisson variable
    assert abs(read.var() - variance) <= 5 * np.sqrt((2 * variance**2 + electrons) / count)


def test_few_electrons_are_counted_whole_without_read_noise() -> None:
    mean = np.full((SIDE, SIDE, 3), 2.0, np.float32)
    read = expose(mean, CameraSettings(read_noise_electrons=0.0), np.random.default_rng(1))
    values, counts = np.unique(read, return_counts=True)
    np.testing.assert_array_equal(values, np.rint(values))
    assert counts[values == 0] / read.size == pytest.approx(np.exp(-2), rel=0.02)


def test_exposure_scales_linear_light() -> None:
    quiet = CameraSettings(-3.0, -3.0, 0.0, full_well_electrons=1e9, read_noise_electrons=0.0)
    photograph = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    dark = dark_of(photograph, quiet, np.random.default_rng(0))
    wanted = 255 * linear_to_srgb(linear(photograph) / 8)
    assert np.abs(dark - wanted).max() <= 0.51  # rounded to the nearest of 256 levels


def test_noise_has_the_stated_size_in_the_image() -> None:
    camera = CameraSettings(-2.0, -2.0, 0.0, full_well_electrons=4000.0, read_noise_electrons=8.0)
    value = 200
    dark = linear(dark_of(flat(value), camera, np.random.default_rng(3))) * 4000
    electrons = float(linear(np.array(value))) * 1000
    assert dark.mean() == pytest.approx(electrons, rel=0.01)
    assert dark.std() == pytest.approx(np.sqrt(electrons + 64), rel=0.03)


def test_exposures_and_white_balance_are_drawn_from_their_ranges() -> None:
    camera = CameraSettings(-4.0, -1.0, 0.2, full_well_electrons=1e8, read_noise_electrons=0.0)
    rng = np.random.default_rng(0)
    white = np.full((2, 2, 3), 160, np.uint8)
    gains = np.array([linear(dark_of(white, camera, rng)).mean((0, 1)) for _ in range(800)]) / linear(white).mean()
    ev = np.log2(gains[:, 1])
    assert -4.1 < ev.min() < -3.9
    assert -1.1 < ev.max() < -0.9
    assert ev.mean() == pytest.approx(-2.5, abs=0.15)
    drift = np.log(gains[:, [0, 2]] / gains[:, 1:2])
    np.testing.assert_allclose(drift.std(0), 0.2, atol=0.03)


def test_clipping_at_black_and_white() -> None:
    bright = CameraSettings(1.0, 1.0, 0.0, full_well_electrons=1000.0, read_noise_electrons=50.0)
    assert dark_of(flat(255), bright, np.random.default_rng(0)).min() == 255
    black = dark_of(flat(0), bright, np.random.default_rng(0))
    assert 0.4 < (black == 0).mean() < 0.6


def test_a_seed_repeats_the_image_and_another_does_not() -> None:
    photograph = np.random.default_rng(5).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    first, again, other = (dark_of(photograph, CameraSettings(), np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first.dtype == np.uint8


def test_a_camera_is_as_it_was() -> None:
    """Settings that came later draw nothing where they are off: the sum is that of the camera of the study."""
    photograph = np.random.default_rng(5).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    sums = [int(dark_of(photograph, CameraSettings(), np.random.default_rng(seed)).sum()) for seed in range(3)]
    assert sums == [739092, 616497, 390001]


def quiet(**options: Any) -> CameraSettings:
    """Without noise, at -4 EV."""
    return CameraSettings(-4.0, -4.0, 0.0, full_well_electrons=1e9, read_noise_electrons=0.0, **options)


def test_a_share_of_the_photographs_stays_as_it_is() -> None:
    photograph = np.random.default_rng(5).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    rng = np.random.default_rng(0)
    same = [np.array_equal(dark_of(photograph, quiet(right_share=0.3), rng), photograph) for _ in range(300)]
    assert 0.2 < np.mean(same) < 0.4


def test_full_wells_are_drawn_log_uniformly() -> None:
    """Shot noise of a flat grey has the variance of its electrons: it tells the full well."""
    camera = CameraSettings(
        -2.0, -2.0, 0.0, full_well_electrons=20000.0, full_well_min_electrons=500.0, read_noise_electrons=0.0
    )
    rng = np.random.default_rng(0)
    wells = []
    for _ in range(200):
        dark = linear(dark_of(np.full((64, 64, 3), 230, np.uint8), camera, rng))
        wells.append(np.log(dark.mean() / dark.var()))
    assert np.mean(wells) == pytest.approx(np.log(20000 * 500) / 2, abs=0.25)
    assert np.std(wells) == pytest.approx(np.log(40) / np.sqrt(12), rel=0.15)


def test_rows_share_an_error_and_channels_one_at_black() -> None:
    mean = np.full((SIDE, SIDE, 3), 100.0, np.float32)
    camera = CameraSettings(row_noise_electrons=5.0, read_noise_electrons=0.0)
    rows = expose(mean.copy(), camera, np.random.default_rng(0)).mean((1, 2))
    assert rows.std() == pytest.approx(5.0, rel=0.15)
    camera = CameraSettings(black_offset_electrons=5.0, read_noise_electrons=0.0)
    rng = np.random.default_rng(0)
    offsets = [expose(mean[:32, :32].copy(), camera, rng).mean((0, 1)) - 100 for _ in range(300)]
    np.testing.assert_allclose(np.std(offsets, axis=0), 5.0, rtol=0.15)


def test_interpolated_noise_is_alike_in_neighbours_and_keeps_measured_pixels() -> None:
    noise = np.random.default_rng(0).standard_normal((200, 200, 3)).astype(np.float32)
    result = demosaiced(noise)
    np.testing.assert_array_equal(result[::2, ::2, 0], noise[::2, ::2, 0])
    np.testing.assert_array_equal(result[1::2, ::2, 1], noise[1::2, ::2, 1])
    np.testing.assert_allclose(
        result[::2, 1::2, 0], (noise[::2, ::2, 0] + np.roll(noise[::2, ::2, 0], -1, 1)) / 2, rtol=1e-6
    )
    for channel in range(3):
        assert np.corrcoef(result[:, :-1, channel].ravel(), result[:, 1:, channel].ravel())[0, 1] > 0.3


def test_lamps_are_white_in_both_images() -> None:
    dark, bright = darken(np.full((300, 300, 3), 20, np.uint8), quiet(lamps_share=1.0), np.random.default_rng(1))
    lamp = (bright == 255).all(2)
    assert 0.0005 < lamp.mean() < 0.2
    assert dark[lamp].mean() > 4 * dark.mean()


def test_processing_needs_no_other_pixels() -> None:
    """The kinds of what follows the sensor, one at a time: right in size and mean, and other than without."""
    photograph = np.asarray(skimage.data.chelsea()[:120, :160])
    plain = dark_of(photograph, quiet(), np.random.default_rng(0)).astype(float)
    for option in ("tone_spread", "smear_share", "jpeg_share"):
        other = dark_of(photograph, quiet(**{option: 1.0}), np.random.default_rng(0)).astype(float)
        assert other.shape == plain.shape
        assert not np.array_equal(other, plain)
        if option != "tone_spread":
            assert other.mean() == pytest.approx(plain.mean(), abs=2)
