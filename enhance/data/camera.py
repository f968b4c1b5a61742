"""The dim-light camera: what a sensor would have recorded of a photographed scene in far less light.

Signal and noise follow the usual sensor model (Foi et al., "Practical Poissonian-Gaussian noise modeling and
fitting for single-image raw-data", IEEE TIP 2008), on the linear light of sRGB (IEC 61966-2-1).
"""

import numpy as np
import torch

from enhance.data.light import View, back_light, field, lamps
from enhance.data.processing import process
from enhance.settings.schema import CameraSettings

GAUSSIAN_FROM = 16.0  # variance of shot and read noise together, in electrons squared
LEVELS = 1 << 16  # steps of linear light in the table that turns it into 8-bit sRGB


def srgb_to_linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] to linear light in [0, 1], any shape (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light in [0, 1] to sRGB in [0, 1], any shape: the inverse of `srgb_to_linear`."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


_LINEAR = srgb_to_linear(np.arange(256) / 255)
_SRGB = linear_to_srgb(np.arange(LEVELS) / (LEVELS - 1))
_SRGB8 = np.rint(255 * _SRGB).astype(np.uint8)
_SRGB = _SRGB.astype(np.float32)


def darken(
    photograph: np.ndarray, camera: CameraSettings, rng: np.random.Generator, view: View | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """One photograph as the camera records it, and the photograph itself, with lamps where they were added.

    Linear light times 2^EV, with EV uniform between `exposure_min_ev` and `exposure_max_ev`, and times
    gain * exp(drift * normal) on red and on blue, gives the mean number of electrons in units of the full well. Noise,
    clipping at black and at white, and 8-bit sRGB quantization follow. Where the settings say so, the light differs
    over the photograph (`enhance.data.light`), and more follows the sensor (`enhance.data.processing`).

    Args:
        photograph: uint8 (H, W, 3) sRGB.
        view: which part of a larger photograph it is; None: it is whole.

    Returns:
        Dark and bright, uint8 (H, W, 3) sRGB.
    """
    ev = rng.uniform(camera.exposure_min_ev, camera.exposure_max_ev)
    drift = camera.white_balance_drift * rng.standard_normal(2)
    right = _drawn(camera.right_share, rng)
    if right:
        ev, drift = 0.0, np.zeros(2)
    red, blue = np.exp(drift)
    gains = 2.0**ev * np.array([camera.red_gain * red, 1.0, camera.blue_gain * blue])
    full_well = camera.full_well_electrons
    if camera.full_well_min_electrons is not None:
        full_well = np.exp(rng.uniform(*np.log([camera.full_well_min_electrons, full_well])))
    signal = (full_well * gains[:, None] * _LINEAR).astype(np.float32)  # (3, 256): electrons of each 8-bit value
    mean = np.empty(photograph.shape, np.float32)
    for channel in range(3):
        mean[..., channel] = np.take(signal[channel], photograph[..., channel])
    view = view or View.whole(photograph)
    if _drawn(camera.lamps_share, rng):
        added = lamps(view, rng)
        mean += (full_well * gains).astype(np.float32) * added
        lit = (_LINEAR.astype(np.float32)[photograph] + added).clip(max=1)
        photograph = np.take(_SRGB8, (lit * (LEVELS - 1) + 0.5).astype(np.uint16))
    if not right and (stops := _stops(photograph, view, -ev, camera, rng)) is not None:
        mean *= np.exp2(stops)[..., None]
    electrons = expose(mean, camera, rng)
    electrons *= (LEVELS - 1) / full_well
    electrons += 0.5  # the conversion to integers below truncates
    levels = np.clip(electrons, 0, LEVELS - 1, out=electrons).astype(np.uint16)
    if not (camera.tone_spread or camera.smear_share or camera.jpeg_share):
        return np.take(_SRGB8, levels), photograph
    return process(np.take(_SRGB, levels), camera, rng), photograph


def _stops(
    photograph: np.ndarray, view: View, kept: float, camera: CameraSettings, rng: np.random.Generator
) -> np.ndarray | None:
    """What light each place has besides the exposure, in stops: float32 (H, W); None where it has none.

    Args:
        kept: what back light gives back to bright places, at most: what the exposure took.
    """
    stops = field(view, camera.light_field_ev, rng) if camera.light_field_ev else None
    if _drawn(camera.back_light_share, rng):
        given_back = np.float32(kept * rng.uniform(0.5, 1)) * back_light(photograph, rng)
        stops = given_back if stops is None else stops + given_back
    return stops


def _drawn(share: float, rng: np.random.Generator) -> bool:
    """Whether a photograph is of that share. Nothing is drawn for one of 0: cameras without it stay what they were."""
    return share > 0 and rng.random() < share


def expose(mean: np.ndarray, camera: CameraSettings, rng: np.random.Generator) -> np.ndarray:
    """Electrons read from each pixel: Poisson shot noise around the mean, plus Gaussian read noise.

    Where the variance of both together, mean + read_noise^2, is below GAUSSIAN_FROM = 16, the shot noise is drawn
    from the Poisson distribution. Elsewhere their sum is drawn from its Gaussian limit, which is 5 to 10 times
    faster: mean and variance stay exact, and only the skewness, mean / variance^1.5, is lost. That is at most
    0.25 without read noise, and at most 0.10 with 4 electrons of it or more, where the limit serves every pixel.

    Rows share an error, and channels one at black (Wei et al., "A Physics-Based Noise Formation Model for Extreme
    Low-Light Raw Denoising", CVPR 2020, arXiv 2003.12751); interpolation of a Bayer mosaic makes neighbours alike.

    Args:
        mean: float32 (H, W, 3), electrons; overwritten.

    Returns:
        float32 (H, W, 3) in electrons, not clipped.
    """
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 63)))
    noise = torch.randn(mean.shape, generator=generator).numpy()  # 4 times as fast as rng.standard_normal
    signal = mean.copy() if camera.demosaic_share else mean
    variance = mean + np.float32(camera.read_noise_electrons**2)
    few = np.flatnonzero(variance < GAUSSIAN_FROM)
    variance.flat[few] = camera.read_noise_electrons**2
    mean.flat[few] = rng.poisson(mean.flat[few])
    noise *= np.sqrt(variance)
    noise += mean
    if camera.row_noise_electrons:
        noise += camera.row_noise_electrons * rng.standard_normal((len(noise), 1, 1)).astype(np.float32)
    if _drawn(camera.demosaic_share, rng):
        noise = signal + demosaiced(noise - signal)
    if camera.black_offset_electrons:
        noise += camera.black_offset_electrons * rng.standard_normal(3).astype(np.float32)
    return noise


def demosaiced(noise: np.ndarray) -> np.ndarray:
    """What bilinear interpolation makes of noise, (H, W, 3), of which each pixel has but one channel (Bayer, RGGB); the
    edges are joined."""
    red, green, blue = (np.zeros(noise.shape[:2], noise.dtype) for _ in range(3))
    red[::2, ::2], blue[1::2, 1::2] = noise[::2, ::2, 0], noise[1::2, 1::2, 2]
    green[::2, 1::2], green[1::2, ::2] = noise[::2, 1::2, 1], noise[1::2, ::2, 1]
    for sparse in (red, blue):
        for axis in (0, 1):
            sparse += (np.roll(sparse, 1, axis) + np.roll(sparse, -1, axis)) / 2
    green += sum(np.roll(green, step, axis) for step in (-1, 1) for axis in (0, 1)) / 4
    return np.stack((red, green, blue), 2)
