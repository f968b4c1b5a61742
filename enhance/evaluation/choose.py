"""Which pairs a checkpoint is scored on, and whether it was trained on them."""

import dataclasses
from dataclasses import dataclass, field

import numpy as np

from enhance.data.open import open_data, same_place
from enhance.data.pairs import PairSource
from enhance.data.scenes import SAME_SCENE
from enhance.errors import DataError
from enhance.settings import CameraSettings, DataSettings, Settings


@dataclass
class Choice:
    """The pairs to score."""

    data: str  # name of the data set
    split: str  # "test" or "validation"
    source: PairSource
    training: PairSource | None  # the run's training pairs, where they were needed and are at hand
    warnings: list[str] = field(default_factory=list)


def choose_pairs(run: Settings, data: DataSettings | None, with_training: bool = False) -> Choice:
    """The test part of `data` where it has one, else its validation part; `data` None is the run's own, as is
    the data set of the same name in the same place: of this, the parts are those of the run, seen through its camera.

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
    training = None
    try:
        opened = open_data(data)
        split, source = "test", opened.test
        if source is None:
            split, training, source = "validation", opened.training, opened.validation
    except DataError as error:
        if not own:
            raise
        raise DataError(f"{error}\nthe run's own data; where it was moved, give {_elsewhere(run.data)}") from error
    if data is not run.data:
        training = None  # the run may have been trained on another part of it
    if training is None and with_training:
        try:
            training = open_data(run.data).training
        except DataError as error:
            raise DataError(f"{error}\nthe run's own training images are needed") from error
    return Choice(data.name, split, source, *seen_in_training(run, source, training))


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
            training = open_data(run.data).training
        except DataError:
            where = f"{run.data.name}, {run.data.root}"
            reason = "are not here, so nothing shows whether it was trained on some of these"
            return None, [f"the run's training images ({where}) {reason}"]
    known = np.stack([training.scene_hash(index) for index in range(len(training))])
    differing = [np.count_nonzero(known != source.scene_hash(index), axis=1) for index in range(len(source))]
    count = sum(bits.min() <= SAME_SCENE for bits in differing)
    if not count:
        return training, []
    return training, [
        f"the run was trained on the scenes of {count} of these {len(source)} images, by perceptual hash: "
        "the scores flatter it"
    ]


def _is_own(data: DataSettings, trained: DataSettings) -> bool:
    places = (place for place in ("root", "val_root", "low", "normal") if place == "root" or getattr(data, place))
    return data.name == trained.name and all(same_place(getattr(data, key), getattr(trained, key)) for key in places)


def _as_trained(data: DataSettings, trained: DataSettings) -> DataSettings:
    """With what the run says of its own data where `data` says nothing."""
    places = {
        key: getattr(data, key) or getattr(trained, key) for key in ("root", "val_root", "low", "normal", "split")
    }
    camera = trained.camera if data.camera == CameraSettings() else data.camera
    return dataclasses.replace(data, **places, camera=camera, validation_share=trained.validation_share)


def _elsewhere(data: DataSettings) -> str:
    split = f" data.split={data.split}" if data.split else ""
    return f"data={data.name} data.root=DIR{split}"
