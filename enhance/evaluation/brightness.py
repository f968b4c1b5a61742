"""How much of an error is overall brightness, and whether the network does better at it than a constant."""

import math
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import nn
from tqdm import tqdm

from enhance.data.pairs import WholePairs
from enhance.evaluation.metrics import match_mean, psnr
from enhance.models.brightness import at_brightness, mean_grey


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
    logs = [math.log(mean_grey(training.whole(index)[1][None]).item()) for index in range(len(training.names))]
    constant = math.exp(fmean(logs))
    scores: list[tuple[float, ...]] = []
    for index in tqdm(range(len(source.names)), "scoring", unit="image", leave=False, disable=None):
        low, target = (image[None].to(device) for image in source.whole(index))
        output = model(low).clamp(0, 1)
        flat = at_brightness(output, target.new_full((1, 1, 1, 1), constant))
        matched = (psnr(each, target).item() for each in (output, flat, match_mean(output, target)))
        wanted = math.log(mean_grey(target).item())
        off = math.log(max(mean_grey(output).item(), 1e-6)) - wanted, math.log(constant) - wanted
        scores.append((*matched, off[0] ** 2, off[1] ** 2))
    means = [fmean(column) for column in zip(*scores, strict=True)]
    own, constant_psnr, gt_mean = means[:3]
    return Brightness(constant, own, constant_psnr, gt_mean, math.sqrt(means[3]), math.sqrt(means[4]))
