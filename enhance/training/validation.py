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
from enhance.data.pairs import PairSource, Part, WholePairs, skipped_message
from enhance.device import out_of_memory_hint
from enhance.evaluation import contact_sheet, report
from enhance.evaluation.scores import ImageScore, mean_score, score
from enhance.evaluation.variants import recalibrate_on_pairs
from enhance.inference.enhancer import AnySize
from enhance.models.model import EnhancementModel
from enhance.norm.recalibrate import batch_norms
from enhance.run.interrupt import Interrupted, Interruption
from enhance.settings import Settings

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
        mean = self.mean
        recalibrated = ""
        if self.recalibrate_seconds is not None:
            recalibrated = f", recalibrated in {self.recalibrate_seconds:.1f} s"
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


def recalibrate_for(
    settings: Settings, model: EnhancementModel, train: PairSource, device: torch.device
) -> float | None:
    """Recalibrate the model's batch norms on whole training images where the settings ask for it; the seconds it
    took, or None where there was nothing to do."""
    if not settings.validation.recalibrate or not batch_norms(model):
        return None
    start = time.perf_counter()
    with out_of_memory_hint(
        device, "recalibration takes 8 whole images; choose a smaller model=, or validation.recalibrate=false"
    ):
        recalibrate_on_pairs(model, train, settings.validation.recalibrate_images, device)
    return time.perf_counter() - start


def validate(
    settings: Settings,
    model: EnhancementModel,
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
    ranks.broadcast(model.buffers())
    local = _Interruptible(validation, ranks.local_share(list(range(len(validation)))), stopped)
    scores: list[ImageScore] = []
    with contextlib.suppress(Interrupted):
        seconds = recalibrate_for(settings, model, _Interruptible(train, list(range(len(train))), stopped), device)
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
    """Name, and input, output and target (3, H, W) of each image, for TensorBoard; of large ones small versions."""
    enhance = AnySize(model, device).enhance
    for index, name in enumerate(source.names):
        low, normal = source.whole(index)
        yield f"input output target/{name}", [_shrunk(image) for image in (low, enhance(low), normal)]


def _shrunk(image: Tensor) -> Tensor:
    """(3, H, W), at most `STRIP_SIDE` px wide and high."""
    longest = max(image.shape[-2:])
    if longest <= STRIP_SIDE:
        return image
    size = [max(1, round(side * STRIP_SIDE / longest)) for side in image.shape[-2:]]
    return F.interpolate(image[None], size, mode="area")[0]


def write_report(
    folder: Path,
    checkpoint: str,
    settings: Settings,
    step: int,
    validation: Validation,
    model: EnhancementModel,
    source: PairSource,
    device: torch.device,
) -> None:
    """Write the report of a validation into `folder`, with its contact sheet."""
    evaluation = report.Evaluation(
        checkpoint=checkpoint,
        step=step,
        model=settings.model.name,
        norm=settings.norm.name,
        data=settings.data.name,
        split="validation",
        device=str(device),
        images=len(source),
        scores=validation.scores,
        warnings=skipped_message(source),
    )
    report.write(evaluation, folder)
    sheet = contact_sheet.draw(validation.scores, source, AnySize(model, device).enhance, evaluation.title())
    sheet.save(folder / "contact_sheet.png")
