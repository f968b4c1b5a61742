"""Scores of a model on whole images, one at a time: validation in training and `evaluate.py` use it alike."""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from tqdm import tqdm

from enhance import ranks
from enhance.data.pairs import WholePairs
from enhance.device import out_of_memory_hint, synchronize
from enhance.errors import DataError
from enhance.evaluation.metrics import match_mean, psnr, ssim
from enhance.evaluation.outputs import Outputs
from enhance.inference.enhancer import AnySize
from enhance.models.model import EnhancementModel

Measure = Callable[[Tensor, Tensor], dict[str, float]]  # of output and target (1, 3, H, W); the output is not clamped


@dataclass(frozen=True)
class ImageScore:
    """The scores of one image; PSNR in dB, infinite where the two images are identical."""

    name: str
    psnr: float
    ssim: float
    psnr_gt_mean: float  # of the output scaled to the reference's brightness, see `metrics.match_mean`
    ssim_gt_mean: float
    psnr_input: float  # of the dark input itself
    ssim_input: float
    seconds: float  # of the model alone, without reading and scoring; NaN of another method's outputs
    measures: dict[str, dict[str, float]] = field(default_factory=dict)  # what else was asked for, by its name


SCORES = tuple(field.name for field in dataclasses.fields(ImageScore) if field.name not in ("name", "measures"))


@torch.inference_mode()
def score(
    model: EnhancementModel | Outputs,
    source: WholePairs,
    device: torch.device,
    measures: Mapping[str, Measure] | None = None,
) -> list[ImageScore]:
    """Score a model in evaluation mode, or what another method made of the images, on each whole pair of `source`
    alone, in the source's order. An image that the device's memory is too small for goes through in tiles, with the
    same result, and is scored on the CPU.

    Args:
        measures: what else to compute of each output, by name; the model runs once all the same.

    Raises:
        DataError: an image that is too small to score; names it.
        UserError: the device's memory is too small for an image all the same.
    """
    if not isinstance(model, Outputs):
        assert not model.training
        enhance = AnySize(model, device)
    scores: list[ImageScore] = []
    hidden = None if ranks.is_rank_zero() else True  # None shows the bar on a terminal
    for index, name in enumerate(tqdm(source.names, "scoring", unit="image", leave=False, disable=hidden)):
        with out_of_memory_hint(device, f"{name} is too large for it; choose a smaller model=, or device=cpu"):
            if isinstance(model, Outputs):
                images, seconds = (*source.whole(index), model[index]), math.nan
                low, normal, output = (image[None].to(device) for image in images)
            else:
                low, normal = (image[None].to(enhance.home(image)) for image in source.whole(index))
                output, seconds = _timed(enhance, low, device, warm_up=index == 0)
            try:
                kinds = {"": output, "_gt_mean": match_mean(output, normal), "_input": low}
                values = {
                    f"{key}{kind}": value
                    for kind, image in kinds.items()
                    for key, value in psnr_and_ssim(image, normal).items()
                }
                others = {key: measure(output, normal) for key, measure in (measures or {}).items()}
            except DataError as error:
                raise DataError(f"{name}: {error}") from error
            scores.append(ImageScore(name, **values, seconds=seconds, measures=others))
    return scores


def _timed(enhance: AnySize, low: Tensor, device: torch.device, warm_up: bool) -> tuple[Tensor, float]:
    """The output, and its seconds; the first call also pays for set-up and memory, and is not counted."""
    if warm_up:
        enhance(low)
    synchronize(device)
    start = time.perf_counter()
    output = enhance(low)
    synchronize(device)
    return output, time.perf_counter() - start


def mean_score(scores: list[ImageScore]) -> dict[str, float]:
    """The mean over the images of each of the `SCORES`."""
    return {key: statistics.fmean(getattr(image, key) for image in scores) for key in SCORES}


def psnr_and_ssim(output: Tensor, target: Tensor) -> dict[str, float]:
    """Of one image: (1, C, H, W) each."""
    return {"psnr": psnr(output, target).item(), "ssim": ssim(output, target).item()}
