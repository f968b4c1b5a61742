"""The processes of one training run: torchrun starts them, and each, a "rank", learns from its share of every batch.

Without torchrun there is one rank, and nothing here does anything.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, distributed

from enhance.errors import SettingsError, UserError

T = TypeVar("T")


def count() -> int:
    """Number of ranks."""
    return distributed.get_world_size() if _joined() else 1


def own() -> int:
    """Number of this rank, from 0."""
    return distributed.get_rank() if _joined() else 0


def is_first() -> bool:
    """Whether this rank is the one that writes, and speaks."""
    return own() == 0


def started_by_torchrun() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def joined() -> Iterator[None]:
    """Within, the processes that torchrun started work together; all but the first are silent, but for errors.

    Raises:
        UserError: another process ended, so that this one cannot go on.
    """
    if not started_by_torchrun():
        yield
        return
    if torch.cuda.is_available():
        if (number := int(os.environ["LOCAL_RANK"])) >= torch.cuda.device_count():
            raise SettingsError(
                f"--nproc-per-node: process {number} of this machine has no device of its own; torch sees "
                f"{torch.cuda.device_count()} CUDA devices here: start as many processes"
            )
        torch.cuda.set_device(number)
    try:
        _join()
        with contextlib.ExitStack() as stack:
            if not is_first():
                stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
            yield
    except UserError as error:
        if is_first():
            raise
        raise UserError(f"process {own()} of {count()}: {error}") from error
    except RuntimeError as error:
        if not _tells_of_another_end(error):
            raise
        words = str(error).partition("\n")[0]
        raise UserError(
            f"another process of this run ended, and this one with it: the other may say why. Heard: {words!r}; "
            "resume=RUN goes on"
        ) from error
    finally:
        if _joined():
            distributed.destroy_process_group()


def _join() -> None:
    # torchrun starts ended processes again, and its store still holds where they listened: each time has its own part.
    store, rank, number = next(distributed.rendezvous("env://"))
    store = distributed.PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], store)
    # Tensors of the CPU go by gloo, those of CUDA devices by NCCL.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=number)


def agreed(decide: Callable[[], T]) -> T:
    """What the first rank decides, on every rank; so is a `UserError` that it raises."""
    if count() == 1:
        return decide()
    decided: list[T | UserError | None] = [None]
    if is_first():
        try:
            decided = [decide()]
        except UserError as error:
            decided = [error]
    distributed.broadcast_object_list(decided)
    if isinstance(decided[0], UserError):
        raise decided[0]
    return decided[0]  # type: ignore[return-value]


def largest(value: int) -> int:
    """The largest of the ranks' values."""
    if count() == 1:
        return value
    values = torch.tensor(value)
    distributed.all_reduce(values, distributed.ReduceOp.MAX)
    return int(values)


def take_from_first(tensors: Iterable[Tensor]) -> None:
    """Copy into each tensor what it holds on the first rank."""
    if count() > 1:
        for tensor in tensors:
            distributed.broadcast(tensor, src=0)


def summed(values: Tensor) -> Tensor:
    """The sum of the ranks' values, of any shape and on any device."""
    if count() > 1:
        values = values.clone()
        distributed.all_reduce(values)
    return values


def shared_out(items: list[T]) -> list[T]:
    """This rank's items: each `count()`th."""
    return items[own() :: count()]


def gathered(own_items: list[T]) -> list[T]:
    """All ranks' items, in the order that they had before `shared_out`."""
    if count() == 1:
        return own_items
    lists: list[list[T]] = [[] for _ in range(count())]
    distributed.all_gather_object(lists, own_items)
    return [lists[number % count()][number // count()] for number in range(sum(map(len, lists)))]


def _joined() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _tells_of_another_end(error: Exception) -> bool:
    words = ("Connection", "gloo", "NCCL", "process group")
    return isinstance(error, distributed.DistError) or any(word in str(error) for word in words)
