"""The same weights under other statistics of their batch norms, each as a model of its own."""

import copy
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from enhance.data.pairs import PairSource, spread
from enhance.device import out_of_memory_hint
from enhance.errors import SettingsError, UserError
from enhance.evaluation.report import StatisticsScore
from enhance.evaluation.scores import ImageScore, score
from enhance.models.model import EnhancementModel
from enhance.norm.base import TooFewValues
from enhance.norm.recalibrate import batch_norms, recalibrate_on_images
from enhance.run.checkpoint import Checkpoint

RUNNING = "running statistics"  # as training left them
RECALIBRATED = "recalibrated"  # over whole training images
FROZEN = "frozen in training"  # recalibrated in the midst of it, and trained with since
OWN = "each image's own"
RECALIBRATED_NOW = {  # by the images that recalibrate= names
    "train": "recalibrated now, on training images",
    "target": "adapted to these dark images (AdaBN)",
}


def variants(
    model: EnhancementModel, checkpoint: Checkpoint, training: PairSource | None, device: torch.device
) -> Iterator[tuple[str, EnhancementModel | None]]:
    """Running statistics, recalibrated ones, and each image's own; where the weights were trained with frozen
    statistics, these and each image's own. None for a model without batch norms that keep running statistics.

    Args:
        model: the checkpoint's, in evaluation mode; left as it is.
        training: the run's training pairs, to recalibrate on where the checkpoint is not recalibrated.

    Yields:
        What the statistics are, and a model with them in evaluation mode: `model` itself with those that are saved;
        None where it takes training pairs, and there are none.
    """
    if not batch_norms(model):
        return
    validation = checkpoint.settings.validation
    if checkpoint.frozen:
        yield FROZEN, model
    elif validation.recalibrate:
        running = copy.deepcopy(model)
        running.load_state_dict(checkpoint.running_statistics, strict=False)
        yield RUNNING, running
        yield RECALIBRATED, model
    else:
        yield RUNNING, model
        if training is None:
            yield RECALIBRATED, None
        else:
            images = dark_images(training, validation.recalibrate_images)
            yield RECALIBRATED, recalibrated(model, images, device)
    yield OWN, by_each_image(model)


def check_statistics(checkpoint: Checkpoint, model: EnhancementModel, asked: str) -> None:
    """See that the statistics of the checkpoint's batch norms can be taken again, which `asked` (a setting or an
    option) wants: a `SettingsError` where there are none, or the weights were trained with them as constants."""
    if checkpoint.frozen:
        raise SettingsError(f"{asked}: the weights were trained with frozen statistics; leave it out")
    if not batch_norms(model):
        raise SettingsError(f"{asked}: norm={checkpoint.settings.norm.name} keeps no running statistics; leave it out")


def by_each_image(model: EnhancementModel) -> EnhancementModel:
    """A copy whose batch norms standardize each image by its own statistics."""
    copied = copy.deepcopy(model)
    for layer in batch_norms(copied).values():
        layer.running_mean = layer.running_var = None
    return copied


def recalibrated(model: EnhancementModel, images: Iterable[Tensor], device: torch.device) -> EnhancementModel:
    """A copy with population statistics over `images` (C, H, W); on dark images of another camera, without their
    references, this is AdaBN (Li et al. 2016, arXiv 1603.04779)."""
    copied = copy.deepcopy(model)
    recalibrate_in_place(copied, images, device)
    return copied


def dark_images(pairs: PairSource, count: int) -> Iterator[Tensor]:
    """The whole dark images of `count` pairs, (C, H, W) each, spread over all of them; of all where there are fewer."""
    chosen = spread(pairs, count)
    return (chosen.whole(index)[0] for index in range(len(chosen)))


def recalibrate_in_place(
    model: nn.Module, images: Iterable[Tensor], device: torch.device, cure: str = "choose device=cpu"
) -> int:
    """As `recalibrate_on_images`, but raises `UserError` where the device's memory is too small, which `cure` helps
    against, or a batch norm sees a single position of all images."""
    try:
        with out_of_memory_hint(device, f"recalibration takes 8 whole images; {cure}"):
            return recalibrate_on_images(model, images, device)
    except TooFewValues as error:
        raise UserError(f"recalibration: {error}; give more images, or larger ones") from error


def compare_statistics(
    model: EnhancementModel,
    checkpoint: Checkpoint,
    scores: list[ImageScore],
    source: PairSource,
    training: PairSource | None,
    device: torch.device,
    now: str | None = None,
) -> list[StatisticsScore]:
    """Score every variant of a checkpoint; arguments as of `variants`, but for:

    Args:
        scores: of the model as it is saved, on `source`.
        now: recalibrate once more, on "train" images or on those that are scored, "target".
    """
    choices = []
    for statistics, network in variants(model, checkpoint, training, device):
        scored, note = None, "not to be had, for the run's training images are not here"
        try:
            if network is not None:
                scored, note = scores if network is model else score(network, source, device), ""
        except UserError as error:
            if statistics != OWN or not isinstance(error.__cause__, torch.OutOfMemoryError):
                raise
            note = f"not to be had: {error}"  # they allow no tiles
        choices.append(StatisticsScore(statistics, scored, network is model, note))
    if now is not None:
        images, count = source, len(source)
        if now == "train":
            assert training is not None  # choose_pairs saw to it
            images, count = training, checkpoint.settings.validation.recalibrate_images
        fresh = recalibrated(model, dark_images(images, count), device)
        choices.append(StatisticsScore(RECALIBRATED_NOW[now], score(fresh, source, device)))
    return choices
