"""LPIPS, which takes other people's trained weights, where torch's cache already holds them: nothing is fetched."""

from pathlib import Path

import torch
from torch import Tensor

from enhance.data.pairs import PairSource, channels_of
from enhance.errors import extra
from enhance.evaluation.metrics import match_mean
from enhance.evaluation.scores import Measure

LPIPS = "LPIPS (AlexNet), lower is better"
LPIPS_GT_MEAN = "LPIPS (AlexNet), GT-mean"
_LPIPS_SIDE = 31  # pixels; of a shorter side AlexNet's second pooling leaves nothing


def cached_file(url: str) -> Path:
    """Where torch keeps the file of that address; it need not be there."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.split("?")[0].rsplit("/", 1)[1]


def missing(file: Path, url: str) -> str:
    """What to tell where the file is not there."""
    return f"{file} is missing: get it from {url}"


def lpips(source: PairSource, device: torch.device) -> tuple[dict[str, Measure], list[str]]:
    """LPIPS (Zhang et al. 2018, arXiv 1801.03924), plain and with GT-mean; or none, and why it cannot be had.

    It is torchmetrics', of the extra `scores`. It is left out where an image is too small for it, for a mean over other
    images would stand beside the rest, and where images are not RGB.
    """
    if (channels := channels_of(source)) != 3:
        rows = f"the rows RGB are of all {channels}"
        return {}, [f"LPIPS: left out: AlexNet needs 3 channels, and these images have {channels}; {rows}"]
    for name, (height, width) in zip(source.names, source.sizes, strict=True):
        if min(height, width) < _LPIPS_SIDE:
            return {}, [f"LPIPS: left out: {name} is {width}x{height} px, and AlexNet needs {_LPIPS_SIDE} a side"]
    # Here, for they take seconds, and few scores need them.
    from torchvision.models import AlexNet_Weights

    url = AlexNet_Weights.IMAGENET1K_V1.url
    file = cached_file(url)
    if not file.is_file():
        return {}, [f"LPIPS: {missing(file, url)}"]
    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        metric = LearnedPerceptualImagePatchSimilarity("alex", normalize=True).to(device)
    except ImportError as error:
        return {}, [f"LPIPS: {error.name} is missing: {extra('scores')}"]
    except Exception as error:  # of many kinds, for as many kinds of damage
        damage = f"{file} does not hold its weights ({type(error).__name__})"
        return {}, [f"LPIPS: {damage}: delete it, and get it again from {url}"]

    def distance(output: Tensor, target: Tensor) -> dict[str, float]:
        return {"lpips": metric(output.clamp(0, 1).to(device), target.to(device)).item()}

    return {
        LPIPS: distance,
        LPIPS_GT_MEAN: lambda output, target: distance(match_mean(output, target), target),
    }, []
