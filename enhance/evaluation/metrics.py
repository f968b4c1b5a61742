"""The field's scores: PSNR and SSIM of whole images, all channels alike, each image alone, with and without GT-mean.

`docs/metrics.md` says which papers use which protocol.
"""

import torch
from kornia.metrics import ssim as ssim_map
from torch import Tensor

from enhance.errors import DataError
from enhance.models.brightness import at_brightness, mean_grey

WINDOW = 11  # side of the Gaussian window of SSIM, in pixels; sigma is 1.5


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image: 10 log10(1 / MSE), the MSE over channels and pixels.

    Args:
        output: (N, C, H, W); clamped to [0, 1] first.
        target: (N, C, H, W) in [0, 1].

    Returns:
        (N,) in dB; infinite where the two images are identical.
    """
    wide = torch.float32 if output.device.type == "mps" else torch.float64  # which Apple's graphics processors lack
    error = (output.clamp(0, 1) - target).to(wide).square().mean(dim=(1, 2, 3))
    return -10 * error.log10()


def ssim(output: Tensor, target: Tensor) -> Tensor:
    """Structural similarity of each image (Wang et al., IEEE TIP 2004), mean over channels and valid region.

    Gaussian window 11x11, sigma 1.5, K1 = 0.01, K2 = 0.03, data range 1. Equals `structural_similarity` of
    scikit-image with `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`, less a border of 5 px.

    Args:
        output: (N, C, H, W); clamped to [0, 1] first.
        target: (N, C, H, W) in [0, 1].

    Returns:
        (N,) in [-1, 1].

    Raises:
        DataError: the images are smaller than the window.
    """
    height, width = target.shape[-2:]
    if min(height, width) < WINDOW:
        raise DataError(f"an image of {width}x{height} px cannot be scored: SSIM needs {WINDOW} px a side")
    # In TF32, cuDNN's error of 1e-3 in E[x^2] - E[x]^2 would be as large as the variance.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        return ssim_map(output.clamp(0, 1), target, WINDOW, eps=0.0, padding="valid").mean(dim=(1, 2, 3))


def match_mean(output: Tensor, target: Tensor) -> Tensor:
    """GT-mean: scale each output so that its mean grey value is the target's, then clip to [0, 1].

    It uses the reference's brightness, which no user of the enhancer has. Convention of HVI-CIDNet
    (github.com/Fediory/HVI-CIDNet, `measure.py --use_GT_mean`): grey is 0.299 R + 0.587 G + 0.114 B of both
    images, here without its rounding to 8 bits. Retinexformer's `--GT_mean` does the same with red and blue
    exchanged in the grey value, and LLFlow's `test.py` takes the plain mean of the output's channels.

    Args:
        output: (N, C, H, W); clamped to [0, 1] first.
        target: (N, C, H, W) in [0, 1].

    Returns:
        (N, C, H, W) in [0, 1]; an output that is black everywhere stays black.
    """
    return at_brightness(output, mean_grey(target)).clamp(0, 1)
