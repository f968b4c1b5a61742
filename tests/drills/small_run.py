"""A training run of a few seconds, in a process of its own, for drills to disturb."""

import contextlib
import gc
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch._dynamo  # this and the next: what every fork would import for itself, in seconds

import enhance.studies.sweep  # noqa: F401 -- all of train.py
from enhance.run import checkpoint
from enhance.run.checkpoint import BEST, LAST, Checkpoint
from tests.small_data import SMALL

HOME = Path(__file__).parents[2]
TRAIN = HOME / "train.py"
STEPS = 60
gc.freeze()  # what is imported is no garbage: no fork looks through it, and all share its memory
_OVERRIDES = (*SMALL, f"schedule.steps={STEPS}", "validation.every=5", "threads=1", "device=cpu")


@dataclass
class Outcome:
    """The result of one drill."""

    fault: str
    tries: int
    survived: int
    lost: int  # runs that lost work which a checkpoint had held
    remark: str = ""

    def count(self, good: bool, otherwise: str = "") -> None:
        """Count one try: survived, or lost, with `otherwise` for the remark."""
        self.survived += good
        self.lost += not good
        self.remark = self.remark if good else otherwise


class SmallRun:
    """`python train.py ... resume=auto` on the pairs of `root`, again and again in one `runs` folder.

    Args:
        overrides: settings besides those of all drills.
    """

    def __init__(self, root: Path, runs: Path, *overrides: str) -> None:
        self.overrides = [*_OVERRIDES, f"data.root={root}", f"runs={runs}", "resume=auto", *overrides]
        self.runs = runs
        self.log = runs.with_suffix(".log")
        runs.mkdir(parents=True, exist_ok=True)
        self.log.touch()

    def start(self, first: Callable[[], None] | None = None) -> int:
        """Its process id. The process is forked from this one, where torch is imported already.

        Args:
            first: what the process does to itself before it begins.
        """
        return start(TRAIN, self.overrides, self.log, first)

    def finish(self, first: Callable[[], None] | None = None) -> int:
        """Start it and wait for its end; the exit code."""
        return wait(self.start(first))

    def folder(self) -> Path | None:
        """The run folder, once it has a checkpoint."""
        files = sorted(self.runs.glob("*/checkpoints/last.pt"))
        return files[-1].parents[1] if files else None

    def step(self) -> int:
        """The last one that it has printed; -1 before."""
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("step ")]
        return int(lines[-1].split()[1].split("/")[0]) if lines else -1

    def await_step(self, child: int, step: int) -> None:
        """Return when the run has printed that it is at `step` or later, or has ended."""
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if self.step() >= step:
                return
            time.sleep(0.01)

    def stop_at(self, step: int) -> Path:
        """Run until `step` and stop it with SIGTERM; its folder."""
        child = self.start()
        self.await_step(child, step)
        os.kill(child, signal.SIGTERM)
        wait(child)
        folder = self.folder()
        assert folder is not None
        return folder

    def checkpoints(self) -> tuple[Checkpoint, Checkpoint]:
        """last and best."""
        folder = self.folder()
        assert folder is not None
        return checkpoint.load(folder / LAST), checkpoint.load(folder / BEST)


def start(script: Path, arguments: Sequence[str], log: Path, first: Callable[[], None] | None = None) -> int:
    """Run a command in a process forked from this one; its id. What it prints is appended to `log`."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        with log.open("a") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.argv = [str(script), *arguments]
        if first is not None:
            first()
        with contextlib.suppress(KeyboardInterrupt):
            runpy.run_path(str(script), run_name="__main__")
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):  # the drill may have left no room for it
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def wait(child: int) -> int:
    """The exit code of a process; -N where signal N killed it."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def same(run: SmallRun, other: SmallRun) -> bool:
    """Whether two complete runs hold the same weights, statistics and optimizer state, bit for bit."""
    return all(map(same_checkpoint, run.checkpoints(), other.checkpoints()))


def same_checkpoint(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether two checkpoints hold the same weights, statistics and optimizer state, bit for bit."""
    return _equal(_state(one), _state(other))


def _state(saved: Checkpoint) -> object:
    trainer = {} if saved.trainer is None else {key: saved.trainer[key] for key in ("model", "optimizer", "best")}
    return [saved.step, saved.model, saved.running_statistics, trainer]


def _equal(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return one == other
