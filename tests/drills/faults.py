"""Runs whose disk is full, whose loss is not finite, whose folder is taken, or whose files and workers go away."""

import os
import random
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from enhance.run import checkpoint, record
from enhance.run.checkpoint import LAST
from enhance.training import learner
from enhance.training.loss import Loss
from tests.drills.small_run import STEPS, Outcome, SmallRun, same, wait
from tests.drills.stops import undisturbed


def full_disk(root: Path, work: Path, tries: int, rng: random.Random) -> Outcome:
    """Files cannot grow beyond a random size, or cannot be opened: the run ends and says so, the checkpoint of before
    is intact, and with room the run goes on."""
    wanted, _ = undisturbed(root, work)
    outcome = Outcome("disk full, out of file handles", tries, 0, 0)
    for number in range(tries):
        run = SmallRun(root, work / f"full-{number}")
        folder = run.stop_at(10)
        before = checkpoint.load(folder / LAST).step
        handles = number % 3 == 2
        size = rng.randrange((folder / LAST).stat().st_size)

        def limit(handles: bool = handles, size: int = size) -> None:
            if handles:
                record.save = lambda *args: with_no_handles(lambda: checkpoint.save(*args))  # type: ignore[attr-defined]
            else:
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

        code = run.finish(limit)
        named = "cannot be written" in run.log.read_text()
        intact = checkpoint.load(folder / LAST).step >= before
        good = code == 2 and named and intact and run.finish() == 0 and same(run, wanted)
        outcome.survived += good
        outcome.lost += not intact
    return outcome


def with_no_handles(save: Callable[[], None]) -> None:
    """Call `save` while no file can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        save()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def not_finite(root: Path, work: Path, tries: int, rng: random.Random) -> Outcome:
    """Some losses are NaN or infinite: their steps are skipped and their images named, and the weights stay finite."""
    outcome = Outcome("losses that are not finite", tries, 0, 0)
    for number in range(tries):
        run = SmallRun(root, work / f"nan-{number}")
        every, value = rng.randrange(2, 9), (float("nan"), float("inf"))[number % 2]

        def spoil(every: int = every, value: float = value) -> None:
            true_loss = learner.training_loss

            def spoiled(*args: object) -> Loss:
                loss, count = true_loss(*args), [0]  # type: ignore[arg-type]

                def of_batch(low: Tensor, normal: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
                    count[0] += 1
                    result, parts = loss(low, normal)
                    return (result * value if count[0] % every == 0 else result), parts

                return of_batch

            learner.training_loss = spoiled  # type: ignore[assignment]

        code = run.finish(spoil)
        named = run.log.read_text().count(" skipped: its gradient is not finite. Its images: ")
        finite = all(value.isfinite().all() for saved in run.checkpoints() for value in saved.model.values())
        good = code == 0 and named == STEPS // every and finite
        outcome.count(good)
    return outcome


def second_run(root: Path, work: Path, tries: int, rng: random.Random) -> Outcome:
    """A second process on one run folder is refused, the first goes on, and its death frees the folder."""
    wanted, _ = undisturbed(root, work)
    outcome = Outcome("two processes, one run folder", tries, 0, 0)
    for number in range(tries):
        run = SmallRun(root, work / f"twice-{number}")
        run.stop_at(5)
        first = run.start()
        run.await_step(first, 10)
        os.kill(first, signal.SIGSTOP)  # so that it cannot have ended
        refused = run.finish() == 2 and "another process is training in it" in run.log.read_text()
        os.kill(first, signal.SIGCONT)
        if number % 2:
            os.kill(first, signal.SIGKILL)
        wait(first)
        good = refused and run.finish() == 0 and same(run, wanted)
        outcome.count(good)
    return outcome


def vanished(root: Path, work: Path, tries: int, rng: random.Random) -> Outcome:
    """A training image goes away while the run goes on, or a worker is killed: the run names it, and with it back goes
    on."""
    overrides = ("data.cache_gib=0", "data.workers=1")
    wanted, _ = undisturbed(root, work, *overrides)
    outcome = Outcome("image gone, worker killed", tries, 0, 0)
    for number in range(tries):
        run = SmallRun(root, work / f"gone-{number}", *overrides)
        child = run.start()
        run.await_step(child, 5 + rng.randrange(10))
        image = root / "our485" / "low" / f"{rng.randrange(8)}.png"
        if number % 2:
            os.kill(_children(child)[0], signal.SIGKILL)
            name = "worker"
        else:
            image.rename(image.with_suffix(".away"))
            name = str(image)
        code = wait(child)
        if not number % 2:
            image.with_suffix(".away").rename(image)
        complete = code == 0  # its last batch was read already
        named = complete or (code == 2 and name in run.log.read_text().splitlines()[-1])
        good = named and run.finish() == 0 and same(run, wanted)
        outcome.count(good)
    return outcome


def _children(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task/{process}/children")
    while not (children := tasks.read_text().split()):
        time.sleep(0.01)
    return [int(each) for each in children]
