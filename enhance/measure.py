"""What code costs: time, and memory kept for backward. For benchmarks and tests."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor


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
