"""What a camera makes of its sensor's image before it is a file: its denoiser's smear, a tone curve, JPEG."""

import io

import numpy as np
from PIL import Image, ImageFilter

from enhance.settings.schema import CameraSettings


def process(image: np.ndarray, camera: CameraSettings, rng: np.random.Generator) -> np.ndarray:
    """float32 (H, W, 3) sRGB in [0, 1] -> uint8 (H, W, 3), each part as likely and as strong as `camera` says."""
    if camera.tone_spread:
        image = image ** np.float32(np.exp(camera.tone_spread * rng.standard_normal()))
    developed = np.rint(255 * image).astype(np.uint8)
    if rng.random() < camera.smear_share:
        developed = smear(developed, rng)
    if rng.random() < camera.jpeg_share:
        for _ in range(int(rng.integers(1, 3))):
            developed = as_jpeg(developed, int(rng.integers(camera.jpeg_min_quality, camera.jpeg_max_quality + 1)))
    return developed


def smear(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As a phone's denoiser leaves it, uint8 (H, W, 3): colours run into each other, and detail a little."""
    luma, *chroma = Image.fromarray(image).convert("YCbCr").split()
    soft = luma.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.5)))
    luma = Image.blend(luma, soft, rng.uniform(0, 1))
    radius = rng.uniform(0.5, 4)
    chroma = [each.filter(ImageFilter.GaussianBlur(radius)) for each in chroma]
    return np.asarray(Image.merge("YCbCr", (luma, *chroma)).convert("RGB"))


def as_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """uint8 (H, W, 3), written as JPEG and read again."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def shrunk(image: np.ndarray, size: int) -> np.ndarray:
    """A square, uint8 (side, side, 3), as (size, size, 3), antialiased; itself where it has that size."""
    if len(image) == size:
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))
