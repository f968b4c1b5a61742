"""How sure a mean over images is: bootstrap intervals (Efron 1979), over scenes where images share one."""

import math
from collections.abc import Sequence

import numpy as np

from enhance.data.pairs import PairSource
from enhance.data.scenes import group_scenes
from enhance.evaluation.scores import ImageScore

RESAMPLES = 9999
TITLES = {"psnr": "PSNR", "ssim": "SSIM", "psnr_gt_mean": "GT-mean PSNR", "ssim_gt_mean": "GT-mean SSIM"}


def scenes_of(source: PairSource) -> np.ndarray:
    """Scene number of each image, int (N,), from 0."""
    return group_scenes([source.scene_hash(index) for index in range(len(source))])


def intervals_of_means(scores: list[ImageScore], scenes: np.ndarray) -> dict[str, tuple[float, float]]:
    """The interval of each mean that has one, by field of `ImageScore`."""
    return {key: ends for key in TITLES if (ends := interval([getattr(image, key) for image in scores], scenes))}


def interval(values: Sequence[float], scenes: np.ndarray) -> tuple[float, float] | None:
    """95 % interval of the mean over images, by the percentile bootstrap; the same at every call.

    Scenes are drawn, each with all of its images: shots of one view come out alike, and are no independent evidence.

    Args:
        values: one score of each image, or one difference of scores.
        scenes: int (N,), the scene number of each image, from `enhance.data.scenes.group_scenes`.

    Returns:
        Lower and upper end; None where there are fewer than two scenes, or a value is not finite.
    """
    if not all(math.isfinite(value) for value in values) or len(np.unique(scenes)) < 2:
        return None
    from scipy.stats import bootstrap  # half a second, which no command waits for that needs no interval

    counts = np.bincount(scenes)
    sums = np.bincount(scenes, weights=np.asarray(values))
    ends = bootstrap(
        (sums, counts),
        lambda of_sums, of_counts, axis: of_sums.sum(axis) / of_counts.sum(axis),
        paired=True,
        method="percentile",
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(ends.low), float(ends.high)
