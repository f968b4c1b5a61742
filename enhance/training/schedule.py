"""The optimizer, the length of a run, and the learning rate over it."""

import math
from functools import partial

from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from enhance.models.model import EnhancementModel
from enhance.settings.schema import OptimizerSettings, ScheduleSettings, Settings


def total_steps(schedule: ScheduleSettings, num_images: int, images_per_step: int) -> int:
    """Optimizer steps of the run, from `steps` or from `epochs`; at least one."""
    if schedule.steps is not None:
        return schedule.steps
    assert schedule.epochs is not None
    return max(1, math.ceil(schedule.epochs * num_images / images_per_step))


def exposure_steps(settings: Settings, num_images: int, steps: int) -> int:
    """How many of the run's `steps` the exposure network learns for. In more it would learn by heart how bright each
    training scene is, unless the camera changes that at every crop (docs/results.md)."""
    epochs = settings.data.exposure_epochs
    if epochs is None:
        return steps
    return min(steps, math.ceil(max(epochs * num_images, settings.data.exposure_crops) / settings.images_per_step))


def learning_rate(optimizer: Optimizer, schedule: ScheduleSettings, steps: int, early_steps: int) -> LambdaLR:
    """Linear warm-up to the optimizer's learning rate, then a cosine (Loshchilov and Hutter 2017) to the floor, over
    `steps` and, for early parameters, over `early_steps`.

    Args:
        optimizer: from `build_optimizer`.
    """

    def factor(length: int, step: int) -> float:
        warmup = round(schedule.warmup * length)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = (step - warmup) / max(1, length - warmup)
        return schedule.floor + (1 - schedule.floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    lengths = [early_steps if group["early"] else steps for group in optimizer.param_groups]
    return LambdaLR(optimizer, [partial(factor, length) for length in lengths])


def peak_lr(optimizer: OptimizerSettings, images_per_step: int) -> float:
    """The learning rate for a batch: as given, or scaled from 8 images with its square root (Malladi et al. 2022,
    arXiv 2205.10287, for Adam) or linearly (Goyal et al. 2017, arXiv 1706.02677, for SGD)."""
    power = {"none": 0.0, "sqrt": 0.5, "linear": 1.0}[optimizer.lr_scaling]
    return optimizer.lr * (images_per_step / 8) ** power


def build_optimizer(model: EnhancementModel, optimizer: OptimizerSettings, images_per_step: int = 8) -> AdamW:
    """AdamW; vectors (norms and biases) do not decay. Fused: it takes no step where its `found_inf` is 1.

    The model's early parameters have groups of their own, in which `early` is true.
    """
    early = {id(parameter) for parameter in model.early_parameters()}
    groups = []
    for is_early in (False, True):
        parameters = [each for each in model.parameters() if (id(each) in early) == is_early]
        matrices, vectors = ([p for p in parameters if (p.dim() > 1) == decays] for decays in (True, False))
        if parameters:
            groups.append({"params": matrices, "weight_decay": optimizer.weight_decay, "early": is_early})
            groups.append({"params": vectors, "weight_decay": 0.0, "early": is_early})
    return AdamW(groups, lr=peak_lr(optimizer, images_per_step), betas=(optimizer.beta1, optimizer.beta2), fused=True)
