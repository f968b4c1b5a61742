"""How much of an error is overall brightness, and whether the network does better at it than a constant."""

import math
from dataclasses import dataclass
from statistics import fmean

import torch
from kornia.color import rgb_to_grayscale
from torch import Tensor, nn
from tqdm import tqdm

from enhance.data.pairs import WholePairs
from enhance.evaluation.metrics import match_mean, psnr


@dataclass(frozen=True)
class Brightness:
    """Of a model on whole images; brightness is the mean grey value, PSNR in dB."""

    constant: float  # the geometric mean of the training targets' brightness
    psnr: float
    psnr_constant: float  # every output scaled to that constant, which a user may do as well
    psnr_gt_mean: float  # every output scaled to its reference's brightness
    error: float  # root mean square of the log of output over reference brightness
    error_constant: float  # of the constant over reference brightness

    @property
    def explained(self) -> float:
        """Share of the variation of the references' log brightness that the model predicts: 1 - error^2 ratio; at or
        below 0, it does no better than the constant."""
        return 1 - (self.error / self.error_constant) ** 2


@torch.inference_mode()
def brightness(model: nn.Module, source: WholePairs, training: WholePairs, device: torch.device) -> Brightness:
    """Score a model in evaluation mode on each whole pair of `source`: with its own brightness, with a constant one,
    and with the reference's."""
    logs = [math.log(_grey(training.whole(index)[1][None])) for index in range(len(training.names))]
    constant = math.exp(fmean(logs))
    scores: list[tuple[float, ...]] = []
    for index in tqdm(range(len(source.names)), "scoring", unit="image", leave=False, disable=None):
        low, target = (image[None].to(device) for image in source.whole(index))
        output = model(low).clamp(0, 1)
        flat = torch.full_like(target, constant)
        matched = (psnr(each, target).item() for each in (output, match_mean(output, flat), match_mean(output, target)))
        wanted = math.log(_grey(target))
        off = math.log(max(_grey(output), 1e-6)) - wanted, math.log(constant) - wanted
        scores.append((*matched, off[0] ** 2, off[1] ** 2))
    means = [fmean(column) for column in zip(*scores, strict=True)]
    own, constant_psnr, gt_mean = means[:3]
    return Brightness(constant, own, constant_psnr, gt_mean, math.sqrt(means[3]), math.sqrt(means[4]))


def _grey(image: Tensor) -> float:
    return rgb_to_grayscale(image).mean().item()
