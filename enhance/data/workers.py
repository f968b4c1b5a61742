"""The processes that prepare batches: what they leave to the training process, and how their end is told."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from enhance.errors import UserError

# That ask a run to stop: Ctrl-C, SIGTERM, and SIGUSR1, Slurm's warning of the time limit.
STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]


def leave_signals_alone(worker: int) -> None:
    """Signals that reach the whole process group are for the training process, which ends its workers."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def worker_end_told() -> Iterator[None]:
    """Within, a worker that dies, or that finds no shared memory, is a `UserError`. torch raises its own error at
    whatever line the training process is."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if "shared memory" in text or "Bus error" in text:
            raise UserError(
                "shared memory is full (/dev/shm), through which workers hand over batches: set data.workers=0, or "
                "give the container more (docker run --shm-size=2g); then resume"
            ) from error
        if "DataLoader worker" in text and ("killed by signal" in text or "exited unexpectedly" in text):
            raise UserError(
                f"a worker that prepares batches died ({text.strip()}): the system may have lacked memory; lower "
                "data.workers or data.cache_gib, then resume"
            ) from error
        raise
