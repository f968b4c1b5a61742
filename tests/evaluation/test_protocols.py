"""The other protocols, against the libraries that they are named after."""

from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
import torchvision
from torch import Tensor, nn

from enhance.data.images import to_pixels
from enhance.data.scenes import perceptual_hash
from enhance.evaluation.cached_weights import LPIPS, LPIPS_GT_MEAN, lpips
from enhance.evaluation.intervals import interval, scenes_of
from enhance.evaluation.protocols import PROTOCOLS, Protocols, summarize, to_8_bits, to_grey, to_y
from enhance.evaluation.scores import score

CPU = torch.device("cpu")
GREY = np.array([0.299, 0.587, 0.114])


class Two:
    """Two pairs; the dark image is what the identity puts out."""

    names = ("a", "b")

    def __init__(self, height: int = 64, width: int = 80) -> None:
        self.size = 3, height, width
        self.sizes = [(height, width)] * 2

    def __len__(self) -> int:
        return 2

    def whole(self, index: int) -> tuple[Tensor, Tensor]:
        random = torch.Generator().manual_seed(index)
        target = torch.rand(self.size, generator=random)
        return (0.7 * target + 0.1 * torch.randn(self.size, generator=random)).clamp(0, 1), target

    def scene_hash(self, index: int) -> np.ndarray:
        return perceptual_hash(to_pixels(self.whole(index)[1]))


def score_protocols(source: Two) -> tuple[Protocols, list[str]]:
    """The dark images' scores under every protocol, and remarks, in one pass."""
    measures, remarks = lpips(source, CPU)
    scores = score(nn.Identity().eval(), source, CPU, PROTOCOLS | measures)
    return summarize(scores, scenes_of(source)), remarks


def as_numpy(image: Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).double().numpy()


def test_y_is_that_of_scikit_image() -> None:
    image, _ = Two().whole(0)
    wanted = skimage.color.rgb2ycbcr(as_numpy(image))[..., 0] / 255
    np.testing.assert_allclose(to_y(image[None])[0, 0].numpy(), wanted, atol=1e-6)


def test_8_bits_are_those_of_a_file(tmp_path: Path) -> None:
    image, _ = Two().whole(0)
    torchvision.utils.save_image(image, tmp_path / "a.png")
    stored = torchvision.io.decode_image(str(tmp_path / "a.png")).float() / 255
    torch.testing.assert_close(to_8_bits(image), stored, atol=1e-6, rtol=0)


def eight_bits(image: np.ndarray) -> np.ndarray:
    return np.rint(image * 255) / 255


def gt_mean(image: np.ndarray, target: np.ndarray) -> np.ndarray:
    return np.clip(image * (target @ GREY).mean() / (image @ GREY).mean(), 0, 1)


def grey(image: np.ndarray) -> np.ndarray:
    return image @ GREY


def y(image: np.ndarray) -> np.ndarray:
    return skimage.color.rgb2ycbcr(image)[..., 0] / 255


REFERENCES = {
    "RGB": lambda output, target: (output, target),
    "RGB, GT-mean": lambda output, target: (gt_mean(output, target), target),
    "RGB, saved with 8 bits": lambda output, target: (eight_bits(output), target),
    "RGB, saved with 8 bits, GT-mean": lambda output, target: (gt_mean(eight_bits(output), target), target),
    "grey": lambda output, target: (grey(output), grey(target)),
    "grey, GT-mean": lambda output, target: (grey(gt_mean(output, target)), grey(target)),
    "Y of BT.601": lambda output, target: (y(output), y(target)),
    "Y of BT.601, GT-mean": lambda output, target: (y(gt_mean(output, target)), y(target)),
}


def test_every_image_has_the_scores_of_scikit_image() -> None:
    protocols, _ = score_protocols(Two())
    assert set(protocols) - {LPIPS, LPIPS_GT_MEAN} == set(PROTOCOLS) == set(REFERENCES)
    options = {"data_range": 1, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
    for name, change in REFERENCES.items():
        psnr, ssim = [], []
        for index in range(2):
            output, target = change(*map(as_numpy, Two().whole(index)))
            psnr.append(skimage.metrics.peak_signal_noise_ratio(target, output, data_range=1))
            channels = 2 if target.ndim == 3 else None
            _, full = skimage.metrics.structural_similarity(output, target, channel_axis=channels, **options)
            ssim.append(full[5:-5, 5:-5].mean())
        assert protocols[name]["psnr"].images == pytest.approx(psnr, abs=1e-3), name
        assert protocols[name]["ssim"].images == pytest.approx(ssim, abs=1e-4), name
        assert protocols[name]["psnr"].mean == pytest.approx(np.mean(psnr), abs=1e-3), name
        assert protocols[name]["ssim"].mean == pytest.approx(np.mean(ssim), abs=1e-4), name
    assert len({protocols[name]["psnr"].mean for name in PROTOCOLS}) == len(
        PROTOCOLS
    )  # none is another under a new name
    assert protocols["grey"]["ssim"].mean > protocols["RGB"]["ssim"].mean  # noise of three channels is averaged


def test_intervals_are_over_scenes() -> None:
    protocols, _ = score_protocols(Two())
    for scores in protocols.values():
        for each in scores.values():
            assert each.interval == interval(each.images, np.array([0, 1]))
            assert each.interval is not None

    class OneScene(Two):
        def whole(self, index: int) -> tuple[Tensor, Tensor]:
            return super().whole(0)

    protocols, _ = score_protocols(OneScene())
    assert all(each.interval is None for scores in protocols.values() for each in scores.values())


def test_grey_and_y_of_other_channels_are_of_what_one_sees() -> None:
    colours = torch.rand(1, 4, 20, 24)
    for convert in (to_grey, to_y):
        assert torch.equal(convert(colours), convert(colours[:, :3]))
        torch.testing.assert_close(convert(colours[:, :1]), convert(colours[:, :1].repeat(1, 3, 1, 1)))
    torch.testing.assert_close(to_grey(colours[:, :1]), colours[:, :1])
