"""What a finished run scores under every choice that evaluation leaves open: the same weights, other statistics or
other sizes of image. The differences are the causes of a batch norm's loss."""

import copy
import statistics
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from enhance.data.images import to_tensor
from enhance.data.pairs import PairSource, WholePairs, spread
from enhance.evaluation.evaluate import mean_score, score
from enhance.evaluation.statistics import recalibrate_on_pairs
from enhance.inference.fold import fold_batch_norms
from enhance.models.unet import UNet
from enhance.norm.recalibrate import batch_norms, own_statistics, recalibrate_on_images


class Middles:
    """The middle square of each pair of a source, as large as a training crop."""

    def __init__(self, source: PairSource, side: int) -> None:
        self.names = source.names
        self._source, self._side = source, side

    def whole(self, index: int) -> tuple[Tensor, Tensor]:
        low, normal = self._source.whole(index)
        top, left = (low.shape[1] - self._side) // 2, (low.shape[2] - self._side) // 2
        window = (slice(None), slice(top, top + self._side), slice(left, left + self._side))
        return low[window], normal[window]


def causes(
    model: UNet,
    train: PairSource,
    report: PairSource,
    others: dict[str, PairSource],
    crop: int,
    count: int,
    device: torch.device,
) -> dict[str, float]:
    """Mean scores on `report`, in dB but for SSIM and times in ms.

    Args:
        model: in evaluation mode, its batch norms as training left them; left as it is.
        train: the training pairs, to recalibrate on `count` of them, and to score as many as `report` has.
        others: pairs of other cameras, by name.
        crop: side of a training crop in pixels.

    Returns:
        psnr, ssim, psnr_gt_mean: the model as it is used, batch norms recalibrated on whole training images.
        psnr_middle: the same on the middle `crop` pixels of each image.
        psnr_train: the same on whole training images, spread over all.
        inference_ms, and inference_ms_folded: of an image, without and with batch norms folded.
        psnr_running, psnr_crops, psnr_own: of batch norms, by running statistics, by such of training crops in
        batches of 8, and by each image's own; absent for other norms.
        psnr_on_NAME: the model as it is used on another camera; of batch norms also psnr_own_on_NAME, and
        psnr_adapted_on_NAME, recalibrated on that camera's dark images: AdaBN (Li et al. 2016, arXiv 1603.04779).
    """
    found: dict[str, float] = {}
    used = copy.deepcopy(model)
    if batch_norms(model):
        found["psnr_running"] = _psnr(model, report, device)
        on_crops = copy.deepcopy(model)
        recalibrate_on_images(on_crops, _crops(train, crop, count), device)
        found["psnr_crops"] = _psnr(on_crops, report, device)
        with own_statistics(used):
            found["psnr_own"] = _psnr(used, report, device)
        recalibrate_on_pairs(used, train, count, device)
    scores = score(used, report, device)
    mean = mean_score(scores)
    found |= {key: mean[key] for key in ("psnr", "ssim", "psnr_gt_mean")}
    found["inference_ms"] = 1000 * statistics.median(image.seconds for image in scores)
    folded = score(fold_batch_norms(used), report, device) if batch_norms(used) else scores
    found["inference_ms_folded"] = 1000 * statistics.median(image.seconds for image in folded)
    found["psnr_middle"] = _psnr(used, Middles(report, crop), device)
    found["psnr_train"] = _psnr(used, spread(train, len(report)), device)
    for name, pairs in others.items():
        found |= {f"{key}_on_{name}": psnr for key, psnr in _on_another_camera(used, pairs, device).items()}
    return found


def _on_another_camera(model: UNet, pairs: PairSource, device: torch.device) -> dict[str, float]:
    found = {"psnr": _psnr(model, pairs, device)}
    if batch_norms(model):
        with own_statistics(model):
            found["psnr_own"] = _psnr(model, pairs, device)
        adapted = copy.deepcopy(model)
        recalibrate_on_pairs(adapted, pairs, len(pairs), device)
        found["psnr_adapted"] = _psnr(adapted, pairs, device)
    return found


def _psnr(model: UNet, source: WholePairs, device: torch.device) -> float:
    return mean_score(score(model, source, device))["psnr"]


def _crops(train: PairSource, crop: int, count: int) -> Iterator[Tensor]:
    """`count` dark training crops (3, crop, crop), always the same."""
    chosen = spread(train, count)
    for index in range(len(chosen)):
        low, _ = chosen.crop(index, crop, np.random.default_rng(index))
        yield to_tensor(np.ascontiguousarray(low))
