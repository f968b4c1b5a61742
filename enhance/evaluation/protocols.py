"""The same outputs under the other protocols that papers score by: `evaluate.py protocol=all`."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
from kornia.color import rgb_to_grayscale
from torch import Tensor
from tqdm import tqdm

from enhance.data.pairs import PairSource
from enhance.evaluation.cached_weights import cached_file, damaged, missing
from enhance.evaluation.intervals import interval, scenes_of
from enhance.evaluation.metrics import match_mean, psnr, ssim
from enhance.evaluation.no_reference import INSTALL
from enhance.inference.any_size import AnySize
from enhance.models.unet import UNet

Score = Callable[[Tensor, Tensor], dict[str, float]]  # output and target (1, 3, H, W) in [0, 1]
LPIPS = "LPIPS (AlexNet), lower is better"
LPIPS_GT_MEAN = "LPIPS (AlexNet), GT-mean"
_LPIPS_SIDE = 31  # pixels; of a shorter side AlexNet's second pooling leaves nothing


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
    `test_y_channel` have it: (N, 3, H, W) in [0, 1] -> (N, 1, H, W)."""
    weights = image.new_tensor([65.481, 128.553, 24.966]).view(1, 3, 1, 1)
    return ((image.clamp(0, 1) * weights).sum(1, keepdim=True) + 16) / 255


def to_grey(image: Tensor) -> Tensor:
    """0.299 R + 0.587 G + 0.114 B, as MATLAB's `rgb2gray`: (N, 3, H, W) in [0, 1] -> (N, 1, H, W) in [0, 1]."""
    return rgb_to_grayscale(image.clamp(0, 1))


def _both(change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Score:
    def score(output: Tensor, target: Tensor) -> dict[str, float]:
        changed, reference = change(output, target)
        return {"psnr": psnr(changed, reference).item(), "ssim": ssim(changed, reference).item()}

    return score


PROTOCOLS: dict[str, Score] = {
    "RGB": _both(lambda output, target: (output, target)),
    "RGB, GT-mean": _both(lambda output, target: (match_mean(output, target), target)),
    "RGB, saved with 8 bits": _both(lambda output, target: (to_8_bits(output), target)),
    "RGB, saved with 8 bits, GT-mean": _both(lambda output, target: (match_mean(to_8_bits(output), target), target)),
    "grey": _both(lambda output, target: (to_grey(output), to_grey(target))),
    "grey, GT-mean": _both(lambda output, target: (to_grey(match_mean(output, target)), to_grey(target))),
    "Y of BT.601": _both(lambda output, target: (to_y(output), to_y(target))),
    "Y of BT.601, GT-mean": _both(lambda output, target: (to_y(match_mean(output, target)), to_y(target))),
}


@torch.inference_mode()
def score_protocols(model: UNet, source: PairSource, device: torch.device) -> tuple[Protocols, list[str]]:
    """Every protocol's scores of whole images, and remarks on those that cannot be had.

    LPIPS (Zhang et al. 2018, arXiv 1801.03924) is torchmetrics', of the extra `scores`; it is left out where an image
    is too small for it, for a mean over other images would stand beside the rest.
    """
    lpips, remarks = _lpips(device)
    enhance = AnySize(model, device)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in PROTOCOLS | lpips}
    for index, image in enumerate(tqdm(source.names, "scoring", unit="image", leave=False, disable=None)):
        low, target = (each[None].to(enhance.home(each)) for each in source.whole(index))
        height, width = target.shape[-2:]
        if lpips and min(height, width) < _LPIPS_SIDE:
            remarks.append(f"LPIPS: left out: {image} is {width}x{height} px, and AlexNet needs {_LPIPS_SIDE} a side")
            lpips = {}
        output = enhance(low)
        for name, score in PROTOCOLS.items():
            found[name].append(score(output, target))
        for name, score in lpips.items():
            found[name].append(score(output.to(device), target.to(device)))
    scenes = scenes_of(source)
    protocols: Protocols = {}
    for name in PROTOCOLS | lpips:
        columns = {key: [each[key] for each in found[name]] for key in found[name][0]}
        protocols[name] = {
            key: ProtocolScore(values, statistics.fmean(values), interval(values, scenes))
            for key, values in columns.items()
        }
    return protocols, remarks


def _lpips(device: torch.device) -> tuple[dict[str, Score], list[str]]:
    """Both protocols of it, or none and why they cannot be had: nothing is fetched."""
    try:  # here: they take seconds, and few scores need them
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
    except ImportError:
        return {}, [f"LPIPS: torchmetrics is missing: {INSTALL}"]
    from torchvision.models import AlexNet_Weights

    url = AlexNet_Weights.IMAGENET1K_V1.url
    weights = cached_file(url)
    if not weights.is_file():
        return {}, [f"LPIPS: {missing(weights, url)}"]
    try:
        metric = LearnedPerceptualImagePatchSimilarity("alex", normalize=True).to(device)
    except Exception as error:  # of many kinds, for as many kinds of damage
        return {}, [f"LPIPS: {damaged(weights, url, error)}"]
    return {
        LPIPS: lambda output, target: {"lpips": metric(output.clamp(0, 1), target).item()},
        LPIPS_GT_MEAN: lambda output, target: {"lpips": metric(match_mean(output, target), target).item()},
    }, []


def told(protocols: Protocols) -> list[list[str]]:
    """Rows of a table: protocol, PSNR and its interval, SSIM and its interval; of LPIPS its one value and interval."""
    rows = []
    for name, scores in protocols.items():
        row = [name]
        for key, score in scores.items():
            digits = 2 if key == "psnr" else 4
            ends = [f"{end:.{digits}f}" for end in score.interval or ()]
            row += [f"{score.mean:.{digits}f}", " to ".join(ends)]
        rows.append(row + [""] * (5 - len(row)))
    return rows
