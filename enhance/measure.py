"""What code costs: time, memory at its peak, and memory kept for backward."""

import statistics
import time
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
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
    with _Live() as live:
        task()
    return live.peak


class _Live(TorchDispatchMode):
    """Counts the bytes of tensors from their birth until nothing holds them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._storages: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, Tensor):
                self._add(each.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        address, size = storage._cdata, storage.nbytes()
        if address not in self._storages:
            self._storages.add(address)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, address, size)

    def _forget(self, address: int, size: int) -> None:
        self._storages.discard(address)
        self.now -= size
