"""Scores of photographs that have no reference, from the statistics of natural scenes: NIQE and BRISQUE.

Both know blur, noise and compression. Neither knows whether the exposure is right. Both take luma of 8 bits, subtract
the local mean, divide by the local deviation, and ask which distribution the values and the products of neighbours
have, at full and at half size. Beside this file lie the parameters that their authors published, with their notice.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
from scipy.ndimage import correlate1d
from scipy.special import gamma
from torch import Tensor

PATCH = 96  # pixels a side, of NIQE

Score = Callable[[Tensor], float | None]  # image (1, 3, H, W) in [0, 1] -> score; None: there is nothing to measure

_LUMA = np.array([0.298936021293775, 0.587043074451121, 0.114020904255103])  # of BT.601, with the digits of MATLAB
_WINDOW = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
_WINDOW /= _WINDOW.sum()
_HALVING = np.array([-0.01171875, -0.03515625, 0.11328125, 0.43359375])  # MATLAB's imresize: bicubic, twice as wide
_HALVING = np.concatenate([_HALVING, _HALVING[::-1]])
_SHAPES = np.arange(0.2, 10.0005, 0.001)
_MOMENTS = gamma(2 / _SHAPES) ** 2 / (gamma(1 / _SHAPES) * gamma(3 / _SHAPES))  # E[|x|]^2 / E[x^2] of each shape
_SHIFTS = [(0, 1), (1, 0), (1, 1), (-1, 1)]


def niqe(image: Tensor) -> float | None:
    """Mittal, Soundararajan and Bovik 2013, lower is better: distance of the statistics of the image's patches to those
    of undistorted photographs. It needs detail in two patches of 96 px."""
    luma = _luma(image)
    rows, columns = (side // PATCH for side in luma.shape)
    luma = luma[: rows * PATCH, : columns * PATCH]
    if rows * columns < 2:
        return None
    features: list[np.ndarray] = []
    for side in (PATCH, PATCH // 2):
        patches = _normalized(luma, "nearest").reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)
        shape, left, right = _fit(patches)
        features += [shape, (left + right) * _scale(shape) / 2]
        for shape, mean, left, right in _of_neighbours(patches):
            features += [shape, mean, left * _scale(shape), right * _scale(shape)]
        luma = _halved(luma)
    measured = np.stack(features, axis=1)
    measured = measured[np.isfinite(measured).all(axis=1)]  # flat patches have no statistics
    if len(measured) < 2:
        return None
    natural = _parameters()
    covariance = (natural["niqe_covariance"] + np.cov(measured.T)) / 2
    difference = natural["niqe_mean"] - measured.mean(axis=0)
    return _number(np.sqrt(difference @ np.linalg.pinv(covariance) @ difference))


def brisque(image: Tensor) -> float | None:
    """Mittal, Moorthy and Bovik 2012, lower is better, 0 to 100 as a rule: the statistics of the whole image, through a
    regression on people's opinions. It needs 8 px a side, and detail somewhere."""
    luma = _luma(image)
    if min(luma.shape) < 8:
        return None
    features: list[np.ndarray] = []
    for _ in range(2):
        values = _normalized(luma, "constant")
        if not values.any():
            return None
        square = (values**2).mean()
        features += [_shape(np.abs(values).mean() ** 2 / square), square]
        for shape, mean, left, right in _of_neighbours(values):
            features += [shape, mean, left**2, right**2]
        luma = _halved(luma)
    trained = _parameters()
    lowest, highest = trained["brisque_ranges"]
    scaled = 2 * (np.array(features) - lowest) / (highest - lowest) - 1
    kernel = np.exp(-0.05 * ((trained["brisque_vectors"] - scaled) ** 2).sum(axis=1))
    return _number(trained["brisque_coefficients"] @ kernel + 153.591)


NO_REFERENCE: dict[str, Score] = {"NIQE": niqe, "BRISQUE": brisque}


@cache
def _parameters() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_suffix(".npz")) as file:
        return {name: file[name].astype(np.float64) for name in file}


def _number(score: np.floating) -> float | None:
    return float(score) if math.isfinite(score) else None


def _luma(image: Tensor) -> np.ndarray:
    """(H, W) in [0, 255], rounded, as a file of 8 bits holds it."""
    return np.round(255 * image[0].permute(1, 2, 0).double().numpy() @ _LUMA)


def _filtered(image: np.ndarray, taps: np.ndarray, border: str, origin: int = 0) -> np.ndarray:
    return correlate1d(correlate1d(image, taps, 0, mode=border, origin=origin), taps, 1, mode=border, origin=origin)


def _halved(image: np.ndarray) -> np.ndarray:
    return _filtered(image, _HALVING, "reflect", origin=-1)[::2, ::2]


def _normalized(image: np.ndarray, border: str) -> np.ndarray:
    mean = _filtered(image, _WINDOW, border)
    deviation = np.sqrt(np.abs(_filtered(image**2, _WINDOW, border) - mean**2))
    difference = image - mean
    # Where the image is flat, rounding alone would choose the sign, and `_fit` counts signs.
    return np.where(np.abs(difference) < 1e-9, 0, difference) / (deviation + 1)


def _of_neighbours(values: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Of the products of neighbours in (..., H, W), for each direction: shape, mean, and deviations as of `_fit`."""
    for shift in _SHIFTS:
        shape, left, right = _fit(values * np.roll(values, shift, (-2, -1)))
        yield shape, (right - left) * _scale(shape) * gamma(2 / shape) / gamma(1 / shape), left, right


def _scale(shape: np.ndarray) -> np.ndarray:
    """The distribution's scale over its deviation."""
    return np.sqrt(gamma(1 / shape) / gamma(3 / shape))


def _fit(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of (..., H, W), the asymmetric generalized Gaussian: shape, and the deviations to the left and the right. They
    are NaN where no value is on a side."""
    square = values**2
    with np.errstate(invalid="ignore", divide="ignore"):
        left, right = (
            np.sqrt((square * side).sum(axis=(-2, -1)) / side.sum(axis=(-2, -1))) for side in (values < 0, values > 0)
        )
        ratio = left / right
        moments = np.abs(values).mean(axis=(-2, -1)) ** 2 / square.mean(axis=(-2, -1))
        return _shape(moments * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2), left, right


def _shape(moments: np.ndarray) -> np.ndarray:
    return np.interp(moments, _MOMENTS, _SHAPES).round(3)  # the authors search in steps of 0.001
