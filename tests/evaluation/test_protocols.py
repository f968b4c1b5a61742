"""The other protocols, against the libraries that they are named after."""

from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
import torchvision
from torch import Tensor, nn

from enhance.evaluation.protocols import LPIPS, PROTOCOLS, score_protocols, to_8_bits, to_y

CPU = torch.device("cpu")


class Two:
    """Two pairs; the dark image is what the identity puts out."""

    names = ("a", "b")

    def whole(self, index: int) -> tuple[Tensor, Tensor]:
        random = torch.Generator().manual_seed(index)
        target = torch.rand(3, 64, 80, generator=random)
        return (target + 0.1 * torch.randn(3, 64, 80, generator=random)).clamp(0, 1), target


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


def test_means_are_those_of_scikit_image() -> None:
    found, _ = score_protocols(nn.Identity(), Two(), CPU)
    assert set(found) >= set(PROTOCOLS)
    changes = {
        "RGB": as_numpy,
        "RGB, saved with 8 bits": None,
        "grey": lambda image: as_numpy(image) @ np.array([0.299, 0.587, 0.114]),
        "Y of BT.601": lambda image: skimage.color.rgb2ycbcr(as_numpy(image))[..., 0] / 255,
    }
    for name, change in changes.items():
        scores = []
        for index in range(2):
            low, target = Two().whole(index)
            if change is None:
                pair = np.rint(as_numpy(low) * 255) / 255, as_numpy(target)
            else:
                pair = change(low), change(target)
            scores.append(skimage.metrics.peak_signal_noise_ratio(pair[1], pair[0], data_range=1))
        assert found[name]["psnr"] == pytest.approx(np.mean(scores), abs=1e-3), name
    assert found["RGB, GT-mean"]["psnr"] != found["RGB"]["psnr"]
    assert found["grey"]["ssim"] > found["RGB"]["ssim"]  # noise of three channels is averaged


def test_missing_weights_are_named_and_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    found, remarks = score_protocols(nn.Identity(), Two(), CPU)
    assert LPIPS not in found
    assert len(remarks) == 1
    assert str(tmp_path / "checkpoints" / "alexnet") in remarks[0]
    assert list(tmp_path.iterdir()) == []


def test_lpips_where_weights_are_at_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With untrained weights: that the file is read, and that equal images have no distance."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    name = torchvision.models.AlexNet_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[1]
    torch.manual_seed(0)
    torch.save(torchvision.models.alexnet().state_dict(), tmp_path / "checkpoints" / name)
    found, remarks = score_protocols(nn.Identity(), Two(), CPU)
    assert remarks == []
    assert found[LPIPS]["lpips"] > 1e-4

    class Same(Two):
        def whole(self, index: int) -> tuple[Tensor, Tensor]:
            _, target = super().whole(index)
            return target, target

    equal, _ = score_protocols(nn.Identity(), Same(), CPU)
    assert equal[LPIPS]["lpips"] == pytest.approx(0, abs=1e-6)
