"""What the batch norms' statistics are worth: the same weights scored under three choices of them."""

import copy

import torch
from torch import nn

from enhance.data.pairs import PairSource, spread
from enhance.device import memory_told
from enhance.errors import UserError
from enhance.evaluation.evaluate import ImageScore, score
from enhance.evaluation.report import StatisticsScore
from enhance.models.unet import UNet
from enhance.norm.recalibrate import batch_norms, own_statistics, recalibrate_on_images
from enhance.run.checkpoint import Checkpoint

RUNNING = "running statistics"  # as training left them
RECALIBRATED = "recalibrated"  # over whole training images
FROZEN = "frozen in training"  # recalibrated in the midst of it, and trained with since
OWN = "each image's own"
RECALIBRATED_NOW = {  # by the images that recalibrate= names
    "train": "recalibrated now, on training images",
    "target": "adapted to these dark images (AdaBN)",
}


def compare_statistics(
    model: UNet,
    checkpoint: Checkpoint,
    scores: list[ImageScore],
    source: PairSource,
    training: PairSource | None,
    device: torch.device,
    now: str | None = None,
) -> list[StatisticsScore]:
    """Score with the running statistics, with recalibrated ones, and with each image's own; where the weights were
    trained with frozen statistics, with these and each image's own.

    On the dark images that are scored, without their references, recalibration is AdaBN (Li et al. 2016,
    arXiv 1603.04779): the model meets images of another camera, and only its statistics follow.

    Args:
        model: the checkpoint's, in evaluation mode; left as it is.
        scores: of the model with the checkpoint's statistics, on `source`.
        training: the run's training pairs, to recalibrate on where the checkpoint is not recalibrated; None where
            they are not at hand.
        now: recalibrate once more, on "train" images or on those that are scored, "target".

    Returns:
        Empty for a model without batch norms that keep running statistics.
    """
    if not batch_norms(model):
        return []
    choices = _kept_and_own(model, checkpoint, scores, source, training, device)
    if now is not None:
        images, count = source, len(source)
        if now == "train":
            assert training is not None  # choose_pairs saw to it
            images, count = training, checkpoint.settings.validation.recalibrate_images
        fresh = _recalibrated(model, images, count, device)
        choices.append(StatisticsScore(RECALIBRATED_NOW[now], score(fresh, source, device)))
    return choices


def _kept_and_own(
    model: UNet,
    checkpoint: Checkpoint,
    scores: list[ImageScore],
    source: PairSource,
    training: PairSource | None,
    device: torch.device,
) -> list[StatisticsScore]:
    own = _own(model, source, device)
    if checkpoint.frozen:
        return [StatisticsScore(FROZEN, scores, in_checkpoint=True), own]
    if checkpoint.settings.validation.recalibrate:
        raw = copy.deepcopy(model)
        raw.load_state_dict(checkpoint.running_statistics, strict=False)
        running = StatisticsScore(RUNNING, score(raw, source, device))
        return [running, StatisticsScore(RECALIBRATED, scores, in_checkpoint=True), own]
    running = StatisticsScore(RUNNING, scores, in_checkpoint=True)
    if training is None:
        note = "not to be had, for the run's training images are not here"
        return [running, StatisticsScore(RECALIBRATED, None, note=note), own]
    fresh = _recalibrated(model, training, checkpoint.settings.validation.recalibrate_images, device)
    return [running, StatisticsScore(RECALIBRATED, score(fresh, source, device)), own]


def _recalibrated(model: UNet, images: PairSource, count: int, device: torch.device) -> UNet:
    fresh = copy.deepcopy(model)
    with memory_told(device, "recalibration takes 8 whole images; choose device=cpu"):
        recalibrate_on_pairs(fresh, images, count, device)
    return fresh


def _own(model: UNet, source: PairSource, device: torch.device) -> StatisticsScore:
    try:
        with own_statistics(model):
            return StatisticsScore(OWN, score(model, source, device))
    except UserError as error:
        if not isinstance(error.__cause__, torch.OutOfMemoryError):
            raise
        return StatisticsScore(OWN, None, note=f"not to be had: {error}")  # they allow no tiles


def recalibrate_on_pairs(model: nn.Module, training: PairSource, count: int, device: torch.device) -> int:
    """Recalibrate the batch norms on the dark images of `count` whole training pairs, spread over all of them.

    Returns:
        Number of images seen: at most `count`.
    """
    chosen = spread(training, count)
    return recalibrate_on_images(model, (chosen.whole(index)[0] for index in range(len(chosen))), device)
