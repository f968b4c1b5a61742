"""Validation in training: the averaged model on whole held-out images."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from enhance import ranks
from enhance.data.images import visible
from enhance.data.pairs import PairSource, Part, WholePairs
from enhance.evaluation import contact_sheet, report
from enhance.evaluation.scores import ImageScore, mean_score, score
from enhance.inference.enhancer import AnySize
from enhance.models.model import EnhancementModel
from enhance.run.interrupt import Interrupted, Interruption
from enhance.settings.schema import Settings
from enhance.training.batch_norms import recalibrate_for_validation
from enhance.training.learner import Learner

STRIP_SIDE = 640


@dataclass(frozen=True)
class Validation:
    """The scores of one validation."""

    scores: list[ImageScore]
    mean: dict[str, float]  # of every score
    recalibrate_seconds: float | None  # None: nothing to recalibrate, or switched off
    seconds: float  # in all

    def line(self, step: int) -> str:
        """One line for the screen."""
        mean, seconds = self.mean, self.recalibrate_seconds
        recalibrated = "" if seconds is None else f", recalibrated in {seconds:.1f} s"
        return (
            f"validation at step {step}: PSNR {mean['psnr']:.2f} dB, SSIM {mean['ssim']:.4f} "
            f"(dark input {mean['psnr_input']:.2f} dB, {mean['ssim_input']:.4f}) "
            f"on {len(self.scores)} whole images, {self.seconds:.1f} s{recalibrated}"
        )

    def scalars(self) -> dict[str, float]:
        """The numbers that a run writes down."""
        values = {f"validation/{name}": value for name, value in self.mean.items()}
        if self.recalibrate_seconds is not None:
            values["validation/recalibrate_seconds"] = self.recalibrate_seconds
        return values


def validate(
    settings: Settings,
    model: EnhancementModel,
    train: PairSource,
    validation: PairSource,
    device: torch.device,
    stopped: Interruption,
) -> Validation:
    """Recalibrate the model (in evaluation mode) where the settings ask for it, then score it, each rank on its share.
    Raises `Interrupted` where a signal came to any of the ranks; what was done is given up."""
    start = time.perf_counter()
    ranks.broadcast(model.buffers())
    local = _Interruptible(validation, ranks.local_share(list(range(len(validation)))), stopped)
    scores: list[ImageScore] = []
    with contextlib.suppress(Interrupted):
        images = _Interruptible(train, list(range(len(train))), stopped)
        seconds = recalibrate_for_validation(settings, model, images, device)
        scores = score(model, local, device)
    if stopped.on_any_rank():
        raise Interrupted
    scores = ranks.all_gather(scores)
    return Validation(scores, mean_score(scores), seconds, time.perf_counter() - start)


class _Interruptible(Part):
    """Pairs that are read as long as no signal has come."""

    def __init__(self, source: PairSource, indices: list[int], stopped: Interruption) -> None:
        super().__init__(source, indices)
        self._stopped = stopped

    def whole(self, index: int) -> tuple[Tensor, Tensor]:
        self._stopped.check()
        return super().whole(index)


@torch.inference_mode()
def strips(model: EnhancementModel, source: WholePairs, device: torch.device) -> Iterator[tuple[str, list[Tensor]]]:
    """Name, and input, output and target (3, H, W) of each image as it is `visible`, for TensorBoard; of large
    ones small versions."""
    enhance = AnySize(model, device).enhance
    for index, name in enumerate(source.names):
        low, normal = source.whole(index)
        images = [visible(image) for image in (low, enhance(low), normal)]
        longest = max(low.shape[1:])
        if longest > STRIP_SIDE:
            size = [max(1, round(side * STRIP_SIDE / longest)) for side in low.shape[1:]]
            images = [F.interpolate(image[None], size, mode="area")[0] for image in images]
        yield f"input output target/{name}", images


def write_report(folder: Path, learner: Learner, scores: list[ImageScore], source: PairSource) -> None:
    """Write the report of a validation of `source` into `folder`, which lies in the run's, with its contact sheet."""
    settings, model = learner.settings, learner.average.model
    name, data, device = folder.parent.name, settings.data.name, learner.device
    evaluation = report.begin(name, learner.step, settings, data, "validation", source, device)
    evaluation.scores = scores
    report.write(evaluation, folder)
    sheet = contact_sheet.draw(scores, source, AnySize(model, device).enhance, evaluation.title())
    sheet.save(folder / "contact_sheet.png")
