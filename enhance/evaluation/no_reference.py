"""Scores of photographs that have no reference."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from enhance.evaluation.cached_weights import cached_file, damaged, missing

INSTALL = "pip install -e '.[scores]'"
NIQE_URL = "https://huggingface.co/deepinv/demo/resolve/main/niqe_weights.pt"
BRISQUE_URL = "https://github.com/photosynthesis-team/piq/releases/download/v0.4.0/brisque_svm_weights.pt"
_NIQE_PATCH = 96  # pixels; two of them are the least that have a covariance
_BRISQUE_SIDE = 8  # pixels; halved, a shorter side is shorter than what piq's cubic kernel reflects at its ends

Score = Callable[[Tensor], float | None]  # image (1, 3, H, W) in [0, 1] -> score; None: there is nothing to measure


def no_reference_scores() -> tuple[dict[str, Score], list[str]]:
    """The scores that can be had here, lower is better, and what is missing or damaged for the others.

    NIQE    (Mittal, Soundararajan and Bovik 2013), deepinv's: distance of the image's local statistics to those of
            undistorted photographs. At least 96x192 px, and detail in two patches of 96 px.
    BRISQUE (Mittal, Moorthy and Bovik 2012), piq's: such statistics, through a regression on people's opinions. At
            least 8 px a side, and detail somewhere.

    Both know blur, noise and compression. Neither knows whether the exposure is right.
    """
    scores: dict[str, Score] = {}
    remarks = []
    noise = torch.rand(1, 3, _NIQE_PATCH, 2 * _NIQE_PATCH, generator=torch.Generator().manual_seed(0))
    for name, url, make in (("NIQE", NIQE_URL, _niqe), ("BRISQUE", BRISQUE_URL, _brisque)):
        file = cached_file(url)
        if not file.is_file():
            remarks.append(f"{name}: {missing(file, url)}")
            continue
        try:
            score = make()
            score(noise)  # piq reads its file here, and tensors of a wrong shape show
        except ImportError as error:
            remarks.append(f"{name}: {error.name} is missing: {INSTALL}")
        except Exception as error:  # of many kinds, for as many kinds of damage
            remarks.append(f"{name}: {damaged(file, url, error)}")
        else:
            scores[name] = score
    return scores, remarks


def _niqe() -> Score:
    from deepinv.loss.metric import NIQE

    metric = NIQE(weights_path=cached_file(NIQE_URL), round_tensor=True)  # grey values of 8 bits, as its authors take

    def score(image: Tensor) -> float | None:
        height, width = (side // _NIQE_PATCH for side in image.shape[-2:])
        if height * width < 2:
            return None
        try:
            return _finite(metric.metric(image * 255).item())
        except torch.linalg.LinAlgError:  # flat patches are left out, and of one patch there is no covariance
            return None

    return score


def _brisque() -> Score:
    from piq import brisque

    def score(image: Tensor) -> float | None:
        if min(image.shape[-2:]) < _BRISQUE_SIDE:
            return None
        try:
            return _finite(brisque(image, data_range=1.0).item())
        except AssertionError:  # piq's word for an image that is flat, or whose neighbouring pixels differ one way only
            return None

    return score


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
