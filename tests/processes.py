"""Processes of the project's code that start in a moment.

`python train.py` imports for seconds. On Linux a process of its own is forked, in place of that, from a server that has
imported everything once for all tests of a pytest process. That one itself cannot fork: after a training it hangs.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).parents[1]
METHOD = "forkserver" if sys.platform == "linux" else "spawn"
multiprocessing.set_forkserver_preload(["tests.preloaded"])  # for every `forkserver` of this process


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class Begun:
    """A script in a process of its own."""

    process: subprocess.Popen[bytes] | BaseProcess
    code: Callable[[], int | None]  # None while it runs; -N where signal N killed it
    out: Path
    err: Path

    def send(self, signal: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, signal)

    def kill(self) -> None:
        """Where it still runs."""
        if self.code() is None:
            self.process.kill()
            self.end()

    def await_line(self, beginning: str) -> None:
        """Return when it has printed a line that begins so, or has ended."""
        while self.code() is None and f"\n{beginning}" not in f"\n{self.out.read_text()}":
            time.sleep(0.01)

    def end(self) -> Ended:
        """Wait for it."""
        while (code := self.code()) is None:
            time.sleep(0.01)
        return Ended(code, self.out.read_text(), self.err.read_text())


def begin_python(script: str, arguments: Sequence[str], out: Path, err: Path) -> Begun:
    """`python SCRIPT ...` in the repository, as a user starts it."""
    with out.open("w") as of_out, err.open("w") as of_err:
        process = subprocess.Popen([sys.executable, script, *arguments], cwd=ROOT, stdout=of_out, stderr=of_err)
    return Begun(process, process.poll, out, err)


def begin_forked(script: str, arguments: Sequence[str], out: Path, err: Path) -> Begun:
    """The same, started in a moment."""
    out.touch()
    err.touch()
    process = multiprocessing.get_context(METHOD).Process(target=_run, args=(script, arguments, out, err))
    process.start()
    return Begun(process, lambda: process.exitcode, out, err)


def _run(script: str, arguments: Sequence[str], out: Path, err: Path) -> None:
    for number, file in ((1, out), (2, err)):
        with file.open("w") as opened:
            os.dup2(opened.fileno(), number)
    os.chdir(ROOT)
    sys.argv = [script, *arguments]
    runpy.run_path(str(ROOT / script), run_name="__main__")
