"""The dim-light camera: what a sensor would have recorded of a photographed scene in far less light.

Signal and noise follow the usual sensor model (Foi et al., "Practical Poissonian-Gaussian noise modeling and
fitting for single-image raw-data", IEEE TIP 2008), on the linear light of sRGB (IEC 61966-2-1).
"""

import numpy as np
import torch

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
_SRGB8 = np.rint(255 * linear_to_srgb(np.arange(LEVELS) / (LEVELS - 1))).astype(np.uint8)


def darken(photograph: np.ndarray, camera: CameraSettings, rng: np.random.Generator) -> np.ndarray:
    """One photograph as the camera records it; exposure, white balance and noise are drawn from `rng`.

    Linear light times 2^EV, with EV uniform between `exposure_min_ev` and `exposure_max_ev`, and times
    gain * exp(drift * normal) on red and on blue, gives the mean number of electrons in units of the full well. Noise,
    clipping at black and at white, and 8-bit sRGB quantization follow.

    Args:
        photograph: uint8 (H, W, 3) sRGB.

    Returns:
        uint8 (H, W, 3) sRGB.
    """
    exposure = 2.0 ** rng.uniform(camera.exposure_min_ev, camera.exposure_max_ev)
    red, blue = np.exp(camera.white_balance_drift * rng.standard_normal(2))
    gains = exposure * np.array([camera.red_gain * red, 1.0, camera.blue_gain * blue])
    signal = camera.full_well_electrons * gains[:, None] * _LINEAR  # (3, 256): electrons of each 8-bit value
    electrons = expose(photograph, signal.astype(np.float32), camera.read_noise_electrons, rng)
    electrons *= (LEVELS - 1) / camera.full_well_electrons
    electrons += 0.5  # the conversion to integers below truncates
    np.clip(electrons, 0, LEVELS - 1, out=electrons)
    return np.take(_SRGB8, electrons.astype(np.uint16))


def expose(image: np.ndarray, signal: np.ndarray, read_noise: float, rng: np.random.Generator) -> np.ndarray:
    """Electrons read from each pixel: Poisson shot noise around the signal, plus Gaussian read noise.

    Where the variance of both together, signal + read_noise^2, is below GAUSSIAN_FROM = 16, the shot noise is drawn
    from the Poisson distribution. Elsewhere their sum is drawn from its Gaussian limit, which is 5 to 10 times
    faster: mean and variance stay exact, and only the skewness, signal / variance^1.5, is lost. That is at most
    0.25 without read noise, and at most 0.10 with 4 electrons of it or more, where the limit serves every pixel.

    Args:
        image: uint8 (H, W, 3).
        signal: float32 (3, 256), the mean electrons of each 8-bit value in each channel.
        read_noise: standard deviation in electrons.

    Returns:
        float32 (H, W, 3) in electrons, not clipped.
    """
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 63)))
    noise = torch.randn(image.shape, generator=generator).numpy()  # 4 times as fast as rng.standard_normal
    mean = np.empty(image.shape, np.float32)
    for channel in range(3):
        mean[..., channel] = np.take(signal[channel], image[..., channel])
    variance = mean + np.float32(read_noise**2)
    few = np.flatnonzero(variance < GAUSSIAN_FROM)
    variance.flat[few] = read_noise**2
    mean.flat[few] = rng.poisson(mean.flat[few])
    noise *= np.sqrt(variance)
    noise += mean
    return noise
