"""Signals end a run after the step; a second Ctrl-C ends it at once."""

import os
import signal

import pytest

from enhance.run.interrupt import Interrupted, stop_on_signal

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_noted_and_handlers_come_back(number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    with stop_on_signal() as stopped:
        assert not stopped
        os.kill(os.getpid(), number)
        assert stopped
        assert stopped.exit_code == code
    assert signal.getsignal(number) == before


@posix
def test_a_second_ctrl_c_interrupts() -> None:
    with stop_on_signal():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@posix
def test_long_work_is_broken_off() -> None:
    with stop_on_signal() as stopped:
        stopped.check()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted):
            stopped.check()
