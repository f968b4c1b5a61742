"""The last part of a run may train with frozen batch norms: the weights settle on the statistics of inference."""

import time

import torch
from torch import nn

from enhance.data.pairs import PairSource
from enhance.device import out_of_memory_hint
from enhance.errors import SettingsError
from enhance.evaluation.variants import recalibrate_on_pairs
from enhance.models.model import EnhancementModel
from enhance.norm.batch import freeze
from enhance.norm.recalibrate import batch_norms
from enhance.settings import Settings


def freeze_step(settings: Settings, model: nn.Module, steps: int) -> int:
    """Number of steps after which the model's batch norms are frozen; `steps`, the whole run, where they never are.

    Raises:
        SettingsError: the model has no batch norm that could be frozen.
    """
    share = settings.schedule.freeze_after
    if share == 1:
        return steps
    if not batch_norms(model):
        raise SettingsError(
            f"schedule.freeze_after={share}: norm={settings.norm.name} keeps no running statistics here; leave it out"
        )
    return min(round(share * steps), steps - 1)


def recalibrate_and_freeze(settings: Settings, model: EnhancementModel, train: PairSource, device: torch.device) -> str:
    """Recalibrate the model's batch norms on whole training images and freeze them; one line about it."""
    start = time.perf_counter()
    cure = "freezing takes the statistics of 8 whole images; choose a smaller model=, or schedule.freeze_after=1"
    with out_of_memory_hint(device, cure):
        images = recalibrate_on_pairs(model, train, settings.validation.recalibrate_images, device)
    freeze(model)
    return f"batch norms recalibrated on {images} whole training images and frozen, {time.perf_counter() - start:.1f} s"
