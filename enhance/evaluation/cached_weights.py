"""Scores that take other people's trained weights, where torch's cache already holds them: nothing is fetched."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from enhance.data.pairs import PairSource, channels_of
from enhance.evaluation.metrics import match_mean
from enhance.evaluation.scores import Measure

LPIPS = "LPIPS (AlexNet), lower is better"
LPIPS_GT_MEAN = "LPIPS (AlexNet), GT-mean"
NIQE_URL = "https://huggingface.co/deepinv/demo/resolve/main/niqe_weights.pt"
BRISQUE_URL = "https://github.com/photosynthesis-team/piq/releases/download/v0.4.0/brisque_svm_weights.pt"
_LPIPS_SIDE = 31  # pixels; of a shorter side AlexNet's second pooling leaves nothing

Score = Callable[[Tensor], float | None]  # image (1, 3, H, W) in [0, 1] -> score; None: there is nothing to measure
_Made = TypeVar("_Made")


def cached_file(url: str) -> Path:
    """Where torch keeps the file of that address; it need not be there."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.split("?")[0].rsplit("/", 1)[1]


def missing(file: Path, url: str) -> str:
    """What to tell where the file is not there."""
    return f"{file} is missing: get it from {url}"


def _load(name: str, url: str, make: Callable[[Path], _Made]) -> tuple[_Made | None, list[str]]:
    """What `make` makes of the cached file; or None, and what is missing or damaged."""
    file = cached_file(url)
    if not file.is_file():
        return None, [f"{name}: {missing(file, url)}"]
    try:
        return make(file), []
    except ImportError as error:
        return None, [f"{name}: {error.name} is missing: pip install -e '.[scores]'"]
    except Exception as error:  # of many kinds, for as many kinds of damage
        damage = f"{file} does not hold its weights ({type(error).__name__})"
        return None, [f"{name}: {damage}: delete it, and get it again from {url}"]


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

    def alexnet(_: Path) -> Callable[[Tensor, Tensor], Tensor]:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        return LearnedPerceptualImagePatchSimilarity("alex", normalize=True).to(device)

    metric, remarks = _load("LPIPS", AlexNet_Weights.IMAGENET1K_V1.url, alexnet)
    if metric is None:
        return {}, remarks

    def distance(output: Tensor, target: Tensor) -> dict[str, float]:
        return {"lpips": metric(output.clamp(0, 1).to(device), target.to(device)).item()}

    return {
        LPIPS: distance,
        LPIPS_GT_MEAN: lambda output, target: distance(match_mean(output, target), target),
    }, []


def no_reference_scores() -> tuple[dict[str, Score], list[str]]:
    """The scores of photographs without a reference that can be had here, lower is better, and what is missing or
    damaged for the others.

    NIQE    (Mittal, Soundararajan and Bovik 2013), deepinv's: distance of the image's local statistics to those of
            undistorted photographs. At least 96x192 px, and detail in two patches of 96 px.
    BRISQUE (Mittal, Moorthy and Bovik 2012), piq's: such statistics, through a regression on people's opinions. At
            least 8 px a side, and detail somewhere.

    Both know blur, noise and compression. Neither knows whether the exposure is right.
    """
    scores: dict[str, Score] = {}
    remarks = []
    for name, url, make in (("NIQE", NIQE_URL, _niqe), ("BRISQUE", BRISQUE_URL, _brisque)):
        score, why = _load(name, url, make)
        remarks += why
        if score is not None:
            scores[name] = score
    return scores, remarks


def _niqe(file: Path) -> Score:
    from deepinv.loss.metric import NIQE

    metric = NIQE(weights_path=file, round_tensor=True)  # grey values of 8 bits, as its authors take
    return _score(lambda image: metric.metric(image * 255), 96, 2)  # two of its patches have a covariance


def _brisque(_: Path) -> Score:
    from piq import brisque

    return _score(lambda image: brisque(image, data_range=1.0), 8, 1)  # halved, piq's cubic kernel still fits in


def _score(measure: Callable[[Tensor], Tensor], side: int, patches: int) -> Score:
    """For images of so many patches of that side; tried once, for piq reads its file then, and wrong shapes show."""

    def score(image: Tensor) -> float | None:
        if math.prod(length // side for length in image.shape[-2:]) < patches:
            return None
        try:
            value = measure(image).item()
        except (torch.linalg.LinAlgError, AssertionError):  # of NIQE, all patches but one are flat, and left out; of
            return None  # BRISQUE, the image is flat, or neighbouring pixels differ one way only
        return value if math.isfinite(value) else None

    score(torch.rand(1, 3, 96, 192, generator=torch.Generator().manual_seed(0)))
    return score
