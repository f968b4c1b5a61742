"""The same outputs under the other protocols that papers score by: `evaluate.py protocol=all`."""

import statistics
from dataclasses import dataclass

import numpy as np
from kornia.color import rgb_to_grayscale
from torch import Tensor

from enhance.data.images import visible
from enhance.evaluation.intervals import interval
from enhance.evaluation.metrics import match_mean
from enhance.evaluation.overall_brightness import GREY
from enhance.evaluation.scores import ImageScore, Measure, psnr_and_ssim
from enhance.evaluation.tables import score_text


@dataclass(frozen=True)
class ProtocolScore:
    """One score of the outputs under one protocol."""

    images: list[float]  # of each image, in the source's order; PSNR in dB, infinite where two images are identical
    mean: float
    interval: tuple[float, float] | None  # 95 %, of the mean, as `enhance.evaluation.intervals.interval` gives it


Protocols = dict[str, dict[str, ProtocolScore]]  # by protocol; by `psnr` and `ssim`, or `lpips`


def to_8_bits(image: Tensor) -> Tensor:
    """As an 8-bit file stores it: [0, 1] -> [0, 1] in steps of 1/255."""
    return (image.clamp(0, 1) * 255).round() / 255


def to_y(image: Tensor) -> Tensor:
    """Luma of ITU-R BT.601 in its range of 16 to 235, over 255, as MATLAB's `rgb2ycbcr` and BasicSR's
    `test_y_channel` have it: (N, C, H, W) in [0, 1] -> (N, 1, H, W), of what is `visible`."""
    weights = image.new_tensor([65.481, 128.553, 24.966]).view(1, 3, 1, 1)
    return ((visible(image).clamp(0, 1) * weights).sum(1, keepdim=True) + 16) / 255


def to_grey(image: Tensor) -> Tensor:
    """0.299 R + 0.587 G + 0.114 B, as MATLAB's `rgb2gray`: (N, C, H, W) in [0, 1] -> (N, 1, H, W) in [0, 1], of
    what is `visible`."""
    return rgb_to_grayscale(visible(image).clamp(0, 1))


PROTOCOLS: dict[str, Measure] = {
    "RGB": psnr_and_ssim,
    "RGB, GT-mean": lambda output, target: psnr_and_ssim(match_mean(output, target), target),
    "RGB, saved with 8 bits": lambda output, target: psnr_and_ssim(to_8_bits(output), target),
    "RGB, saved with 8 bits, GT-mean": lambda output, target: PROTOCOLS["RGB, GT-mean"](to_8_bits(output), target),
    "grey": lambda output, target: psnr_and_ssim(to_grey(output), to_grey(target)),
    "grey, GT-mean": lambda output, target: psnr_and_ssim(to_grey(match_mean(output, target)), to_grey(target)),
    "Y of BT.601": lambda output, target: psnr_and_ssim(to_y(output), to_y(target)),
    "Y of BT.601, GT-mean": lambda output, target: psnr_and_ssim(to_y(match_mean(output, target)), to_y(target)),
}


def summarize(scores: list[ImageScore], scenes: np.ndarray) -> Protocols:
    """Every protocol that the images were scored by, with means and intervals over `scenes`, int (N,)."""

    def summary(name: str, key: str) -> ProtocolScore:
        values = [image.measures[name][key] for image in scores]
        return ProtocolScore(values, statistics.fmean(values), interval(values, scenes))

    measures = scores[0].measures
    return {name: {key: summary(name, key) for key in measures[name]} for name in measures if name != GREY}


def protocol_table(protocols: Protocols) -> list[list[str]]:
    """Rows of a table: protocol, PSNR and its interval, SSIM and its interval; of LPIPS its one value and interval."""
    rows = [["protocol", "PSNR (dB)", "95 % interval", "SSIM", "95 % interval"]]
    for name, scores in protocols.items():
        row = [name]
        for key, score in scores.items():
            row += [score_text(key, score.mean), score_text(key, *(score.interval or ()))]
        rows.append(row + [""] * (5 - len(row)))
    return rows
