"""Which pairs a checkpoint is scored on, and whether it was trained on them."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from enhance.data.open import Opened, open_data, same_place
from enhance.data.pairs import PairSource
from enhance.data.scenes import SAME_SCENE
from enhance.errors import DataError, SettingsError
from enhance.settings.schema import CameraSettings, DataSettings, Settings

_PLACES = ("root", "val_root", "low", "normal")


@dataclass
class Choice:
    """The pairs to score."""

    data: str  # name of the data set
    split: str  # "test", "validation" or "all"
    chosen: str  # how many of how many pairs these are, and why
    source: PairSource
    training: PairSource | None  # the run's training pairs, where they were needed and are at hand
    warnings: list[str]


def choose_pairs(run: Settings, data: DataSettings | None, with_training: bool = False) -> Choice:
    """The test part of `data` where it has one; else, of the run's own data, what was held out of its training, and of
    others what they name as validation, or all. `data` None is the run's own, as is the data set of the same name in
    the same place: of this, the parts are those of the run, seen through its camera.

    Training pairs are never scored in silence: a warning counts the pairs that show a scene of the run's training
    images, wherever and under whatever name they lie.

    Args:
        with_training: the run's training pairs are needed, to recalibrate on.

    Raises:
        DataError: the data set cannot be used; where it is the run's own, says how to name another place.
    """
    own = data is None or _is_own(data, run.data)
    if data is None:
        data = run.data
    elif own:
        data = _as_trained(data, run.data)
    try:
        opened = open_data(data, run.model.channels)
        split, source = _part(opened, own)
        training = opened.training if split == "validation" else None
    except DataError as error:
        if not own:
            raise
        split = f" data.split={run.data.split}" if run.data.split else ""
        cure = f"the run's own data; where it was moved, give data={data.name} data.root=DIR{split}"
        raise DataError(f"{error}\n{cure}") from error
    if data is not run.data:
        training = None  # the run may have been trained on another part of it
    if training is None and with_training:
        try:
            training = open_data(run.data, run.model.channels).training
        except DataError as error:
            raise DataError(f"{error}\nthe run's own training images are needed") from error
    chosen = f"{len(source)} of {opened.count()} pairs, {_why(split, own, opened)}"
    return Choice(data.name, split, chosen, source, *seen_in_training(run, source, training))


def check_comparable(runs: Sequence[Settings]) -> None:
    """Raise `SettingsError` where runs, which are to be scored on one run's images, take other channels."""
    if len(counts := sorted({run.model.channels for run in runs})) > 1:
        which = " and ".join(map(str, counts))
        raise SettingsError(f"model.channels: {which}, and the same images have one number; choose runs of one")


def choose_all(data: DataSettings) -> Choice:
    """For outputs whose method no run has trained: the test part of `data` where it has one, else what it names as
    validation, or all; a `DataError` where it cannot be used."""
    opened = open_data(data)
    split, source = _part(opened, own=False)
    why = "for nothing parts them" if split == "all" else _why(split, False, opened)
    return Choice(data.name, split, f"{len(source)} of {opened.count()} pairs, {why}", source, None, [])


def _part(opened: Opened, own: bool) -> tuple[str, PairSource]:
    """Name and pairs of the part to score, of the run's own data or of others."""
    if opened.test is not None:
        return "test", opened.test
    if not own and opened.whole is not None:
        return "all", opened.whole
    return "validation", opened.validation


def _why(split: str, own: bool, opened: Opened) -> str:
    if split == "all":
        return "for they are other data than the run's own, and nothing parts them"
    if opened.data.split is not None:
        return f"for data.split says so ({split})"
    return "held out of the run's training" if own and split == "validation" else f"the {split} part of the data"


def seen_in_training(
    run: Settings, source: PairSource, training: PairSource | None = None
) -> tuple[PairSource | None, list[str]]:
    """The run's training pairs, None where they are not at hand; and a warning where the run was trained on scenes of
    `source`, by perceptual hash of the bright images, or nothing can tell.

    Args:
        training: the run's training pairs, where they are open already.
    """
    if training is None:
        try:
            training = open_data(run.data, run.model.channels).training
        except DataError:
            gone = f"the run's training images ({run.data.name}, {run.data.root}) are not here"
            return None, [f"{gone}, so nothing shows whether it was trained on some of these"]
    known = np.stack([training.scene_hash(index) for index in range(len(training))])
    differing = [np.count_nonzero(known != source.scene_hash(index), axis=1) for index in range(len(source))]
    count = sum(bits.min() <= SAME_SCENE for bits in differing)
    scenes = f"the scenes of {count} of these {len(source)} images, by perceptual hash"
    return training, [f"the run was trained on {scenes}: the scores flatter it"] if count else []


def _is_own(data: DataSettings, trained: DataSettings) -> bool:
    places = (place for place in _PLACES if place == "root" or getattr(data, place))
    return data.name == trained.name and all(same_place(getattr(data, key), getattr(trained, key)) for key in places)


def _as_trained(data: DataSettings, trained: DataSettings) -> DataSettings:
    """With what the run says of its own data where `data` says nothing."""
    places = {key: getattr(data, key) or getattr(trained, key) for key in (*_PLACES, "split", "pattern", "resize")}
    camera = trained.camera if data.camera == CameraSettings() else data.camera
    return dataclasses.replace(data, **places, camera=camera, validation_share=trained.validation_share)
