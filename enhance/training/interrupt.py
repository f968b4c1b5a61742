"""Ctrl-C and SIGTERM end a run after the step, not within it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_on_signal() -> Iterator[list[int]]:
    """Within, Ctrl-C and SIGTERM are put on the list, for the loop to end after the step; a second one kills."""
    received: list[int] = []

    def note(number: int, _: Any) -> None:
        received.append(number)
        for each, handler in before.items():
            signal.signal(each, handler)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
