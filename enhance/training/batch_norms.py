"""What a run does with the batch norms of its model: it warns of them, watches, recalibrates and freezes them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from enhance import ranks
from enhance.data.pairs import PairSource
from enhance.errors import SettingsError
from enhance.evaluation import variants
from enhance.norm.batch import AnyBatchNorm
from enhance.norm.functional import channel_moments
from enhance.norm.ghost import GhostBatchNorm
from enhance.norm.recalibrate import batch_norms
from enhance.norm.sync import SyncBatchNorm
from enhance.settings.schema import Settings


def batch_warnings(settings: Settings, model: nn.Module) -> list[str]:
    """What a person should know who trains batch norms with these batches, a line each.

    Frozen batch norm takes no statistics, and ghost batch norm those of `norm.virtual_batch` images.
    """
    norms = [module for module in model.modules() if isinstance(module, AnyBatchNorm) and not module.frozen]
    name, size, world_size = settings.norm.name, settings.batch_size, ranks.world_size()
    warnings = []
    if world_size > 1 and any(not isinstance(module, GhostBatchNorm | SyncBatchNorm) for module in norms):
        warnings.append(
            f"warning: norm={name} takes its statistics of the {size // world_size} crops of each process; "
            f"norm=sync_bn takes them of all {size}"
        )
    if settings.accumulate > 1 and any(not isinstance(module, GhostBatchNorm) for module in norms):
        warnings.append(
            f"warning: accumulate={settings.accumulate} does not enlarge the batch of norm={name}, which "
            f"takes its statistics of batch_size={size} crops: raise batch_size for that, or choose norm=gn"
        )
    if size == 1 and norms:
        warnings.append(
            f"warning: norm={name} at batch_size=1 takes its statistics of one crop, and scored below no norm at all "
            "(docs/results.md, Norm against batch size): norm=gn and norm=hin do not mind the batch size"
        )
    return warnings


def freeze_step(settings: Settings, model: nn.Module, steps: int) -> int:
    """Number of steps after which the model's batch norms are recalibrated and frozen, so that the weights settle on
    the statistics of inference; `steps`, the whole run, where they never are. Raises `SettingsError` where the model
    has no batch norm that could be frozen."""
    share = settings.schedule.freeze_after
    if share == 1:
        return steps
    if not batch_norms(model):
        reason = f"norm={settings.norm.name} keeps no running statistics here"
        raise SettingsError(f"schedule.freeze_after={share}: {reason}; leave it out")
    return min(round(share * steps), steps - 1)


def recalibrate(
    settings: Settings, model: nn.Module, train: PairSource, device: torch.device, spared_by: str
) -> tuple[int, float]:
    """Recalibrate the model's batch norms on whole training images; how many, and the seconds it took.

    Args:
        spared_by: the setting without which this would not be done.
    """
    start = time.perf_counter()
    images = variants.dark_images(train, settings.validation.recalibrate_images)
    count = variants.recalibrate_in_place(model, images, device, f"choose a smaller model=, or {spared_by}")
    return count, time.perf_counter() - start


def recalibrate_for_validation(
    settings: Settings, model: nn.Module, train: PairSource, device: torch.device
) -> float | None:
    """Recalibrate where the settings ask for it; the seconds it took, None where there was nothing to do."""
    if not settings.validation.recalibrate or not batch_norms(model):
        return None
    return recalibrate(settings, model, train, device, "validation.recalibrate=false")[1]


@contextmanager
def statistics_gap(model: nn.Module, enabled: bool) -> Iterator[dict[str, float]]:
    """Watches a forward pass for how far the running statistics are from those of the batch. On leaving, the dictionary
    holds two numbers per batch norm, each a mean over channels:

    - `train_gap/mean/<layer>`: |running mean - batch mean| in standard deviations of the batch;
    - `train_gap/std/<layer>`: |log(running std / batch std)|, 0.1 being about 10 %.
    """
    gaps: dict[str, float] = {}

    def measure(name: str, layer: Any, inputs: tuple[Tensor, ...]) -> None:
        batch = channel_moments(inputs[0].detach())
        std = (batch.variance + layer.eps).sqrt()
        running_std = (layer.running_var + layer.eps).sqrt()
        gaps[f"train_gap/mean/{name}"] = ((layer.running_mean - batch.mean).abs() / std).mean().item()
        gaps[f"train_gap/std/{name}"] = (running_std / std).log().abs().mean().item()

    layers = batch_norms(model) if enabled else {}
    hooks = [layer.register_forward_pre_hook(partial(measure, name)) for name, layer in layers.items()]
    try:
        yield gaps
    finally:
        for hook in hooks:
            hook.remove()
