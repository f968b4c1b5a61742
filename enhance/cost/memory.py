"""What a training step needs of a device's memory, without running it.

The step is taken with fake tensors, which have shapes, types and strides but no values: forward, backward and all that
autograd saves are the real ones, and every storage is counted as long as something refers to it.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from enhance import ranks
from enhance.cost.measure import LiveStorages
from enhance.models.build import build_model
from enhance.models.norm_factory import too_few_values_explained
from enhance.settings import Settings
from enhance.training.loss import training_loss
from enhance.training.objective import Objective
from enhance.training.schedule import build_optimizer

ACTIVATIONS, TEMPORARIES, WORKSPACE = "activations kept for backward", "temporaries", "workspace of convolutions"
PARTS = (
    "weights",
    "gradients",
    "optimizer state",
    "moving average of weights",
    "batch",
    ACTIVATIONS,
    TEMPORARIES,
    WORKSPACE,
)
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
        return sum(self.parts[name] for name in ("weights", "optimizer state", "moving average of weights"))

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
    `compile` it is an upper bound: the step before each validation runs eagerly.

    Args:
        dtype: what the model computes in.

    Raises:
        UserError: a layer does not accept the batch.
    """
    memory_format = torch.channels_last if settings.channels_last else torch.contiguous_format
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = build_model(settings.model, settings.norm, settings.checkpoint_activations)
    model = model.to(memory_format=memory_format)
    objective = Objective(settings.objective).to("meta")
    with FakeTensorMode(allow_non_fake_inputs=True), _StepStorages(device.type) as live:
        live.label = "weights"
        model.to_empty(device=_CPU)
        objective.to_empty(device=_CPU)
        live.label = "moving average of weights"
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
        shape = (max(1, settings.batch_size // ranks.world_size()), 3, settings.data.crop, settings.data.crop)
        low, normal = (torch.empty(shape, memory_format=memory_format) for _ in range(2))
        live.label = TEMPORARIES
        with too_few_values_explained():
            loss, _ = training_loss(model, objective, _CPU, dtype)(low, normal)
        live.relabel(TEMPORARIES, ACTIVATIONS)
        (loss / settings.accumulate).backward()
        for parameter in model.parameters():
            assert parameter.grad is not None
            live.of(parameter.grad).label = "gradients"
        parts = live.at_peak(WORKSPACE)
    del average
    return MemoryPlan({name: parts[name] for name in PARTS}, settings, device, dtype)


class _StepStorages(LiveStorages):
    """Knows what convolutions need besides their results.

    On the CPU oneDNN copies what does not lie as it computes: in contiguous memory the input or the output on the way
    forward, both on the way back, in channels_last only the weights, and of half types, on the way back, half of the
    input and of the output, transposed. These sizes were read off torch's profiler (docs/scale.md). On CUDA cuDNN
    chooses its algorithms by trying them, and their workspaces differ: four copies of the input and of the output are
    assumed, which is near what was measured (docs/scale.md).
    """

    def __init__(self, device_type: str) -> None:
        super().__init__()
        self.device_type = device_type

    def workspace(self, function: Any, args: Any) -> int:
        if function is torch.ops.aten.convolution.default:
            return self._forward(*args)
        if function is torch.ops.aten.convolution_backward.default:
            return self._backward(*args)
        return 0

    def _forward(self, x: Tensor, weight: Tensor, *_: Any) -> int:
        y = x.nbytes * weight.shape[0] // x.shape[1]  # at most: strides and missing padding make it smaller
        if self.device_type != "cpu":
            return _CUDNN * (x.nbytes + y)
        return weight.nbytes + (0 if _channels_last(x) else max(x.nbytes, y))

    def _backward(self, grad_y: Tensor, x: Tensor, weight: Tensor, *_: Any) -> int:
        both = grad_y.nbytes + x.nbytes
        if self.device_type != "cpu":
            return _CUDNN * both
        if not _channels_last(x):
            return weight.nbytes + both
        return 2 * weight.nbytes + (both // 2 if x.dtype != torch.float32 else 0)


def _channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)
