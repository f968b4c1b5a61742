"""The processes of one training run: torchrun starts them, and each, a "rank", learns from its share of every batch.

Without torchrun there is one rank, and nothing here does anything.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from enhance.errors import SettingsError, UserError, script

T = TypeVar("T")


def world_size() -> int:
    """Number of ranks."""
    return distributed.get_world_size() if _is_initialized() else 1


def rank() -> int:
    """Number of this rank, from 0."""
    return distributed.get_rank() if _is_initialized() else 0


def is_rank_zero() -> bool:
    """Whether this rank is the one that writes, and prints."""
    return rank() == 0


def started_by_torchrun() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def process_group() -> Iterator[None]:
    """Within, the processes that torchrun started work together; all but the first are silent, but for errors. Raises
    `UserError` where another process ended, so that this one cannot go on."""
    if not started_by_torchrun():
        if (tasks := os.environ.get("SLURM_STEP_NUM_TASKS", "1")) != "1" and os.environ.get("SLURM_PROCID") == "0":
            program = script("train")
            program = program if program.endswith(".py") else f"--no-python {program}"
            cure = f"for one run of {tasks} processes start torchrun --nproc-per-node={tasks} {program} in one task"
            print(f"warning: srun started {tasks} tasks, and each trains a run of its own; {cure}", file=sys.stderr)
        yield
        return
    if torch.cuda.is_available():
        number, devices = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if number >= devices:
            cure = f"torch sees {devices} CUDA devices here: start as many processes"
            raise SettingsError(f"--nproc-per-node: process {number} of this machine has no device of its own; {cure}")
        torch.cuda.set_device(number)
    try:
        _initialize()
        with open(os.devnull, "w") as nowhere, redirect_stdout(sys.stdout if is_rank_zero() else nowhere):
            yield
    except UserError as error:
        if is_rank_zero():
            raise
        raise UserError(f"process {rank()} of {world_size()}: {error}") from error
    except RuntimeError as error:
        of_others = ("Connection", "gloo", "NCCL", "process group")
        if not isinstance(error, distributed.DistError) and not any(word in str(error) for word in of_others):
            raise
        message = str(error).partition("\n")[0]
        cure = f"the other may say why. Last error: {message!r}; resume=RUN goes on"
        raise UserError(f"another process of this run ended, and this one with it: {cure}") from error
    finally:
        if _is_initialized():
            distributed.destroy_process_group()


def _initialize() -> None:
    # torchrun starts ended processes again, and its store still holds where they listened: each time has its own part.
    store, rank, number = next(distributed.rendezvous("env://"))
    store = distributed.PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], store)
    # Tensors of the CPU go by gloo, those of CUDA devices by NCCL.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=number)


def from_rank_zero(decide: Callable[[], T]) -> T:
    """What the first rank decides, on every rank; so is a `UserError` that it raises."""
    if world_size() == 1:
        return decide()
    decision: list[Any] = [None]
    if is_rank_zero():
        try:
            decision = [decide()]
        except UserError as error:
            decision = [error]
    distributed.broadcast_object_list(decision)
    if isinstance(decision[0], UserError):
        raise decision[0]
    return decision[0]


def all_max(value: int) -> int:
    """The largest of the ranks' values."""
    if world_size() == 1:
        return value
    values = torch.tensor(value)
    distributed.all_reduce(values, distributed.ReduceOp.MAX)
    return int(values)


def broadcast(tensors: Iterable[Tensor]) -> None:
    """Copy into each tensor what it holds on the first rank."""
    if world_size() > 1:
        for tensor in tensors:
            distributed.broadcast(tensor, src=0)


def all_sum(values: Tensor) -> Tensor:
    """The sum of the ranks' values, of any shape and on any device."""
    if world_size() > 1:
        values = values.clone()
        distributed.all_reduce(values)
    return values


def local_share(items: list[T]) -> list[T]:
    """This rank's items: each `world_size()`th."""
    return items[rank() :: world_size()]


def all_gather(local_items: list[T]) -> list[T]:
    """All ranks' items, in the order that they had before `local_share`."""
    if world_size() == 1:
        return local_items
    lists: list[list[T]] = [[] for _ in range(world_size())]
    distributed.all_gather_object(lists, local_items)
    return [lists[number % world_size()][number // world_size()] for number in range(sum(map(len, lists)))]


def _is_initialized() -> bool:
    return distributed.is_available() and distributed.is_initialized()
