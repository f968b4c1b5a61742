"""The processes that prepare batches: what they leave to the training process, and how their end is told."""

import errno
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from enhance.errors import UserError

# That ask a run to stop: Ctrl-C, SIGTERM, SIGUSR1 (Slurm's warning of the time limit), SIGHUP (the terminal is gone).
_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
STOP_SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


def leave_signals_alone(worker: int) -> None:
    """Signals that reach the whole process group are for the training process, which ends its workers."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def shared(batch: Tensor) -> Tensor | UserError:
    """In a worker: the batch in shared memory, through which it is handed over. torch would put it there in a thread
    whose error nobody hears, and the training process would wait for it forever."""
    try:
        return batch.share_memory_()
    except (RuntimeError, OSError) as error:
        return _told(error) or UserError(f"a worker cannot hand over its batch: {error}")


def _told(error: Exception) -> UserError | None:
    """What is meant, where the system lacks something that workers need."""
    text = str(error)
    if "Too many open files" in text or "ancdata" in text:  # what a pipe says where no handle is left to receive one
        return UserError(
            "too many open files, through which workers hand over batches: raise the limit (ulimit -n 4096), or lower "
            "data.workers (0 needs none); then resume"
        )
    no_room = isinstance(error, OSError) and error.errno == errno.ENOSPC  # for the locks of their queues
    full = "shared memory" in text and "OutOfResources" not in text  # which is triton's, of a graphics card
    if no_room or full or "Bus error" in text:
        return UserError(
            "shared memory is full (/dev/shm), through which workers hand over batches: lower data.workers (0 needs "
            "none), or give the container more (docker run --shm-size=2g); then resume"
        )
    if "DataLoader worker" in text and ("killed by signal" in text or "exited unexpectedly" in text):
        return UserError(
            f"a worker that prepares batches died ({text.strip()}): the system may have lacked memory; lower "
            "data.workers or data.cache_gib, then resume"
        )
    return None


@contextmanager
def worker_end_told() -> Iterator[None]:
    """Within, workers that cannot be started or talked to, or that die, are a `UserError`. torch raises its own error
    at whatever line the training process is."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        if (told := _told(error)) is None:
            raise
        raise told from error
