"""What a training step needs of a device's memory, without running it, and what to change so that it fits.

The step is taken with fake tensors, which have shapes, types and strides but no values: forward, backward and all that
autograd saves are the real ones, and every storage is counted as long as something refers to it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from enhance import ranks
from enhance.cost.measure import LiveStorages
from enhance.device import DTYPES, available_memory, choose_dtype
from enhance.errors import UserError
from enhance.models.build import build_model
from enhance.models.norm_factory import too_few_values_explained
from enhance.models.residual import SMALLEST_SIDE
from enhance.norm import batch_act
from enhance.settings.schema import Settings
from enhance.training.loss import Objective, training_loss
from enhance.training.schedule import build_optimizer

AVERAGE, ACTIVATIONS = "moving average of weights", "activations kept for backward"
TEMPORARIES, WORKSPACE = "temporaries", "workspace of convolutions"
PARTS = ("weights", "gradients", "optimizer state", AVERAGE, "batch", ACTIVATIONS, TEMPORARIES, WORKSPACE)
_CPU = torch.device("cpu")
_CUDNN = 4  # copies of a convolution's input and output


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes at the moment of a training step when most are held, by `PARTS`; and what step it is."""

    parts: dict[str, int]
    settings: Settings
    device: torch.device
    dtype: torch.dtype

    @property
    def peak(self) -> int:
        return sum(self.parts.values())

    @property
    def state(self) -> int:
        """What does not depend on the batch."""
        return sum(self.parts[name] for name in ("weights", "optimizer state", AVERAGE))

    @property
    def tensors(self) -> int:
        """What no library can do without."""
        return self.peak - self.parts[WORKSPACE]

    def line(self) -> str:
        """One line for the screen."""
        state, activations = format_bytes(self.state), format_bytes(self.parts[ACTIVATIONS])
        return (
            f"memory: a training step holds {format_bytes(self.peak)} at its peak, as planned; {state} of it weights, "
            f"their average and the optimizer, {activations} {ACTIVATIONS}"
        )


def format_bytes(size: int) -> str:
    """Bytes in GiB, or in MiB where they are less than one."""
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def plan_memory(settings: Settings, device: torch.device, dtype: torch.dtype) -> MemoryPlan:
    """The peak of the memory that a training step allocates, on a device that need not be here; with several ranks, of
    each one's share of the batch, without what they exchange.

    Validation, which takes whole images, is not planned, nor is what the CUDA context and other programs hold. With
    `compile` it is an upper bound: the step before each validation runs eagerly. Raises `UserError` where a layer does
    not accept the batch.

    Args:
        dtype: what the model computes in.
    """
    memory_format = torch.channels_last if settings.channels_last else torch.contiguous_format
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = build_model(settings.model, settings.norm, settings.checkpoint_activations)
    model = model.to(memory_format=memory_format)
    objective = Objective(settings.objective).to("meta")
    with FakeTensorMode(allow_non_fake_inputs=True), LiveStorages(partial(_workspace, device.type)) as live:
        live.label = "weights"
        model.to_empty(device=_CPU)
        objective.to_empty(device=_CPU)
        live.label = AVERAGE
        average = [torch.empty_like(tensor) for tensor in (*model.parameters(), *model.buffers())]
        optimizer = build_optimizer(model, settings.optimizer)
        live.label = "gradients"
        for parameter in model.parameters():
            parameter.grad = torch.empty_like(parameter)
        live.label = "optimizer state"  # as the first step leaves it; another step makes nothing of a weight's size
        optimizer.step()
        if settings.accumulate == 1:  # else the second batch meets the gradients of the first
            optimizer.zero_grad()
        live.label = "batch"
        count, side = max(1, settings.batch_size // ranks.world_size()), settings.data.crop
        shape = (count, settings.model.channels, side, side)
        low, normal = (torch.empty(shape, memory_format=memory_format) for _ in range(2))
        live.label = TEMPORARIES
        with too_few_values_explained():
            loss, _ = training_loss(model, objective, _CPU, dtype)(low, normal)
        for storage in live.alive.values():  # what the loss keeps is for backward
            if storage.label == TEMPORARIES:
                storage.label = ACTIVATIONS
        (loss / settings.accumulate).backward()
        for parameter in model.parameters():
            assert parameter.grad is not None
            live.alive[parameter.grad.untyped_storage()._cdata].label = "gradients"
    del average
    parts = dict.fromkeys(PARTS, 0)
    for storage in live.at_peak:
        parts[storage.label] += storage.size
    parts[WORKSPACE] = live.peak - sum(parts.values())
    return MemoryPlan(parts, settings, device, dtype)


def _workspace(device_type: str, function: Any, args: Any) -> int:
    """Bytes that a convolution needs besides its results.

    On the CPU oneDNN copies what does not lie as it computes: in contiguous memory the input or the output on the way
    forward, both on the way back, in channels_last only the weights, and of half types, on the way back, half of the
    input and of the output, transposed. These sizes were read off torch's profiler (docs/scale.md). On CUDA cuDNN
    chooses its algorithms by trying them, and their workspaces differ: four copies of the input and of the output are
    assumed, which is near what was measured (docs/scale.md).
    """
    forward = function is torch.ops.aten.convolution.default
    if forward:
        x, weight = args[:2]
        y_bytes = x.nbytes * weight.shape[0] // x.shape[1]  # at most: strides and missing padding make it smaller
    elif function is torch.ops.aten.convolution_backward.default:
        grad_y, x, weight = args[:3]
        y_bytes = grad_y.nbytes
    else:
        return 0
    both = x.nbytes + y_bytes
    if device_type != "cpu":
        return _CUDNN * both
    channels_last = x.is_contiguous(memory_format=torch.channels_last)
    if forward:
        return weight.nbytes + (0 if channels_last else max(x.nbytes, y_bytes))
    if channels_last:
        return 2 * weight.nbytes + (both // 2 if x.dtype != torch.float32 else 0)
    return weight.nbytes + both


def largest_batch(plan: MemoryPlan, budget: int) -> int:
    """The most crops whose training step, else as planned, fits into `budget` bytes; 0 where not even one does."""
    return _largest(lambda size: _changed(plan, batch_size=size), plan.settings.batch_size, plan, budget, power=1)


def largest_crop(plan: MemoryPlan, budget: int) -> int:
    """The largest side of a crop that the U-Net need not pad, with a step that fits into `budget` bytes, or 0."""
    model, data = plan.settings.model, plan.settings.data
    multiple = max(SMALLEST_SIDE, model.unshuffle * 2**model.depth)

    def cropped(size: int) -> MemoryPlan:
        return _changed(plan, data=replace(data, crop=multiple * size))

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
    if settings.norm.name == "bn" and settings.model.activation in batch_act.ACTIVATIONS:
        changes.insert(0, {"norm": replace(settings.norm, name="bn_act")})
    for parts in (2, 4):
        if settings.batch_size % parts == 0:
            changes.append({"batch_size": settings.batch_size // parts, "accumulate": settings.accumulate * parts})
    changes.append({"channels_last": not settings.channels_last})
    by_words = {
        " ".join(f"{key}={getattr(value, 'name', value)}".lower() for key, value in each.items()): each
        for each in filter(None, changes)
    }
    return {words: _changed(plan, **each) for words, each in by_words.items()}


def _changed(plan: MemoryPlan, **changes: Any) -> MemoryPlan:
    dtype = DTYPES[changes["precision"]] if "precision" in changes else plan.dtype
    return plan_memory(replace(plan.settings, **changes), plan.device, dtype)


def check_memory(settings: Settings, device: torch.device, dtype: torch.dtype, free: int | None) -> MemoryPlan:
    """The plan of a training step; a `UserError`, which says what would fit, where its tensors alone do not, or a layer
    does not accept the batch.

    Args:
        free: bytes that it may take, None where nobody knows.
    """
    plan = plan_memory(settings, device, dtype)
    if free is not None and plan.tensors > free:
        raise UserError(f"{device}: {_advice(plan, free)}; {format_bytes(free)} are free")
    return plan


def less_memory(plan: MemoryPlan) -> str:
    """The cure where a training step has run out of the device's memory, whatever the plan said."""
    budget = plan.peak * 9 // 10  # what has just failed is no cure, and a plan may be wrong by a tenth
    free = available_memory(plan.device)
    return _advice(plan, budget if free is None else min(free, budget))


def _advice(plan: MemoryPlan, budget: int) -> str:
    """What the step takes, and the changes of settings each of which makes it fit into `budget` bytes."""
    sizes = {"batch_size": largest_batch(plan, budget), "data.crop": largest_crop(plan, budget)}
    words = [f"{key}={size}" for key, size in sizes.items() if size]
    words += [name for name, other in savings(plan).items() if other.peak <= budget]
    cure = f"it fits with {', or '.join(words)}" if words else "choose a smaller model="
    return (
        f"a training step with batch_size={plan.settings.batch_size} and data.crop={plan.settings.data.crop} holds "
        f"{format_bytes(plan.peak)} at its peak, as planned; within {format_bytes(budget)}, {cure}"
    )
