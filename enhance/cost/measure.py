"""What code costs: time, memory at its peak, and memory kept for backward."""

import itertools
import statistics
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def median_milliseconds(tasks: dict[str, Callable[[], object]], rounds: int, warm_up: int = 2) -> dict[str, float]:
    """Median time of each task; they take turns, round after round, so that a noisy machine disturbs all alike.

    Args:
        rounds: that count, after `warm_up` ones that do not.
    """
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(warm_up + rounds):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values[warm_up:]) for name, values in times.items()}


def time_ratio(task: Callable[[], object], other: Callable[[], object], rounds: int) -> float:
    """Median time of a task over that of another, which takes turns with it alone: a third one between them would leave
    another cache behind for the one than for the other."""
    times = median_milliseconds({"task": task, "other": other}, rounds)
    return times["task"] / times["other"]


def kept_tensors(forward: Callable[[], object]) -> list[Tensor]:
    """What a forward pass keeps for backward, parameters among it; a tensor that is kept twice comes twice."""
    kept: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        forward()
    return kept


def storage_bytes(tensors: list[Tensor]) -> dict[int, int]:
    """Bytes of each storage that the tensors share, by its address."""
    return {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}


def peak_bytes(task: Callable[[], object]) -> int:
    """Most bytes that the tensors which a task makes take up at once, on all devices together. What an operation uses
    within itself is not seen.

    Example:
        >>> peak_bytes(lambda: torch.zeros(1024) + 1)
        8192
    """
    with Live() as live:
        task()
    return live.peak


def allocated_peak(task: Callable[[], object], device: torch.device) -> int:
    """Most bytes that a task allocates on a device beyond what was held before, by torch's own count: of the profiler
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
    """Memory of one tensor and its views. Times are numbers of operations."""

    size: int  # bytes
    label: str  # what it is for
    born: int
    died: int | None = None  # None: it still lives


class Live(TorchDispatchMode):
    """Counts the bytes of tensors from their birth until nothing holds them."""

    def __init__(self) -> None:
        super().__init__()
        self.label = ""  # of what is born from now on
        self.now = self.peak = 0
        self._within_peak = self._time = self._peak_time = 0
        self._alive: dict[int, Storage] = {}  # by address
        self._all: list[Storage] = []

    def within(self, function: Any, args: Any) -> int:
        """Bytes that an operation uses within itself, which nobody sees: none is known of."""
        return 0

    def of(self, tensor: Tensor) -> Storage:
        """The storage of a tensor that was made here."""
        return self._alive[tensor.untyped_storage()._cdata]

    def relabel(self, old: str, new: str) -> None:
        """Call what lives now another name."""
        for storage in self._alive.values():
            if storage.label == old:
                storage.label = new

    def at_peak(self, within: str) -> dict[str, int]:
        """Bytes by label at the first moment of the peak; what the operation used within itself goes by the name that
        is given."""
        time, parts = self._peak_time, {within: self._within_peak}
        for storage in self._all:
            if storage.born <= time and (storage.died is None or storage.died >= time):
                parts[storage.label] = parts.get(storage.label, 0) + storage.size
        return parts

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._time += 1
        result = function(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, Tensor):
                self._add(each.untyped_storage())
        within = self.within(function, args)
        if self.now + within > self.peak:
            self.peak, self._within_peak, self._peak_time = self.now + within, within, self._time
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        address, size = storage._cdata, storage.nbytes()
        if address not in self._alive:
            self._alive[address] = Storage(size, self.label, self._time)
            self._all.append(self._alive[address])
            self.now += size
            weakref.finalize(storage, self._forget, address)

    def _forget(self, address: int) -> None:
        storage = self._alive.pop(address)
        storage.died = self._time
        self.now -= storage.size
