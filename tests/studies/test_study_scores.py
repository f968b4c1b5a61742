"""Every column of docs/study.md's table is what that page says, of the same weights."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from enhance.data.images import to_pixels, to_tensor
from enhance.data.pairs import random_crop
from enhance.evaluation.scores import mean_score, score
from enhance.models.unet import UNet
from enhance.norm.recalibrate import batch_statistics, recalibrate
from enhance.studies.study_scores import study_scores
from tests.evaluation.conftest import Pairs, small_unet  # noqa: F401 (a fixture)

CPU = torch.device("cpu")
CROP = 16
SIZE = (24, 32)


class Crops(Pairs):
    """Pairs of one size that can be trained on."""

    def __init__(self, prefix: str, count: int, brightness: float = 1) -> None:
        super().__init__([f"{prefix}{number}" for number in range(count)], [SIZE] * count)
        self.pairs = [(brightness * low, normal.flip(0)) for low, normal in self.pairs]

    def crop(self, index: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        low, normal = random_crop([to_pixels(image) for image in self.pairs[index]], size, rng)
        return low, normal


@pytest.fixture
def parts() -> tuple[Crops, Crops, Crops]:
    """For training, for the test, and through another camera."""
    return Crops("train", 5), Crops("test", 2, 0.5), Crops("other", 3, 0.25)


def psnr(model: UNet, pairs: Pairs) -> float:
    return mean_score(score(model, pairs, CPU))["psnr"]


def recalibrated(model: UNet, images: list[Tensor]) -> UNet:
    copied = copy.deepcopy(model)
    recalibrate(copied, [torch.stack(images)])
    return copied


def test_columns_of_a_batch_norm(small_unet: Callable[[str], UNet], parts) -> None:  # noqa: F811
    model = small_unet("bn")
    for name, buffer in model.named_buffers():  # as training might leave them
        if name.endswith("running_mean"):
            buffer.fill_(0.2)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    train, test, other = parts
    row = study_scores(model, train, test, {"darker": other}, CROP, 3, CPU)

    chosen = [0, 1, 3]  # three of five, spread
    used = recalibrated(model, [train.pairs[index][0] for index in chosen])
    crops = [train.crop(index, CROP, np.random.default_rng(number))[0] for number, index in enumerate(chosen)]
    on_crops = recalibrated(model, [to_tensor(np.ascontiguousarray(crop)) for crop in crops])
    middle, spread = Crops("middle", 2), Crops("spread", 2)
    middle.pairs = [(low[:, 4:20, 8:24], normal[:, 4:20, 8:24]) for low, normal in test.pairs]
    spread.pairs = [train.pairs[0], train.pairs[2]]
    mean = mean_score(score(used, test, CPU))
    expected = {
        "psnr_running": psnr(model, test),
        "psnr_crops": psnr(on_crops, test),
        "psnr": mean["psnr"],
        "ssim": mean["ssim"],
        "psnr_gt_mean": mean["psnr_gt_mean"],
        "psnr_middle": psnr(used, middle),
        "psnr_train": psnr(used, spread),
        "psnr_on_darker": psnr(used, other),
        "psnr_adapted_on_darker": psnr(recalibrated(used, [low for low, _ in other.pairs]), other),
    }
    with batch_statistics(used):
        expected |= {"psnr_own": psnr(used, test), "psnr_own_on_darker": psnr(used, other)}
    times = {"inference_ms", "inference_ms_folded"}
    assert {key: value for key, value in row.items() if key not in times} == expected
    assert len({*expected.values()}) == len(expected)  # none is another under a second name
    assert all(row[key] > 0 for key in times)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_columns_of_another_norm(small_unet: Callable[[str], UNet], parts) -> None:  # noqa: F811
    train, test, other = parts
    row = study_scores(small_unet("gn"), train, test, {"darker": other}, CROP, 3, CPU)
    common = {"psnr", "ssim", "psnr_gt_mean", "inference_ms", "inference_ms_folded", "psnr_middle", "psnr_train"}
    assert set(row) == common | {"psnr_on_darker"}
    assert row["inference_ms"] == row["inference_ms_folded"]
