"""The error of overall brightness, of images whose brightness is known."""

import math

import pytest
import torch
from torch import Tensor, nn

from enhance.evaluation.overall_brightness import (
    CONSTANT,
    GREY,
    Brightness,
    brightness,
    brightness_measures,
    training_brightness,
)
from enhance.evaluation.scores import ImageScore, psnr_and_ssim, score
from tests.evaluation.conftest import Pairs

CPU = torch.device("cpu")
RED = 0.299  # in a grey value


def flat(*greys: float) -> Pairs:
    """Targets of these brightnesses; the dark images are half as bright."""
    pairs = Pairs([f"{number}.png" for number in range(len(greys))], [(20, 24)] * len(greys))
    pairs.pairs = [(torch.full((3, 20, 24), grey / 2), torch.full((3, 20, 24), grey)) for grey in greys]
    return pairs


def scored(constant: float, *images: tuple[float, float]) -> Brightness:
    """Of outputs and references of these brightnesses."""
    greys = [{GREY: {"output": output, "reference": reference}} for output, reference in images]
    return brightness([ImageScore("a", 20, 0.5, 20, 0.5, 10, 0.1, 0.1, measures) for measures in greys], constant)


def test_the_constant_is_the_geometric_mean_of_the_targets() -> None:
    assert training_brightness(flat(0.1, 0.4)) == pytest.approx(0.2)
    pairs = flat(0.5)
    pairs.pairs[0][1][1:] = 0  # red
    assert training_brightness(pairs) == pytest.approx(0.5 * RED)


def test_errors_are_ratios_on_a_logarithmic_scale() -> None:
    found = scored(0.2, (0.2, 0.1), (0.4, 0.8))  # twice as bright, and half
    assert found.constant == 0.2
    assert found.error == pytest.approx(math.log(2))
    assert found.error_constant == pytest.approx(math.sqrt((math.log(2) ** 2 + math.log(4) ** 2) / 2))
    assert found.explained == pytest.approx(1 - 2 / (1 + 4))


@pytest.mark.parametrize(
    ("outputs", "explained"),
    [
        ((0.1, 0.4), 1),  # all of it
        ((0.2, 0.2), 0),  # no better than the constant
        ((0.4, 0.1), -3),  # worse
    ],
)
def test_what_a_model_explains(outputs: tuple[float, float], explained: float) -> None:
    assert scored(0.2, *zip(outputs, (0.1, 0.4), strict=True)).explained == pytest.approx(explained)


def test_where_the_references_do_not_vary_there_is_nothing_to_explain() -> None:
    assert math.isnan(scored(0.5, (0.4, 0.5), (0.6, 0.5)).explained)


def test_black_images_end_nothing() -> None:
    """As an output, a reference or a target of the training may be one."""
    assert math.isfinite(scored(0.2, (0.0, 0.1), (0.4, 0.8)).error)
    found = scored(0.2, (0.3, 0.0), (0.4, 0.8))
    assert math.log(2) < found.error < math.inf
    assert math.isfinite(found.error_constant)
    assert 0 < training_brightness(flat(0.0, 0.4)) < 0.4


def test_each_output_is_scored_at_the_constant_as_well() -> None:
    pairs = flat(0.4, 0.8)
    for _, target in pairs.pairs:
        target[:, ::2] /= 2
    scores = score(nn.Identity().eval(), pairs, CPU, brightness_measures(0.3))
    for image, (low, target) in zip(scores, pairs.pairs, strict=True):
        wanted = psnr_and_ssim(torch.full_like(low, 0.3)[None], target[None])
        assert image.measures[CONSTANT] == pytest.approx(wanted, abs=1e-4)
        wanted = {"output": low.mean().item(), "reference": target.mean().item()}
        assert image.measures[GREY] == pytest.approx(wanted)


def test_what_an_output_has_beyond_white_does_not_count() -> None:
    class Beyond(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return torch.cat([image[..., :12] + 2, image[..., 12:] - 2], dim=-1)

    (image,) = score(Beyond().eval(), flat(0.4), CPU, brightness_measures(0.3))
    assert image.measures[GREY]["output"] == pytest.approx(0.5)


def test_the_line_has_all_numbers() -> None:
    line = Brightness(0.234, 0.456, 0.567, 0.353).line()
    assert all(number in line for number in ("0.234", "0.456", "0.567", "0.35."))
