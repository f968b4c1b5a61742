"""Validation in training: the averaged model on whole held-out images."""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from enhance import ranks
from enhance.data.pairs import PairSource, Part, WholePairs, left_out_told
from enhance.device import memory_told
from enhance.evaluation import contact_sheet, report
from enhance.evaluation.evaluate import ImageScore, mean_score, score
from enhance.evaluation.statistics import recalibrate_on_pairs
from enhance.inference.any_size import AnySize
from enhance.models.unet import UNet
from enhance.norm.recalibrate import batch_norms
from enhance.run.interrupt import Interrupted, Interruption
from enhance.run.tracking import Tracker
from enhance.settings import Settings

STRIP_SIDE = 640


@dataclass(frozen=True)
class Validation:
    """What one validation found."""

    scores: list[ImageScore]
    mean: dict[str, float]  # of every score
    recalibrate_seconds: float | None  # None: nothing to recalibrate, or switched off
    seconds: float  # in all

    def line(self, step: int) -> str:
        """One line for the screen."""
        mean = self.mean
        recalibrated = ""
        if self.recalibrate_seconds is not None:
            recalibrated = f", recalibrated in {self.recalibrate_seconds:.1f} s"
        return (
            f"validation at step {step}: PSNR {mean['psnr']:.2f} dB, SSIM {mean['ssim']:.4f} "
            f"(dark input {mean['psnr_input']:.2f} dB, {mean['ssim_input']:.4f}) "
            f"on {len(self.scores)} whole images, {self.seconds:.1f} s{recalibrated}"
        )


def recalibrate_for(settings: Settings, model: UNet, train: PairSource, device: torch.device) -> float | None:
    """Recalibrate the model's batch norms on whole training images where the settings ask for it; the seconds it
    took, or None where there was nothing to do."""
    if not settings.validation.recalibrate or not batch_norms(model):
        return None
    start = time.perf_counter()
    with memory_told(
        device, "recalibration takes 8 whole images; choose a smaller model=, or validation.recalibrate=false"
    ):
        recalibrate_on_pairs(model, train, settings.validation.recalibrate_images, device)
    return time.perf_counter() - start


def validate(
    settings: Settings,
    model: UNet,
    train: PairSource,
    validation: PairSource,
    device: torch.device,
    stopped: Interruption,
) -> Validation:
    """Recalibrate the model (in evaluation mode) where the settings ask for it, then score it, each rank on its share.

    Raises:
        Interrupted: a signal came to any of the ranks; what was done is given up.
    """
    start = time.perf_counter()
    ranks.take_from_first(model.buffers())
    own = Part(validation, ranks.shared_out(list(range(len(validation)))))
    scores: list[ImageScore] = []
    with contextlib.suppress(Interrupted), stopped.at_once():
        seconds = recalibrate_for(settings, model, train, device)
        scores = score(model, own, device)
    if stopped.on_any_rank():
        raise Interrupted
    scores = ranks.gathered(scores)
    return Validation(scores, mean_score(scores), seconds, time.perf_counter() - start)


@torch.inference_mode()
def write_strips(tracker: Tracker, step: int, model: UNet, source: WholePairs) -> None:
    """Show input, output and target of each image in TensorBoard, of large ones small versions."""
    enhance = AnySize(model, next(model.parameters()).device).enhance
    for index, name in enumerate(source.names):
        low, normal = source.whole(index)
        images = [_shrunk(image) for image in (low, enhance(low), normal)]
        tracker.strip(step, f"input output target/{name}", images)


def _shrunk(image: Tensor) -> Tensor:
    """(3, H, W), at most `STRIP_SIDE` px wide and high."""
    longest = max(image.shape[-2:])
    if longest <= STRIP_SIDE:
        return image
    size = [max(1, round(side * STRIP_SIDE / longest)) for side in image.shape[-2:]]
    return F.interpolate(image[None], size, mode="area")[0]


def write_report(
    folder: Path, settings: Settings, step: int, found: Validation, model: UNet, source: PairSource
) -> None:
    """Write the report of the last validation, with its contact sheet, into `<run>/validation/`."""
    device = next(model.parameters()).device
    evaluation = report.Evaluation(
        checkpoint=folder.name,
        step=step,
        model=settings.model.name,
        norm=settings.norm.name,
        data=settings.data.name,
        split="validation",
        device=str(device),
        images=len(source),
        scores=found.scores,
        warnings=left_out_told(source),
    )
    (folder / "validation").mkdir(exist_ok=True)
    report.write(evaluation, folder / "validation")
    sheet = contact_sheet.draw(found.scores, source, AnySize(model, device).enhance, evaluation.title())
    sheet.save(folder / "validation" / "contact_sheet.png")
