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
from enhance.evaluation.protocols import PROTOCOLS, Protocols, summarize, to_8_bits, to_y
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


def test_missing_weights_are_named_and_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    protocols, remarks = score_protocols(Two())
    assert LPIPS not in protocols
    assert len(remarks) == 1
    assert str(tmp_path / "checkpoints" / "alexnet") in remarks[0]
    assert list(tmp_path.iterdir()) == []


def alexnet_file(folder: Path) -> Path:
    """Where torch's cache in `folder` keeps AlexNet."""
    name = torchvision.models.AlexNet_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[1]
    return folder / "hub" / "checkpoints" / name


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of torch with untrained weights; those of the classifier, which LPIPS leaves aside, take no room."""
    folder = tmp_path_factory.mktemp("torch")
    alexnet_file(folder).parent.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = torchvision.models.alexnet().state_dict()
    for name, value in state.items():
        if name.startswith("classifier"):
            state[name] = torch.zeros(1).expand(value.shape)
    torch.save(state, alexnet_file(folder))
    return folder


def test_lpips_where_weights_are_at_hand(monkeypatch: pytest.MonkeyPatch, alexnet: Path) -> None:
    """With untrained weights: that the file is read, and that equal images have no distance."""
    monkeypatch.setenv("TORCH_HOME", str(alexnet))
    protocols, remarks = score_protocols(Two())
    assert remarks == []
    assert protocols[LPIPS]["lpips"].mean > 1e-4
    assert protocols[LPIPS]["lpips"].mean == np.mean(protocols[LPIPS]["lpips"].images)

    class Same(Two):
        factor = 1.0

        def whole(self, index: int) -> tuple[Tensor, Tensor]:
            _, target = super().whole(index)
            return target * self.factor, target

    equal, _ = score_protocols(Same())
    assert equal[LPIPS]["lpips"].images == pytest.approx([0, 0], abs=1e-6)

    Same.factor = 0.5
    darker, _ = score_protocols(Same())
    assert darker[LPIPS]["lpips"].mean > 1e-4
    assert darker[LPIPS_GT_MEAN]["lpips"].images == pytest.approx([0, 0], abs=1e-6)


def test_lpips_is_left_out_where_an_image_is_too_small(monkeypatch: pytest.MonkeyPatch, alexnet: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(alexnet))
    protocols, remarks = score_protocols(Two(31, 40))
    assert remarks == []
    assert len(protocols[LPIPS]["lpips"].images) == 2

    class SecondIsSmall(Two):
        def __init__(self) -> None:
            self.sizes = [(40, 31), (40, 30)]

        def whole(self, index: int) -> tuple[Tensor, Tensor]:
            return Two(40, 31 - index).whole(index)

    protocols, remarks = score_protocols(SecondIsSmall())
    assert remarks == ["LPIPS: left out: b is 30x40 px, and AlexNet needs 31 a side"]
    assert set(protocols) == set(PROTOCOLS)
    assert len(protocols["RGB"]["psnr"].images) == 2


@pytest.mark.parametrize("damage", ["a web page", "cut short", "of another model"])
def test_damaged_weights_are_named_with_the_cure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, alexnet: Path, damage: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = alexnet_file(tmp_path)
    file.parent.mkdir(parents=True)
    if damage == "a web page":
        file.write_text("<!DOCTYPE html><html>Not protocols</html>")
    elif damage == "cut short":
        file.write_bytes(alexnet_file(alexnet).read_bytes()[:100_000])
    else:
        torch.save({"weight": torch.zeros(3)}, file)
    protocols, (remark,) = score_protocols(Two())
    assert remark.startswith(f"LPIPS: {file} does not hold its weights (")
    assert "delete it, and get it again from https://download.pytorch.org/" in remark
    assert len(remark.splitlines()) == 1
    assert set(protocols) == set(PROTOCOLS)
