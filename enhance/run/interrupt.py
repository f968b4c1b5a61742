"""Ctrl-C, SIGTERM, SIGUSR1 (Slurm's warning of the time limit) and SIGHUP (its terminal was closed) end a run after the
step, not within it."""

import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from enhance import ranks
from enhance.data.batches import STOP_SIGNALS

_SIGHUP = getattr(signal, "SIGHUP", None)


class Interrupted(Exception):
    """Long work was given up, for a signal has come."""


class Interruption:
    """True once a signal has come, for the loop to end after the step."""

    def __init__(self) -> None:
        self._received: int | None = None

    def __bool__(self) -> bool:
        return self._received is not None

    def on_any_rank(self) -> bool:
        """Whether a signal has come to this process or to another one of the run. All ask at the same step, so that all
        stop at it."""
        if number := ranks.all_max(self._received or 0):
            self._received = number
        return bool(self)

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, else 143, as a process that SIGTERM ended has it."""
        return 128 + (signal.SIGINT if self._received == signal.SIGINT else signal.SIGTERM)

    def check(self) -> None:
        """Raise `Interrupted` once a signal has come: for work that takes long, between its parts. The handler itself
        raises nothing, for it would do so between any two instructions, and leave a network half changed."""
        if self:
            raise Interrupted

    def note(self, number: int, _: Any) -> None:
        """Take a signal in, as its handler. A second Ctrl-C kills; a cluster that repeats itself does no harm."""
        if number == _SIGHUP:
            _leave_terminal()
        if not self:
            self._received = number
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def stop_on_signal() -> Iterator[Interruption]:
    """Within, the signals are noted; afterwards their handlers are again what they were. `nohup` stays what it is."""
    interruption = Interruption()
    stopping = [number for number in STOP_SIGNALS if number != _SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, interruption.note) for number in stopping}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave_terminal() -> None:
    """What is printed to a terminal that is gone would be an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):
        if stat.S_ISCHR(os.fstat(output).st_mode):  # isatty() says no once it is gone
            os.dup2(nowhere, output)
    os.close(nowhere)
