"""NIQE and BRISQUE, against other people's code with the parameters of the authors' release: deepinv 0.5.0 and
piq 0.8.0, both in float64. docs/metrics.md has the figures of the authors' MATLAB code."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from skimage import data
from torch import Tensor

from enhance.evaluation.natural_scenes import NO_REFERENCE, brisque, niqe


def tensor(image: np.ndarray | Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def blurred(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image).filter(ImageFilter.GaussianBlur(3))


def noisy(image: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 30, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("image", "of_deepinv", "of_piq"),
    [
        (data.coffee(), 4.058462, 30.06621),
        (blurred(data.coffee()), 10.001098, 75.31564),
        (noisy(data.coffee()), 11.268627, 58.66739),
        (data.astronaut(), 3.066638, 2.85867),
    ],
    ids=["coffee", "blurred", "noisy", "astronaut"],
)
def test_scores_are_those_of_other_code(image: np.ndarray | Image.Image, of_deepinv: float, of_piq: float) -> None:
    """Not to the last digit: there, the sign of a flat area is that of a rounding error."""
    assert niqe(tensor(image)) == pytest.approx(of_deepinv, abs=0.002)
    assert brisque(tensor(image)) == pytest.approx(of_piq, abs=0.02)


def test_what_is_left_of_whole_patches_does_not_count() -> None:
    """300 x 451 px are three rows of four patches; 2.572084 is deepinv's."""
    assert niqe(tensor(data.chelsea())) == pytest.approx(2.572084, abs=1e-5)
    assert niqe(tensor(data.chelsea()[:289, :387])) == pytest.approx(2.572084, abs=1e-5)


def test_black_around_a_photograph_is_left_out_by_niqe() -> None:
    photograph = data.coffee()[:384, :576]
    night = np.zeros((384, 576 + 192, 3), np.uint8)
    night[:, 192:] = photograph
    ragged = niqe(tensor(night))
    assert ragged is not None
    assert ragged == pytest.approx(niqe(tensor(photograph)), rel=0.1)


def photograph(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("image", "measured"),
    [
        (photograph(96, 192), {"NIQE", "BRISQUE"}),
        (photograph(96, 191), {"BRISQUE"}),
        (photograph(8, 300), {"BRISQUE"}),
        (photograph(7, 300), set()),
        (torch.full((1, 3, 200, 300), 0.5), set()),
    ],
    ids=["96x192", "96x191", "8x300", "7x300", "flat"],
)
def test_where_there_is_nothing_to_measure_there_is_no_score(image: Tensor, measured: set[str]) -> None:
    values = {name: score(image) for name, score in NO_REFERENCE.items()}
    assert {name for name, value in values.items() if value is not None} == measured
    assert all(value is None or math.isfinite(value) for value in values.values())
