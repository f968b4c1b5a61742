"""What can be wrong with settings and data together, found before the first step."""

from pathlib import Path
from typing import Any

from enhance import ranks
from enhance.data.images import shortened
from enhance.data.pairs import PairSource
from enhance.errors import DataError, SettingsError
from enhance.settings.schema import Settings


def check_batch(settings: Settings, train: PairSource) -> None:
    """The training images suffice for a batch, and each of them for a crop; the ranks share a batch out evenly.

    Raises:
        SettingsError: they do not.
        DataError: batch or crop is larger than what it is taken from.
    """
    size, crop, number = settings.batch_size, settings.data.crop, ranks.world_size()
    if size % number:
        raise SettingsError(f"batch_size={size} is shared out by {number} processes: choose a multiple of it")
    if size > len(train):
        raise DataError(
            f"batch_size={size} is larger than the training set of {len(train)} images "
            f"(data={settings.data.name}): lower batch_size or add images"
        )
    sizes = zip(train.names, train.sizes, strict=True)
    small = [f"{name} {width}x{height}" for name, (height, width) in sizes if min(height, width) < crop]
    if small:
        raise DataError(
            f"data.crop={crop} is larger than {len(small)} of {len(train)} training images: {shortened(small)}; "
            "lower data.crop or remove them"
        )


def check_images(folder: Path, before: dict[str, Any], here: dict[str, Any]) -> None:
    """A run goes on with the images that it had: their names, and the sizes of those to train on, where its checkpoint
    keeps them.

    Raises:
        DataError: these are others.
    """
    if before == {key: here[key] for key in before}:
        return
    had, have = (f"{len(each['training'])} for training and {len(each['validation'])}" for each in (before, here))
    raise DataError(
        f"resume={folder}: the images are not those of the run, by name and size (it had {had} for validation, "
        f"here are {have}); bring them back, give data.root=, or start a new run"
    )
