"""The same outputs under the other protocols that papers score by: `evaluate.py protocol=all`."""

import statistics
from collections.abc import Callable
from typing import Any

import torch
from kornia.color import rgb_to_grayscale
from torch import Tensor, nn
from torchvision.models import AlexNet_Weights
from tqdm import tqdm

from enhance.cached_weights import cached_file, missing
from enhance.data.pairs import WholePairs
from enhance.evaluation.metrics import match_mean, psnr, ssim
from enhance.evaluation.no_reference import INSTALL

Score = Callable[[Tensor, Tensor], dict[str, float]]  # output and target (1, 3, H, W) in [0, 1]


def to_8_bits(image: Tensor) -> Tensor:
    """As an 8-bit file stores it: [0, 1] -> [0, 1] in steps of 1/255."""
    return (image.clamp(0, 1) * 255).round() / 255


def to_y(image: Tensor) -> Tensor:
    """Luma of ITU-R BT.601 in its range of 16 to 235, over 255, as MATLAB's `rgb2ycbcr` and BasicSR's
    `test_y_channel` have it: (N, 3, H, W) in [0, 1] -> (N, 1, H, W)."""
    weights = image.new_tensor([65.481, 128.553, 24.966]).view(1, 3, 1, 1)
    return ((image.clamp(0, 1) * weights).sum(1, keepdim=True) + 16) / 255


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
    "grey": _both(lambda output, target: (rgb_to_grayscale(output.clamp(0, 1)), rgb_to_grayscale(target))),
    "Y of BT.601": _both(lambda output, target: (to_y(output), to_y(target))),
}
LPIPS = "LPIPS (AlexNet), lower is better"


def score_protocols(model: nn.Module, source: WholePairs, device: torch.device) -> tuple[dict[str, Any], list[str]]:
    """The mean of every protocol's scores over whole images, and remarks on those that cannot be had.

    LPIPS (Zhang et al. 2018, arXiv 1801.03924) is torchmetrics', of the extra `scores`.
    """
    protocols = dict(PROTOCOLS)
    remarks = []
    lpips = _lpips(device)
    if isinstance(lpips, str):
        remarks.append(f"LPIPS: {lpips}")
    else:
        protocols[LPIPS] = lpips
    found: dict[str, list[dict[str, float]]] = {name: [] for name in protocols}
    with torch.inference_mode():
        for index in tqdm(range(len(source.names)), "scoring", unit="image", leave=False, disable=None):
            low, target = (image[None].to(device) for image in source.whole(index))
            output = model(low)
            for name, score in protocols.items():
                found[name].append(score(output, target))
    means = {
        name: {key: statistics.fmean(each[key] for each in scores) for key in scores[0]}
        for name, scores in found.items()
    }
    return means, remarks


def _lpips(device: torch.device) -> Score | str:
    """The score, or why it cannot be had: nothing is fetched."""
    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
    except ImportError:
        return f"torchmetrics is missing: {INSTALL}"
    url = AlexNet_Weights.IMAGENET1K_V1.url
    weights = cached_file(url)
    if not weights.is_file():
        return missing(weights, url)
    metric = LearnedPerceptualImagePatchSimilarity("alex", normalize=True).to(device)
    return lambda output, target: {"lpips": metric(output.clamp(0, 1), target).item()}


def told(means: dict[str, dict[str, float]]) -> list[list[str]]:
    """Rows of a table: protocol, PSNR, SSIM; of LPIPS its one value."""
    rows = []
    for name, mean in means.items():
        cells = [f"{mean['psnr']:.2f}", f"{mean['ssim']:.4f}"] if "psnr" in mean else [f"{mean['lpips']:.4f}", ""]
        rows.append([name, *cells])
    return rows
