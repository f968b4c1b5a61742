"""A training run of a few seconds, in a process of its own, for drills to disturb."""

import contextlib
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch._dynamo
from PIL import Image

import enhance.run.resume  # noqa: F401 -- like torch's own: what every fork would import for itself, in seconds
from enhance.run import checkpoint
from enhance.run.checkpoint import BEST, LAST, Checkpoint

HOME = Path(__file__).parents[2]
TRAIN = HOME / "train.py"
STEPS = 60
SMALL = (
    "data=lol_v1",
    "data.crop=16",
    "data.validation_share=0.25",
    "model.width=4",
    "model.depth=1",
    "model.exposure=false",  # a quarter of the time, and no drill is about it
    "batch_size=2",
    "validation.recalibrate_images=2",
)
_WORDS = (*SMALL, f"schedule.steps={STEPS}", "validation.every=5", "threads=1", "device=cpu")


@dataclass
class Outcome:
    """What one drill found."""

    fault: str
    tries: int
    survived: int
    lost: int  # runs that lost work which a checkpoint had held
    remark: str = ""

    def count(self, good: bool, otherwise: str = "") -> None:
        """Take in one try: survived, or lost and `otherwise` the remark."""
        self.survived += good
        self.lost += not good
        self.remark = self.remark if good else otherwise


def draw_scene(seed: int) -> np.ndarray:
    """A coarse random picture, uint8 (40, 56, 3): each seed is another scene."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((56, 40), Image.Resampling.BILINEAR))


def write_pairs(root: Path, count: int = 8) -> Path:
    """Pairs of random coarse pictures in LOL v1's layout, (40, 56) each; the folder."""
    for part in ("low", "high"):
        (root / "our485" / part).mkdir(parents=True)
    for seed in range(count):
        scene = draw_scene(seed)
        Image.fromarray(scene).save(root / "our485" / "high" / f"{seed}.png")
        Image.fromarray(scene // 5).save(root / "our485" / "low" / f"{seed}.png")
    return root


class SmallRun:
    """`python train.py ... resume=auto` on the pairs of `root`, again and again in one `runs` folder.

    Args:
        words: settings besides those of all drills.
    """

    def __init__(self, root: Path, runs: Path, *words: str) -> None:
        self.words = [*_WORDS, f"data.root={root}", f"runs={runs}", "resume=auto", *words]
        self.runs = runs
        self.log = runs.with_suffix(".log")
        runs.mkdir(parents=True, exist_ok=True)
        self.log.touch()

    def start(self, first: Callable[[], None] | None = None) -> int:
        """Its process id. The process is forked from this one, where torch is imported already.

        Args:
            first: what the process does to itself before it begins.
        """
        return start(TRAIN, self.words, self.log, first)

    def finish(self, first: Callable[[], None] | None = None) -> int:
        """Start it and wait for its end; the exit code."""
        return wait(self.start(first))

    def folder(self) -> Path | None:
        """The run folder, once it has a checkpoint."""
        found = sorted(self.runs.glob("*/checkpoints/last.pt"))
        return found[-1].parents[1] if found else None

    def await_step(self, child: int, step: int) -> None:
        """Return when the run has said that it is at `step` or later, or has ended."""
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            told = [line for line in self.log.read_text().splitlines() if line.startswith("step ")]
            if told and int(told[-1].split()[1].split("/")[0]) >= step:
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


def start(script: Path, words: Sequence[str], log: Path, first: Callable[[], None] | None = None) -> int:
    """Run a command in a process forked from this one; its id. What it prints is appended to `log`."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        with log.open("a") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.argv = [str(script), *words]
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
    return _equal(*([_state(kept) for kept in each.checkpoints()] for each in (run, other)))


def _state(kept: Checkpoint) -> object:
    trainer = {} if kept.trainer is None else {key: kept.trainer[key] for key in ("model", "optimizer", "best")}
    return [kept.step, kept.model, kept.running_statistics, trainer]


def _equal(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return one == other
