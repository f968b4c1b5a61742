"""What a finished run scores under every choice that evaluation leaves open: the same weights, other statistics or
other sizes of image. The differences are the parts of a batch norm's loss: docs/study.md."""

import statistics

import numpy as np
import torch
from torch import Tensor

from enhance.data.images import to_tensor
from enhance.data.pairs import PairSource, WholePairs, spread
from enhance.evaluation.scores import mean_score, score
from enhance.evaluation.variants import by_each_image, dark_images, recalibrated
from enhance.inference.fold import fold_batch_norms
from enhance.models.model import EnhancementModel
from enhance.norm.recalibrate import batch_norms


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


def study_scores(
    model: EnhancementModel,
    train: PairSource,
    test: PairSource,
    others: dict[str, PairSource],
    crop: int,
    count: int,
    device: torch.device,
) -> dict[str, float]:
    """Mean scores on `test`, in dB but for SSIM and times in ms.

    Args:
        model: in evaluation mode, its batch norms as training left them; left as it is.
        train: the training pairs, to recalibrate on `count` of them, and to score as many as `test` has.
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

    def psnr(network: EnhancementModel, source: WholePairs) -> float:
        return mean_score(score(network, source, device))["psnr"]

    row: dict[str, float] = {}
    used, by_own = model, None
    if batch_norms(model):
        by_own = by_each_image(model)
        row["psnr_running"] = psnr(model, test)
        chosen = spread(train, count)
        crops = (chosen.crop(index, crop, np.random.default_rng(index))[0] for index in range(len(chosen)))
        on_crops = recalibrated(model, (to_tensor(np.ascontiguousarray(dark)) for dark in crops), device)
        row["psnr_crops"] = psnr(on_crops, test)
        row["psnr_own"] = psnr(by_own, test)
        used = recalibrated(model, dark_images(train, count), device)
    scores = score(used, test, device)
    mean = mean_score(scores)
    row |= {key: mean[key] for key in ("psnr", "ssim", "psnr_gt_mean")}
    row["inference_ms"] = 1000 * statistics.median(image.seconds for image in scores)
    folded = score(fold_batch_norms(used), test, device) if by_own else scores
    row["inference_ms_folded"] = 1000 * statistics.median(image.seconds for image in folded)
    row["psnr_middle"] = psnr(used, Middles(test, crop))
    row["psnr_train"] = psnr(used, spread(train, len(test)))
    for name, pairs in others.items():
        row[f"psnr_on_{name}"] = psnr(used, pairs)
        if by_own:
            row[f"psnr_own_on_{name}"] = psnr(by_own, pairs)
            row[f"psnr_adapted_on_{name}"] = psnr(recalibrated(used, dark_images(pairs, len(pairs)), device), pairs)
    return row
