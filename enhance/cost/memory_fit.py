"""What to change so that a training step fits into a device's memory."""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch

from enhance.cost.memory import MemoryPlan, format_bytes, plan_memory
from enhance.device import DTYPES, available_memory, choose_dtype
from enhance.errors import UserError
from enhance.models.residual import SMALLEST_SIDE
from enhance.norm.batch_act import ACTIVATIONS
from enhance.settings import Settings


def largest_batch(plan: MemoryPlan, budget: int) -> int:
    """The most crops, settings else as planned, whose training step fits into `budget` bytes; 0 where not even one
    does."""
    return _largest(lambda size: _changed(plan, batch_size=size), plan.settings.batch_size, plan, budget, power=1)


def largest_crop(plan: MemoryPlan, budget: int) -> int:
    """The largest side of a crop, settings else as planned, whose training step fits into `budget` bytes, among those
    that the U-Net need not pad; 0 where none does."""
    model, data = plan.settings.model, plan.settings.data
    multiple = max(SMALLEST_SIDE, model.unshuffle * 2**model.depth)

    def cropped(size: int) -> MemoryPlan:
        return _changed(plan, data=dataclasses.replace(data, crop=multiple * size))

    return multiple * _largest(cropped, data.crop / multiple, plan, budget, power=2)


def _largest(plan_of: Callable[[int], MemoryPlan], size: float, plan: MemoryPlan, budget: int, power: int) -> int:
    """The largest size that fits. Beside what the weights take, the peak grows about as size**power, which says where
    to look after a size whose plan is known; two plans side by side decide."""
    fits, too_large = 0, None
    while too_large is None or too_large - fits > 1:
        share = max(0, budget - plan.state) / (plan.peak - plan.state)
        guess = max(fits + 1, int(size * share ** (1 / power)))
        size = guess if too_large is None else min(guess, too_large - 1)
        plan = plan_of(size)
        if plan.peak <= budget:
            fits = size
        else:
            too_large = size
    return fits


def savings(plan: MemoryPlan) -> dict[str, MemoryPlan]:
    """Plans with what may take less memory, by the words of the command line that choose it."""
    settings = plan.settings
    needs_fp16 = torch.cuda.is_available() and choose_dtype("auto", plan.device) == torch.float16
    half = {"precision": "fp16" if needs_fp16 else "bf16"} if plan.dtype == torch.float32 else {}
    recompute = {} if settings.checkpoint_activations else {"checkpoint_activations": True}
    changes: list[dict[str, Any]] = [half, recompute, half | recompute]
    if settings.norm.name == "bn" and settings.model.activation in ACTIVATIONS:
        changes.insert(0, {"norm": dataclasses.replace(settings.norm, name="bn_act")})
    for parts in (2, 4):
        if settings.batch_size % parts == 0:
            changes.append({"batch_size": settings.batch_size // parts, "accumulate": settings.accumulate * parts})
    changes.append({"channels_last": not settings.channels_last})
    by_words = {" ".join(f"{key}={_word(value)}" for key, value in each.items()): each for each in changes if each}
    return {words: _changed(plan, **each) for words, each in by_words.items()}


def _word(value: Any) -> str:
    return str(getattr(value, "name", value)).lower()


def _changed(plan: MemoryPlan, **changes: Any) -> MemoryPlan:
    dtype = DTYPES[changes["precision"]] if "precision" in changes else plan.dtype
    return plan_memory(dataclasses.replace(plan.settings, **changes), plan.device, dtype)


def check_memory(settings: Settings, device: torch.device, free: int | None) -> MemoryPlan:
    """The plan of a training step, in the precision that the settings choose.

    Args:
        free: bytes that it may take, None where nobody knows.

    Raises:
        UserError: its tensors alone do not fit; says what would. A layer does not accept the batch, for example a batch
            norm that would see one value per channel.
    """
    plan = plan_memory(settings, device, choose_dtype(settings.precision, device))
    if free is not None and plan.tensors > free:
        raise UserError(f"{device}: {_taken(plan)}, and {format_bytes(free)} are free: {_what_fits(plan, free)}")
    return plan


def less_memory(plan: MemoryPlan) -> str:
    """The cure where a training step has run out of the device's memory, whatever the plan said."""
    budget = plan.peak * 9 // 10  # what has just failed is no cure, and a plan may be wrong by a tenth
    if (free := available_memory(plan.device)) is not None:
        budget = min(free, budget)
    return f"{_taken(plan)}; within {format_bytes(budget)}, {_what_fits(plan, budget)}"


def _taken(plan: MemoryPlan) -> str:
    sizes = f"batch_size={plan.settings.batch_size} and data.crop={plan.settings.data.crop}"
    return f"a training step with {sizes} holds {format_bytes(plan.peak)} at its peak, as planned"


def _what_fits(plan: MemoryPlan, budget: int) -> str:
    """The changes of settings each of which makes a training step fit into `budget` bytes."""
    sizes = {"batch_size": largest_batch(plan, budget), "data.crop": largest_crop(plan, budget)}
    words = [f"{key}={size}" for key, size in sizes.items() if size]
    words += [name for name, other in savings(plan).items() if other.peak <= budget]
    return f"it fits with {', or '.join(words)}" if words else "choose a smaller model="
