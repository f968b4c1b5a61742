"""The scores against scikit-image, and GT-mean against arithmetic by hand."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from enhance.errors import DataError
from enhance.evaluation.metrics import match_mean, psnr, ssim

SIZES = [(11, 11), (12, 37), (64, 64), (101, 75)]


def pair(height: int, width: int, seed: int = 0, noise: float = 0.1) -> tuple[Tensor, Tensor]:
    """A noisy copy of a smooth picture, in places outside [0, 1], and the picture: (1, 3, height, width)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 5, 5, generator=generator)
    target = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return target + noise * torch.randn(target.shape, generator=generator), target


def as_array(image: Tensor) -> np.ndarray:
    return image[0].clamp(0, 1).permute(1, 2, 0).double().numpy()


def reference_ssim(output: np.ndarray, target: np.ndarray) -> float:
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, full = structural_similarity(output, target, channel_axis=2, data_range=1, full=True, **options)
    return float(full[5:-5, 5:-5].mean())


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("noise", [0.003, 0.1, 0.6])
def test_equal_to_scikit_image(height: int, width: int, noise: float) -> None:
    output, target = pair(height, width, noise=noise)
    wanted = peak_signal_noise_ratio(as_array(target), as_array(output), data_range=1)
    assert psnr(output, target).item() == pytest.approx(float(wanted), abs=1e-4)
    wanted = reference_ssim(as_array(output), as_array(target))
    assert ssim(output, target).item() == pytest.approx(wanted, abs=1e-4)


def test_ssim_of_nearly_flat_images_equals_scikit_image() -> None:
    output, target = pair(40, 40, noise=1e-3)
    output, target = 0.9 + output / 100, 0.9 + target / 100
    wanted = reference_ssim(as_array(output), as_array(target))
    assert ssim(output, target).item() == pytest.approx(wanted, abs=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_ssim_on_the_device_equals_scikit_image() -> None:
    output, target = pair(101, 75)
    wanted = reference_ssim(as_array(output), as_array(target))
    assert ssim(output.cuda(), target.cuda()).item() == pytest.approx(wanted, abs=1e-4)


def test_a_batch_scores_as_its_images_alone() -> None:
    pairs = [pair(40, 56, seed, noise) for seed, noise in enumerate((0.02, 0.1, 0.5))]
    outputs, targets = (torch.cat(images) for images in zip(*pairs, strict=True))
    for metric in (psnr, ssim):
        alone = torch.cat([metric(output, target) for output, target in pairs])
        torch.testing.assert_close(metric(outputs, targets), alone)
    alone = torch.cat([match_mean(output, target) for output, target in pairs])
    torch.testing.assert_close(match_mean(outputs, targets), alone)


def test_identical_images_have_infinite_psnr_and_ssim_1() -> None:
    _, target = pair(20, 20)
    assert psnr(target, target).item() == math.inf
    assert ssim(target, target).item() == pytest.approx(1)


def test_images_smaller_than_the_window_are_refused() -> None:
    output, target = pair(10, 40)
    with pytest.raises(DataError, match=r"40x10 px.*11 px"):
        ssim(output, target)


def test_match_mean_by_hand() -> None:
    output = torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1).expand(1, 3, 2, 2).clone()
    output[..., 1, 1] = 0.0
    target = torch.full((1, 3, 2, 2), 0.3)
    # grey of (0.1, 0.2, 0.3) is 0.0299 + 0.1174 + 0.0342 = 0.1815, on three pixels of four
    scale = 0.3 / (0.1815 * 3 / 4)
    matched = match_mean(output, target)
    torch.testing.assert_close(matched, output * scale)
    assert matched[0, :, 0, 0].tolist() == pytest.approx([0.22039, 0.44077, 0.66116], abs=1e-5)


def test_match_mean_undoes_a_wrong_exposure_and_clips() -> None:
    _, target = pair(20, 20)
    torch.testing.assert_close(match_mean(target / 2, target), target)
    assert match_mean(torch.rand(1, 3, 8, 8), torch.ones(1, 3, 8, 8)).max().item() == 1


def test_match_mean_leaves_black_black() -> None:
    black = torch.zeros(1, 3, 12, 12)
    assert match_mean(black, torch.full_like(black, 0.5)).eq(0).all()
