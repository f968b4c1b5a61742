"""What to change so that a training step fits into a device's memory."""

import dataclasses
from collections.abc import Callable

import torch

from enhance.cost.memory import MemoryPlan, plan_memory, told
from enhance.device import available_memory, choose_dtype
from enhance.errors import UserError
from enhance.models.unet import SMALLEST_SIDE
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

    def other(size: int) -> MemoryPlan:
        return _changed(plan, data=dataclasses.replace(data, crop=multiple * size))

    return multiple * _largest(other, data.crop / multiple, plan, budget, power=2)


def _largest(plan_of: Callable[[int], MemoryPlan], size: float, plan: MemoryPlan, budget: int, power: int) -> int:
    """Largest size that fits. Beside what the weights take, the peak grows about as size**power, which tells where to
    look from a size whose plan is known; two plans side by side decide."""
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


def _changed(plan: MemoryPlan, dtype: torch.dtype | None = None, **changes: object) -> MemoryPlan:
    settings = dataclasses.replace(plan.settings, **changes)  # type: ignore[arg-type]
    return plan_memory(settings, plan.device, dtype or plan.dtype)


def savings(plan: MemoryPlan) -> dict[str, MemoryPlan]:
    """Plans with what may take less memory, by the words of the command line that choose it."""
    settings, found = plan.settings, {}
    if settings.norm.name == "bn" and settings.model.activation in ACTIVATIONS:
        found["norm=bn_act"] = _changed(plan, norm=dataclasses.replace(settings.norm, name="bn_act"))
    here = plan.device.type == "cuda" and torch.cuda.is_available()
    half = choose_dtype("auto", plan.device) if here else torch.bfloat16
    name = "fp16" if half == torch.float16 else "bf16"
    if plan.dtype == torch.float32:
        found[f"precision={name}"] = _changed(plan, half)
    if not settings.checkpoint_activations:
        found["checkpoint_activations=true"] = _changed(plan, checkpoint_activations=True)
        if plan.dtype == torch.float32:
            found[f"precision={name} checkpoint_activations=true"] = _changed(plan, half, checkpoint_activations=True)
    for parts in (2, 4):
        if settings.batch_size % parts == 0:
            size, accumulate = settings.batch_size // parts, settings.accumulate * parts
            found[f"batch_size={size} accumulate={accumulate}"] = _changed(plan, batch_size=size, accumulate=accumulate)
    layout = not settings.channels_last
    found[f"channels_last={str(layout).lower()}"] = _changed(plan, channels_last=layout)
    return found


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
        raise UserError(
            f"{device}: a training step with {_sizes(plan)} holds {told(plan.peak)} at its peak, as planned, and "
            f"{told(free)} are free: {what_fits(plan, free)}"
        )
    return plan


def less_memory(plan: MemoryPlan) -> str:
    """The cure where a training step has run out of the device's memory, whatever the plan said."""
    within = plan.peak * 9 // 10  # what has just failed is no cure, and a plan may be wrong by a tenth
    free = available_memory(plan.device)
    budget = within if free is None else min(free, within)
    return (
        f"a training step with {_sizes(plan)} holds {told(plan.peak)} at its peak, as planned; "
        f"within {told(budget)}, {what_fits(plan, budget)}"
    )


def _sizes(plan: MemoryPlan) -> str:
    return f"batch_size={plan.settings.batch_size} and data.crop={plan.settings.data.crop}"


def what_fits(plan: MemoryPlan, budget: int) -> str:
    """In words, the changes of settings each of which makes a training step fit into `budget` bytes."""
    words = []
    if batch := largest_batch(plan, budget):
        words.append(f"batch_size={batch}")
    if crop := largest_crop(plan, budget):
        words.append(f"data.crop={crop}")
    words += [name for name, other in savings(plan).items() if other.peak <= budget]
    return f"it fits with {', or '.join(words)}" if words else "choose a smaller model="
