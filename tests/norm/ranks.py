"""Work on two ranks of a gloo process group, each a process of its own."""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing

from tests.processes import METHOD

WORLD = 2
_SECONDS = 120  # a rank that waits in vain ends the test


def on_two_ranks(work: Callable[[int], Any], folder: Path) -> list[Any]:
    """What `work` returns for rank 0 and for rank 1; tensors, and containers of them.

    Args:
        work: a function of the rank, at the top level of a module.
        folder: where the ranks meet; empty.
    """
    context = multiprocessing.start_processes(_rank, (work, folder), WORLD, join=False, start_method=METHOD)
    end = time.monotonic() + _SECONDS
    try:
        while not context.join(timeout=1):  # raises what a rank raises, and ends the other
            assert time.monotonic() < end, "the ranks wait for each other"
    finally:
        for process in context.processes:
            process.kill()
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


def _rank(rank: int, work: Callable[[int], Any], folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/group",
        rank=rank,
        world_size=WORLD,
        timeout=timedelta(seconds=_SECONDS / 2),
    )
    torch.save(work(rank), folder / f"{rank}.pt")
    distributed.destroy_process_group()
