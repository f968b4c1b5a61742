"""The optimizer, the length of a run, and the learning rate over it."""

import math

from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from enhance.settings import OptimizerSettings, ScheduleSettings


def total_steps(schedule: ScheduleSettings, num_images: int, images_per_step: int) -> int:
    """Optimizer steps of the run, from `steps` or from `epochs`; at least one."""
    if schedule.steps is not None:
        return schedule.steps
    assert schedule.epochs is not None
    return max(1, math.ceil(schedule.epochs * num_images / images_per_step))


def learning_rate(optimizer: Optimizer, schedule: ScheduleSettings, steps: int) -> LambdaLR:
    """Linear warm-up to the optimizer's learning rate, then a cosine (Loshchilov and Hutter 2017) to the floor."""
    warmup = round(schedule.warmup * steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = (step - warmup) / max(1, steps - warmup)
        return schedule.floor + (1 - schedule.floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

    return LambdaLR(optimizer, factor)


def peak_lr(optimizer: OptimizerSettings, images_per_step: int) -> float:
    """The learning rate for a batch: as given, or scaled from 8 images with its square root (Malladi et al. 2022,
    arXiv 2205.10287, for Adam) or linearly (Goyal et al. 2017, arXiv 1706.02677, for SGD)."""
    power = {"none": 0.0, "sqrt": 0.5, "linear": 1.0}[optimizer.lr_scaling]
    return optimizer.lr * (images_per_step / 8) ** power


def build_optimizer(model: nn.Module, optimizer: OptimizerSettings, images_per_step: int = 8) -> AdamW:
    """AdamW; vectors (norms and biases) do not decay. Fused: it takes no step where its `found_inf` is 1."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": optimizer.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=peak_lr(optimizer, images_per_step), betas=(optimizer.beta1, optimizer.beta2), fused=True)
