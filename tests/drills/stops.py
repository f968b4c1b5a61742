"""Runs that are killed, stopped by a signal, or find their last checkpoint damaged: each goes on and ends in the
weights of an undisturbed run, bit for bit."""

import os
import random
import signal
import time
from pathlib import Path

from enhance.errors import CheckpointError
from enhance.run import checkpoint
from enhance.run.checkpoint import BEST, LAST
from tests.drills.small_run import STEPS, Outcome, SmallRun, same, same_checkpoint, wait

_MOST_SECONDS = 10.0  # from a signal to the end of the process


def undisturbed(root: Path, work: Path, *overrides: str) -> tuple[SmallRun, float]:
    """A complete run, and the seconds that it took."""
    run = SmallRun(root, work / "undisturbed", *overrides)
    began = time.monotonic()
    code = run.finish()
    if code:
        raise RuntimeError(f"the undisturbed run ended with {code}: {run.log}")
    return run, time.monotonic() - began


def kills(root: Path, work: Path, tries: int, rng: random.Random) -> Outcome:
    """`kill -9` at random moments, then the same command again; a run that is complete gives way to a new one."""
    wanted, seconds = undisturbed(root, work)
    outcome = Outcome("kill -9 at a random moment", tries, 0, 0)
    number, killed = 0, 0
    while killed < tries:
        run = SmallRun(root, work / f"killed-{number}")
        number += 1
        intact, step, of_run = True, -1, 0
        while True:
            child = run.start()
            if killed < tries:
                time.sleep(rng.uniform(0, seconds))
                os.kill(child, signal.SIGKILL)
            code = wait(child)
            if code != -signal.SIGKILL:
                break
            killed += 1
            of_run += 1
            readable, now = _readable(run)
            intact = intact and readable and now >= step
            step = now
        good = code == 0 and intact and same(run, wanted)
        outcome.survived += of_run * good
        outcome.lost += of_run * (not good)
    outcome.remark = f"{number} runs of {STEPS} steps"
    return outcome


def signals(root: Path, work: Path, tries: int, rng: random.Random) -> Outcome:
    """Ctrl-C, SIGTERM and SIGUSR1 at random moments after the start."""
    wanted, seconds = undisturbed(root, work)
    outcome, slowest, codes = Outcome("SIGINT, SIGTERM, SIGUSR1", tries, 0, 0), 0.0, set()
    for number in range(tries):
        sent = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)[number % 3]
        run = SmallRun(root, work / f"stopped-{number}")
        child = run.start()
        run.await_step(child, 1)
        time.sleep(rng.uniform(0, seconds / 2))
        os.kill(child, sent)
        began = time.monotonic()
        code = wait(child)
        slowest = max(slowest, time.monotonic() - began)
        expected = code in (0, 130 if sent == signal.SIGINT else 143)  # 0: it was complete already
        codes.add(code)
        good = expected and _readable(run)[1] >= 1 and run.finish() == 0 and same(run, wanted)
        outcome.count(good)
    outcome.survived = outcome.survived if slowest <= _MOST_SECONDS else 0
    outcome.remark = f"saved and ended within {slowest:.1f} s, exit codes {', '.join(map(str, sorted(codes)))}"
    return outcome


def damaged_checkpoints(root: Path, work: Path, tries: int, rng: random.Random) -> Outcome:
    """A flipped bit in last.pt, or its end cut off: it is named, and the run goes on from the one before. A bit that
    zip files do not use changes nothing, and needs no name."""
    wanted, _ = undisturbed(root, work)
    outcome = Outcome("last.pt damaged (bit flip, cut off)", tries, 0, 0)
    for number in range(tries):
        run = SmallRun(root, work / f"damaged-{number}")
        folder = run.stop_at(20)
        whole = checkpoint.load(folder / LAST)
        content = bytearray((folder / LAST).read_bytes())
        place = rng.randrange(len(content))
        if number % 2:
            content = content[:place]
        else:
            content[place] ^= 1 << rng.randrange(8)
        (folder / LAST).write_bytes(content)
        try:
            harmless = same_checkpoint(checkpoint.load(folder / LAST), whole)
        except CheckpointError:
            harmless = False
        complete = run.finish() == 0
        named = f"{folder / LAST}: " in run.log.read_text()
        good = complete and named != harmless and same(run, wanted)
        outcome.count(good)
    return outcome


def _readable(run: SmallRun) -> tuple[bool, int]:
    """Whether the checkpoints that are there can be read, and the step of the last; -1 where there is none."""
    folder = run.folder()
    if folder is None:
        return True, -1
    try:
        if (folder / BEST).exists():
            checkpoint.load(folder / BEST)
        return True, checkpoint.load(folder / LAST).step
    except CheckpointError:
        return False, -1
