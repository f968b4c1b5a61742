"""What code costs: time, memory at its peak, and memory that is saved for backward."""

import itertools
import statistics
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from enhance.device import synchronize


def seconds(task: Callable[[], object], device: torch.device) -> float:
    """Time of a task, to its end on the device. On the CPU with one thread it is processor time, which other work on
    the machine hardly changes; else it is the clock's."""
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    synchronize(device)
    start = clock()
    task()
    synchronize(device)
    return clock() - start


def median_milliseconds(
    tasks: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 2, device: torch.device | None = None
) -> dict[str, float]:
    """Median time of each task in `rounds` after the `warm_up`; they take turns, round after round, so that a noisy
    machine disturbs all alike. Time is that of `seconds` on the device; None: the clock's."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(warm_up + rounds):
        for name, task in tasks.items():
            if device is None:
                start = time.perf_counter()
                task()
                times[name].append(1000 * (time.perf_counter() - start))
            else:
                times[name].append(1000 * seconds(task, device))
    return {name: statistics.median(values[warm_up:]) for name, values in times.items()}


def time_ratio(
    task: Callable[[], object], other: Callable[[], object], rounds: int, device: torch.device | None = None
) -> float:
    """Median time of a task over that of another, in turn with it alone: a third task between them would leave another
    cache behind for the one than for the other."""
    times = median_milliseconds({"task": task, "other": other}, rounds, device=device)
    return times["task"] / times["other"]


def saved_tensors(forward: Callable[[], object]) -> list[Tensor]:
    """What a forward pass saves for backward, parameters among it; a tensor that is saved twice comes twice."""
    saved: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        forward()
    return saved


def storage_bytes(tensors: list[Tensor]) -> dict[int, int]:
    """Bytes of each storage that the tensors share, by its address."""
    return {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}


class Traffic(TorchDispatchMode):
    """Counts the operations within it, but for views, and the bytes of the tensors that they are given and give: what a
    device has to read and write at least. What an operation does within itself is not seen."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.bytes = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = operation(*args, **kwargs)
        aten = torch.ops.aten
        free = (aten.empty.memory_format, aten.empty_like.default, aten.detach.default, aten.promote_types.default)
        if not operation.is_view and operation not in free:
            given = [each for each in tree_leaves((args, {**kwargs, "out": None})) if isinstance(each, Tensor)]
            made = [each for each in tree_leaves(result) if isinstance(each, Tensor)]
            self.operations += 1
            self.bytes += sum(each.nbytes for each in (*given, *made))
        return result


def peak_bytes(task: Callable[[], object]) -> int:
    """Most bytes that the tensors which a task makes take up at once, on all devices together. What an operation uses
    within itself is not seen.

    Example:
        >>> peak_bytes(lambda: torch.zeros(1024) + 1)
        8192
    """
    with LiveStorages() as live:
        task()
    return live.peak


def allocated_peak(task: Callable[[], object], device: torch.device) -> int:
    """Most bytes that a task allocates on a device beyond what was there before, by torch's own count: of the profiler
    on the CPU, oneDNN's copies among them, and of the allocator on CUDA."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        task()
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        task()
    changes = [event.nbytes() for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    return max(itertools.accumulate(changes, initial=0))


@dataclass
class Storage:
    """Memory of one tensor and its views."""

    size: int  # bytes
    label: str  # what it is for


class LiveStorages(TorchDispatchMode):
    """Counts the bytes of tensors from the operation that makes them until nothing refers to them.

    torch's own `torch.distributed._tools.mem_tracker.MemTracker` is private, finds the same peaks in two to three times
    the time, and has no place for what convolutions use within themselves.

    Args:
        workspace: bytes that an operation uses within itself, of the operation and its arguments.
    """

    def __init__(self, workspace: Callable[[Any, Any], int] = lambda function, args: 0) -> None:
        super().__init__()
        self.workspace = workspace
        self.label = ""  # of what is made from now on
        self.now = self.peak = 0
        self.at_peak: list[Storage] = []  # at the first moment of the peak
        self.alive: dict[int, Storage] = {}  # by address

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for storage in (each.untyped_storage() for each in tree_leaves(result) if isinstance(each, Tensor)):
            if storage._cdata not in self.alive:
                self.alive[storage._cdata] = Storage(storage.nbytes(), self.label)
                self.now += storage.nbytes()
                weakref.finalize(storage, self._forget, storage._cdata)
        now = self.now + self.workspace(function, args)
        if now > self.peak:
            self.peak, self.at_peak = now, list(self.alive.values())
        return result

    def _forget(self, address: int) -> None:
        self.now -= self.alive.pop(address).size
