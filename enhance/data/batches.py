"""The endless stream of training batches, and the worker processes that prepare it."""

import errno
import functools
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from enhance.data.pairs import PairSource
from enhance.errors import UserError

# Signals that ask a run to stop: Ctrl-C, SIGTERM, SIGUSR1 (Slurm's warning of the time limit), SIGHUP (the terminal is
# gone).
_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
STOP_SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


def training_batches(
    source: PairSource,
    crop: int,
    batch_size: int,
    first_batch: int,
    last_batch: int,
    seed: int,
    workers: int,
    pin_memory: bool = False,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[Tensor]:
    """Batches `first_batch` to `last_batch` - 1 of the endless stream of training crops.

    Sample n belongs to epoch n // len(source), whose order is a permutation drawn from (seed, epoch); its crop, its
    flips and its exposure are drawn from (seed, n); batch k holds the samples from k * batch_size on. So a run that
    goes on sees what it would have seen, the order of the images does not depend on the batch size, and nothing
    depends on the number of workers. Of several ranks, each takes its part of every batch.

    Args:
        batch_size: of all ranks together; a multiple of `world_size`.

    Yields:
        Low and normal, uint8 (2, N, C, crop, crop), each in channels_last memory format.
    """
    share = batch_size // world_size
    starts = (k * batch_size + rank * share for k in range(first_batch, last_batch))
    batches = (range(start, start + share) for start in starts)
    loader = DataLoader(
        _Samples(source, crop, seed),
        batch_sampler=batches,  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pin_memory,  # page-locked, for the way to a CUDA device
        worker_init_fn=_ignore_stop_signals,
        generator=torch.Generator(),  # else the loader draws from torch's own, which the training uses
    )
    for batch in loader:
        if isinstance(batch, UserError):
            raise batch
        yield batch


def crop_names(source: PairSource, crops: range, seed: int) -> list[str]:
    """Names of the images that crops of `training_batches` are cut from, counted over the run."""
    places = (divmod(crop, len(source)) for crop in crops)
    return [source.names[_order(len(source), seed, epoch)[position]] for epoch, position in places]


_Sample = tuple[np.ndarray, np.ndarray] | UserError


class _Samples(Dataset[_Sample]):
    def __init__(self, source: PairSource, crop: int, seed: int) -> None:
        self.source = source
        self.crop = crop
        self.seed = seed

    def __getitem__(self, sample: int) -> _Sample:
        epoch, position = divmod(sample, len(self.source))
        index = _order(len(self.source), self.seed, epoch)[position]
        try:
            return self.source.crop(int(index), self.crop, np.random.default_rng([self.seed, sample]))
        except UserError as error:  # returned, since torch would raise that of a worker with a traceback as its message
            return error


@functools.lru_cache(maxsize=4)
def _order(length: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch, 1]).permutation(length)  # the 1 parts it from sample n = epoch


def _collate(samples: list[_Sample]) -> Tensor | UserError:
    """All in one tensor: a worker hands each over by itself, which takes longer than to copy it."""
    pairs = []
    for sample in samples:
        if isinstance(sample, UserError):
            return sample
        pairs.append(sample)
    images = np.stack([crop for side in zip(*pairs, strict=True) for crop in side])
    batch = torch.from_numpy(images).unflatten(0, (2, len(samples))).permute(0, 1, 4, 2, 3)
    if get_worker_info() is None:
        return batch
    try:  # torch would do it in a thread whose error nobody hears, and the training process would wait forever
        return batch.share_memory_()
    except (RuntimeError, OSError) as error:
        return _as_user_error(error) or UserError(f"a worker cannot hand over its batch: {error}")


def _ignore_stop_signals(worker: int) -> None:
    """Signals that reach the whole process group are for the training process, which ends its workers."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def worker_errors() -> Iterator[None]:
    """Within, workers that cannot be started or talked to, or that die, are a `UserError`. torch raises its own error
    at whatever line the training process is."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        if (meant := _as_user_error(error)) is None:
            raise
        raise meant from error


def _as_user_error(error: Exception) -> UserError | None:
    """What the error means, where the system lacks something that workers need."""
    text = str(error)
    if "Too many open files" in text or "ancdata" in text:  # what a pipe says where no handle is left to receive one
        return UserError("too many open files: raise the limit (ulimit -n 4096) or lower data.workers, then resume")
    no_room = isinstance(error, OSError) and error.errno == errno.ENOSPC  # for the locks of their queues
    full = "shared memory" in text and "OutOfResources" not in text  # which is triton's, of a graphics card
    if no_room or full or "Bus error" in text:
        cure = "lower data.workers (0 needs none), or give the container more (docker run --shm-size=2g)"
        return UserError(f"shared memory is full (/dev/shm): {cure}; then resume")
    if "DataLoader worker" in text and ("killed by signal" in text or "exited unexpectedly" in text):
        cure = "it may have lacked memory; lower data.workers or data.cache_gib, then resume"
        return UserError(f"a worker that prepares batches died ({text.strip()}): {cure}")
    return None
