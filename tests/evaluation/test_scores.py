"""Scoring a model: each image alone, nothing in the model changed."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import nn

from enhance.errors import DataError
from enhance.evaluation.metrics import match_mean, psnr, ssim
from enhance.evaluation.scores import ImageScore, mean_score, score
from enhance.inference import enhancer
from enhance.inference.tiles import side_within
from enhance.models.model import EnhancementModel
from enhance.norm.recalibrate import batch_statistics
from tests.evaluation.conftest import Pairs

CPU = torch.device("cpu")


class Doubling(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return 2 * image


def without_seconds(scores: list[ImageScore]) -> dict[str, ImageScore]:
    return {image.name: dataclasses.replace(image, seconds=0) for image in scores}


def test_scores_are_the_metrics_of_output_and_of_input(pairs) -> None:
    scores = score(Doubling().eval(), pairs, CPU)
    assert [image.name for image in scores] == pairs.names
    for image, (low, normal) in zip(scores, pairs.pairs, strict=True):
        low, output, normal = low[None], 2 * low[None], normal[None]
        matched = match_mean(output, normal)
        assert image.psnr == pytest.approx(psnr(output, normal).item())
        assert image.ssim == pytest.approx(ssim(output, normal).item())
        assert image.psnr_gt_mean == pytest.approx(psnr(matched, normal).item())
        assert image.ssim_gt_mean == pytest.approx(ssim(matched, normal).item())
        assert image.psnr_input == pytest.approx(psnr(low, normal).item())
        assert image.ssim_input == pytest.approx(ssim(low, normal).item())
        assert image.seconds > 0


def test_scores_do_not_depend_on_the_order_or_on_the_other_images(
    pairs, small_unet: Callable[[str], EnhancementModel]
) -> None:
    model = small_unet("bn")
    forward = without_seconds(score(model, pairs, CPU))
    pairs.names, pairs.pairs = pairs.names[::-1], pairs.pairs[::-1]
    assert without_seconds(score(model, pairs, CPU)) == forward
    pairs.names, pairs.pairs = pairs.names[:1], pairs.pairs[:1]
    assert without_seconds(score(model, pairs, CPU)) == {"c.png": forward["c.png"]}


def test_scoring_leaves_the_model_as_it_is(pairs, small_unet: Callable[[str], EnhancementModel]) -> None:
    model = small_unet("bn")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    score(model, pairs, CPU)
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def short_of_memory(monkeypatch: pytest.MonkeyPatch, gib: float) -> None:
    """No CUDA device is here that could be."""
    monkeypatch.setattr(enhancer, "available_memory", lambda _: int(gib * 2**30))


@pytest.mark.parametrize("norm", ["bn", "gn"])
def test_images_too_large_for_the_device_are_scored_in_tiles(
    norm: str, small_unet: Callable[[str], EnhancementModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_unet(norm)
    photographs = Pairs(["large.png", "small.png"], [(421, 333), (48, 64)])
    whole = score(model, photographs, CPU)
    short_of_memory(monkeypatch, 0.005)
    side = side_within(model, 0.005, CPU)
    assert 48 * 64 < side**2 < 421 * 333
    areas: list[int] = []
    model.network.unet.entry.register_forward_pre_hook(lambda _, inputs: areas.append(inputs[0][0, 0].numel() * 4))
    for image, alike in zip(score(model, photographs, CPU), whole, strict=True):
        assert image.psnr == pytest.approx(alike.psnr, abs=1e-3)
        assert image.ssim == pytest.approx(alike.ssim, abs=1e-4)
    assert max(areas) < 421 * 333


def test_each_images_batch_statistics_allow_no_tiles(
    pairs, small_unet: Callable[[str], EnhancementModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_unet("bn")
    with batch_statistics(model):
        whole = without_seconds(score(model, pairs, CPU))
        short_of_memory(monkeypatch, 1e-5)
        assert without_seconds(score(model, pairs, CPU)) == whole


def test_an_image_too_small_is_named(pairs) -> None:
    pairs.pairs[1] = (torch.zeros(3, 10, 30), torch.zeros(3, 10, 30))
    with pytest.raises(DataError, match=r"b\.png: .*30x10 px"):
        score(Doubling().eval(), pairs, CPU)


def test_mean_score_is_the_mean_over_images_of_the_decibels() -> None:
    scores = [ImageScore("a", 10, 0.2, 20, 0.4, 5, 0.1, 1), ImageScore("b", 20, 0.4, 21, 0.8, 7, 0.3, 3)]
    assert mean_score(scores) == pytest.approx(
        {
            "psnr": 15,
            "ssim": 0.3,
            "psnr_gt_mean": 20.5,
            "ssim_gt_mean": 0.6,
            "psnr_input": 6,
            "ssim_input": 0.2,
            "seconds": 2,
        }
    )
