"""The limit that a machine sets to a task: the time that the task's convolutions and matrix products take by
themselves, each alone, in the faster of two memory layouts, at its best."""

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from enhance.device import synchronize

Call = tuple[Any, tuple[Any, ...]]  # an operation and its arguments, `_Shape`s for tensors
LAYOUTS = (torch.contiguous_format, torch.channels_last)


class Limit:
    """Runs a task once, eager, and then, as often as `measure` is called, each of its convolutions and matrix products,
    forward and backward, on random numbers of the same shapes and types.

    Called in turn with what it is a limit of, so that a busy machine disturbs both alike.
    """

    def __init__(self, task: Callable[[], object], device: torch.device) -> None:
        with FlopCounterMode(display=False) as counter, _Products() as products:
            task()
        self.flops = counter.get_total_flops()  # a multiply-add is two
        self._calls = products.calls
        self._device = device
        self._fastest = {(call, layout): math.inf for call in self._calls for layout in LAYOUTS}

    def measure(self) -> None:
        """Run each once more, in both memory layouts."""
        for call, layout in self._fastest:
            self._fastest[call, layout] = min(self._fastest[call, layout], self._seconds(call, layout))

    @property
    def seconds(self) -> float:
        """For all of them, each in its faster layout, at the fastest that was measured."""
        return sum(
            count * min(self._fastest[call, layout] for layout in LAYOUTS) for call, count in self._calls.items()
        )

    def _seconds(self, call: Call, layout: torch.memory_format) -> float:
        function, words = call
        args = [word.drawn(layout, self._device) if isinstance(word, _Shape) else word for word in words]
        return seconds(lambda: function(*args), self._device)


def seconds(task: Callable[[], object], device: torch.device) -> float:
    """That a task takes, to its end on the device. On the CPU with one thread its processor time, which other work on
    the machine hardly changes; else by the clock."""
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    synchronize(device)
    start = clock()
    task()
    synchronize(device)
    return clock() - start


@dataclass(frozen=True)
class _Shape:
    """Stands for a tensor."""

    sizes: tuple[int, ...]
    dtype: torch.dtype

    def drawn(self, layout: torch.memory_format, device: torch.device) -> Tensor:
        values = torch.randn(self.sizes, device=device).to(self.dtype)
        return values.contiguous(memory_format=layout) if values.dim() == 4 else values


class _Products(TorchDispatchMode):
    """Counts the calls of each operation that torch's counter of operations knows."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[Call] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function._overloadpacket in flop_registry:
            self.calls[function, tuple(map(_described, args))] += 1
        return function(*args, **(kwargs or {}))


def _described(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _Shape(tuple(value.shape), value.dtype)
    return tuple(value) if isinstance(value, list) else value
