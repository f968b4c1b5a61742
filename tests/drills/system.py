"""Runs whose machine lacks something: room on the disk for a while, shared memory, file handles, a folder that can be
written. Each says what is missing, and with it the same command goes on."""

import functools
import os
import random
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

from enhance.run import checkpoint
from enhance.run.checkpoint import BEST, LAST
from enhance.run.results import read_metrics
from tests.drills.mounts import mount_read_only, mount_small, skip_reason
from tests.drills.small_run import HOME, STEPS, TRAIN, Outcome, SmallRun, same, start, wait
from tests.drills.stops import undisturbed

_MOST_SECONDS = 60.0  # that a run may take; longer is a hang


def full_for_a_while(root: Path, work: Path, tries: int, rng: random.Random) -> Outcome:
    """`on_full_disk=go_on`: while no checkpoint fits, the run goes on and the last one stays whole; when there is room,
    it is written again, and the run ends as if nothing had been."""
    wanted, _ = undisturbed(root, work, "on_full_disk=go_on")
    outcome = Outcome("disk full for a while, on_full_disk=go_on", tries, 0, 0)
    for number in range(tries):
        run = SmallRun(root, work / f"full-{number}", "on_full_disk=go_on")
        child = run.start()
        run.await_step(child, 10)
        folder = run.folder()
        assert folder is not None
        size = (folder / LAST).stat().st_size
        resource.prlimit(child, resource.RLIMIT_FSIZE, (rng.randrange(size // 4, size), resource.RLIM_INFINITY))
        first = run.step()
        run.await_step(child, first + 10)  # two validations or three
        before = checkpoint.load(folder / LAST).step
        intact = checkpoint.load(folder / BEST).step > 0  # it is smaller, and may fit
        run.await_step(child, first + 15)
        stayed = checkpoint.load(folder / LAST).step == before
        resource.prlimit(child, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        ended = wait(child) == 0 and f"warning: {folder / LAST}: cannot be written" in run.log.read_text()
        measured = read_metrics(folder)[-1]["step"] == STEPS
        outcome.survived += ended and intact and stayed and measured and same(run, wanted)
        outcome.lost += not (intact and stayed)
    return outcome


def shared_memory(root: Path, work: Path, tries: int, rng: random.Random) -> Outcome:
    """/dev/shm too small for the workers' batches: the run ends and says the cure, which is then taken."""
    name = "/dev/shm full"
    if (skipped := skip_reason()) is not None:
        return Outcome(name, 0, 0, 0, skipped)
    wanted, _ = undisturbed(root, work)
    outcome = Outcome(name, tries, 0, 0)
    for number in range(tries):
        run = SmallRun(root, work / f"shm-{number}", "data.workers=2")
        run.stop_at(5)
        lack = functools.partial(mount_small, Path("/dev/shm"), rng.randrange(1, 10) * 4096)
        wrong = _not_refused(run, lack, "--shm-size", "data.workers")
        run.overrides.append("data.workers=0")
        outcome.count(not wrong and run.finish() == 0 and same(run, wanted), wrong or "did not go on as before")
    return outcome


def few_handles(root: Path, work: Path, tries: int, rng: random.Random) -> Outcome:
    """So few file handles that no image can be opened, or no worker started: no image is left out for that."""
    wanted, _ = undisturbed(root, work)
    outcome = Outcome("out of file handles at the start", tries, 0, 0)
    for number in range(tries):
        run = SmallRun(root, work / f"few-{number}", "data.workers=2", "data.on_error=skip")
        run.stop_at(5)
        few = rng.randrange(4, 12)  # three are standard input, output and errors
        lack = functools.partial(resource.setrlimit, resource.RLIMIT_NOFILE, (few, few))
        wrong = _not_refused(run, lack, "oo many open files")
        outcome.count(not wrong and run.finish() == 0 and same(run, wanted), wrong or "did not go on as before")
    return outcome


def _not_refused(run: SmallRun, lack: Callable[[], None], *words: str) -> str:
    """What is wrong, where the run does not end soon with exit code 2 and an error that holds `words`, its checkpoint
    not lost. A worker that outlives it for a moment may print after it."""
    folder = run.folder()
    assert folder is not None
    before, printed = checkpoint.load(folder / LAST).step, len(run.log.read_text())
    code = ended_by(run.start(lack), _MOST_SECONDS)
    lines = run.log.read_text()[printed:].splitlines()
    named = any(line.startswith("error: ") and all(word in line for word in words) for line in lines)
    if code == 2 and named and checkpoint.load(folder / LAST).step >= before:
        return ""
    return f"exit code {code} after {' / '.join(lines[-3:])}"


def ended_by(child: int, seconds: float) -> int:
    """The exit code of a process, which is killed where it takes longer."""
    began = time.monotonic()
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() - began > seconds:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.05)
    return wait(child)


def read_only(root: Path, work: Path, tries: int, rng: random.Random) -> Outcome:
    """Folders that cannot be written, not even by root: that of all runs, that of the run, and those of results."""
    name = "read-only folder"
    if (skipped := skip_reason()) is not None:
        return Outcome(name, 0, 0, 0, skipped)
    wanted, _ = undisturbed(root, work)
    outcome = Outcome(name, tries, 0, 0)
    photos = str(root / "our485" / "low")
    run = SmallRun(root, work / "locked")
    folder = run.stop_at(10)
    for number in range(tries):
        out = work / f"out-{number}"
        out.mkdir()
        result, device = out / "result", "--device=cpu"
        commands: list[tuple[Path, Path, list[str]]] = [
            (folder, TRAIN, run.overrides),
            (folder, TRAIN, [f"resume={folder}"]),
            (out, TRAIN, [*run.overrides, f"runs={result}"]),
            (folder, HOME / "evaluate.py", [f"checkpoint={folder}", "device=cpu"]),
            (out, HOME / "evaluate.py", [f"checkpoint={folder}", "device=cpu", f"out={result}"]),
            (out, HOME / "scripts" / "enhance_photos.py", [str(folder), photos, str(result), device]),
        ]
        locked, script, arguments = commands[number % len(commands)]
        before = {path: path.stat().st_mtime_ns for place in (folder, out) for path in place.rglob("*")}
        log = work / f"locked-{number}.txt"
        code = ended_by(start(script, arguments, log, functools.partial(mount_read_only, locked)), _MOST_SECONDS)
        message = log.read_text().splitlines()[-1]
        after = {path: path.stat().st_mtime_ns for place in (folder, out) for path in place.rglob("*")}
        named = str(locked) in message and "written" in message.replace("cannot write", "written")
        outcome.count(code == 2 and named and after == before, message)
    if run.finish() or not same(run, wanted):
        outcome.survived, outcome.lost, outcome.remark = 0, tries, "the run did not go on as before"
    return outcome
