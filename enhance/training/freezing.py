"""The last part of a run may train with frozen batch norms: the weights settle on the statistics of inference."""

import time

import torch

from enhance.data.pairs import PairSource
from enhance.device import memory_told
from enhance.errors import SettingsError
from enhance.evaluation.statistics import recalibrate_on_pairs
from enhance.models.unet import UNet
from enhance.norm.frozen import freeze
from enhance.norm.recalibrate import batch_norms
from enhance.settings import Settings


def freeze_step(settings: Settings, model: UNet, steps: int) -> int:
    """Number of steps after which the model's batch norms are frozen; `steps`, the whole run, where they never are.

    Raises:
        SettingsError: the model has no batch norm that could be frozen.
    """
    share = settings.norm.freeze_after
    if share is None or share == 1:
        return steps
    if not batch_norms(model):
        raise SettingsError(
            f"norm.freeze_after={share}: norm={settings.norm.name} keeps no running statistics here; leave it out"
        )
    return min(round(share * steps), steps - 1)


def recalibrate_and_freeze(settings: Settings, model: UNet, train: PairSource, device: torch.device) -> str:
    """Recalibrate the model's batch norms on whole training images and freeze them; one line about it."""
    start = time.perf_counter()
    cure = "freezing takes the statistics of 8 whole images; choose a smaller model=, or norm.freeze_after=1"
    with memory_told(device, cure):
        seen = recalibrate_on_pairs(model, train, settings.validation.recalibrate_images, device)
    freeze(model)
    return f"batch norms recalibrated on {seen} whole training images and frozen, {time.perf_counter() - start:.1f} s"
