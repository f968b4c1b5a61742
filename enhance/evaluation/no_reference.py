"""Scores of photographs that have no reference."""

from collections.abc import Callable

from torch import Tensor

from enhance.cached_weights import cached_file, missing

INSTALL = "pip install -e '.[scores]'"
NIQE_URL = "https://huggingface.co/deepinv/demo/resolve/main/niqe_weights.pt"
BRISQUE_URL = "https://github.com/photosynthesis-team/piq/releases/download/v0.4.0/brisque_svm_weights.pt"
_NIQE_PATCH = 96  # pixels; two of them are the least that have a covariance

Score = Callable[[Tensor], float | None]  # image (1, 3, H, W) in [0, 1] -> score; None: the image is too small


def no_reference_scores() -> tuple[dict[str, Score], list[str]]:
    """The scores that can be had here, lower is better, and what is missing for the others.

    NIQE    (Mittal, Soundararajan and Bovik 2013), deepinv's: distance of the image's local statistics to those of
            undistorted photographs. At least 96x192 px.
    BRISQUE (Mittal, Moorthy and Bovik 2012), piq's: such statistics, through a regression on people's opinions.

    Both know blur, noise and compression. Neither knows whether the exposure is right.
    """
    scores: dict[str, Score] = {}
    remarks = []
    for name, url, make in (("NIQE", NIQE_URL, _niqe), ("BRISQUE", BRISQUE_URL, _brisque)):
        file = cached_file(url)
        try:
            if file.is_file():
                scores[name] = make()
            else:
                remarks.append(f"{name}: {missing(file, url)}")
        except ImportError as error:
            remarks.append(f"{name}: {error.name} is missing: {INSTALL}")
    return scores, remarks


def _niqe() -> Score:
    from deepinv.loss.metric import NIQE

    metric = NIQE(weights_path=cached_file(NIQE_URL), round_tensor=True)  # grey values of 8 bits, as its authors take

    def score(image: Tensor) -> float | None:
        height, width = (side // _NIQE_PATCH for side in image.shape[-2:])
        return metric.metric(image * 255).item() if height * width >= 2 else None

    return score


def _brisque() -> Score:
    from piq import brisque

    return lambda image: brisque(image, data_range=1.0).item()
