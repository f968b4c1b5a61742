"""Which pairs a checkpoint is scored on, and whether it was trained on them."""

from dataclasses import dataclass, field

import numpy as np

from enhance.data.images import to_pixels
from enhance.data.loader import open_report, open_test, open_training
from enhance.data.pairs import PairSource
from enhance.data.scenes import SAME_SCENE, perceptual_hash
from enhance.errors import DataError
from enhance.settings import DataSettings, Settings


@dataclass
class Choice:
    """The pairs to score."""

    data: str  # name of the data set
    split: str  # "report", "test" or "validation"
    source: PairSource
    training: PairSource | None  # the run's training pairs, where they were needed and are at hand
    warnings: list[str] = field(default_factory=list)


def choose_pairs(run: Settings, data: DataSettings | None, with_training: bool = False) -> Choice:
    """The report or test part of `data` where it has one, else its validation part; `data` None is the run's own.

    Training pairs are never scored in silence: a warning counts the pairs of `data` that show a scene of the run's
    training images, wherever and under whatever name they lie.

    Args:
        with_training: the run's training pairs are needed, to recalibrate on.

    Raises:
        DataError: the data set cannot be used; where it is the run's own, says how to name another place.
    """
    if data is None:
        return _own(run, with_training or not run.validation.recalibrate)
    if (data.name, data.root) == (run.data.name, run.data.root):  # the same held-out part, then
        data.validation_share = run.data.validation_share
        data.split = data.split or run.data.split
    split, test = _unseen(data)
    source = test if test is not None else open_training(data)[1]
    choice = Choice(data.name, split, source, None)
    try:
        choice.training, _ = open_training(run.data)
    except DataError as error:
        if with_training:
            raise DataError(f"{error}\nrecalibrate=train needs the run's own training images") from error
        choice.warnings.append(
            f"the run's training images ({run.data.name}, {run.data.root}) are not here, so nothing shows whether "
            "it was trained on some of these"
        )
        return choice
    count = _count_shared(source, choice.training)
    if count:
        choice.warnings.append(
            f"the run was trained on the scenes of {count} of these {len(source)} images, by perceptual hash: "
            "the scores flatter it"
        )
    return choice


def _own(run: Settings, with_training: bool) -> Choice:
    try:
        split, test = _unseen(run.data)
        if test is not None and not with_training:
            return Choice(run.data.name, split, test, None)
        training, validation = open_training(run.data)
    except DataError as error:
        raise DataError(f"{error}\nthe run's own data; where it was moved, give data=... data.root=...") from error
    if test is not None:
        return Choice(run.data.name, split, test, training)
    return Choice(run.data.name, split, validation, training)


def _unseen(data: DataSettings) -> tuple[str, PairSource | None]:
    """The pairs that neither training nor the choice of a checkpoint saw, and what they are called."""
    if (report := open_report(data)) is not None:
        return "report", report
    test = open_test(data)
    return ("validation" if test is None else "test"), test


def _count_shared(source: PairSource, training: PairSource) -> int:
    """How many bright images of `source` show a scene of the training images, by perceptual hash."""
    known = np.stack([scene_hash(training, index) for index in range(len(training))])
    differing = [np.count_nonzero(known != scene_hash(source, index), axis=1) for index in range(len(source))]
    return sum(bits.min() <= SAME_SCENE for bits in differing)


def scene_hash(source: PairSource, index: int) -> np.ndarray:
    """Perceptual hash of the bright image of a pair, for `enhance.data.scenes.group_scenes`."""
    return perceptual_hash(to_pixels(source.whole(index)[1]))
