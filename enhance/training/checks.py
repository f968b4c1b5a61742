"""What can be wrong with settings and data together, found before the first step."""

from pathlib import Path
from typing import Any

from torch import nn

from enhance import ranks
from enhance.data.images import shortened
from enhance.data.pairs import PairSource
from enhance.errors import DataError, SettingsError
from enhance.norm.batch import BatchNorm
from enhance.norm.ghost import GhostBatchNorm
from enhance.norm.sync import SyncBatchNorm
from enhance.settings import Settings


def check_batch(settings: Settings, train: PairSource) -> None:
    """The training images suffice for a batch, and each of them for a crop; the ranks share a batch out evenly.

    Raises:
        SettingsError: they do not.
        DataError: batch or crop is larger than what it is taken from.
    """
    if settings.batch_size % ranks.world_size():
        raise SettingsError(
            f"batch_size={settings.batch_size} is shared out by {ranks.world_size()} processes: choose a multiple of it"
        )
    if settings.batch_size > len(train):
        raise DataError(
            f"batch_size={settings.batch_size} is larger than the training set of {len(train)} images "
            f"(data={settings.data.name}): lower batch_size or add images"
        )
    crop = settings.data.crop
    small = [
        f"{name} {width}x{height}"
        for name, (height, width) in zip(train.names, train.sizes, strict=True)
        if min(height, width) < crop
    ]
    if small:
        raise DataError(
            f"data.crop={crop} is larger than {len(small)} of {len(train)} training images: {shortened(small)}; "
            "lower data.crop or remove them"
        )


def batch_warnings(settings: Settings, model: nn.Module) -> list[str]:
    """What a person should know who trains batch norms with these batches, a line each.

    Frozen batch norm takes no statistics, and ghost batch norm those of `norm.virtual_batch` images.
    """
    norms = [module for module in model.modules() if isinstance(module, BatchNorm) and not module.frozen]
    name, size = settings.norm.name, settings.batch_size
    warnings = []
    if ranks.world_size() > 1 and any(not isinstance(module, GhostBatchNorm | SyncBatchNorm) for module in norms):
        warnings.append(
            f"warning: norm={name} takes its statistics of the {size // ranks.world_size()} crops of each process; "
            f"norm=sync_bn takes them of all {size}"
        )
    if settings.accumulate > 1 and any(not isinstance(module, GhostBatchNorm) for module in norms):
        warnings.append(
            f"warning: accumulate={settings.accumulate} does not enlarge the batch of norm={name}, which "
            f"takes its statistics of batch_size={size} crops: raise batch_size for that, or choose norm=gn"
        )
    if size == 1 and norms:
        warnings.append(
            f"warning: norm={name} at batch_size=1 takes its statistics of one crop, and scored below no norm at all "
            "(docs/results.md, Norm against batch size): norm=gn and norm=hin do not mind the batch size"
        )
    return warnings


def check_images(folder: Path, before: dict[str, list[Any]], here: dict[str, list[Any]]) -> None:
    """A run goes on with the images that it had: their names, and the sizes of those to train on, where its checkpoint
    keeps them.

    Raises:
        DataError: these are others.
    """
    if before == {key: here[key] for key in before}:
        return
    counts = [f"{len(each['training'])} for training and {len(each['validation'])}" for each in (before, here)]
    raise DataError(
        f"resume={folder}: the images are not those of the run, by name and size (it had {counts[0]} for validation, "
        f"here are {counts[1]}); bring them back, give data.root=, or start a new run"
    )
