"""`torchrun train.py`: several processes are one run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from enhance.run import checkpoint
from enhance.run.checkpoint import LAST
from tests.cli.test_train import TINY
from tests.processes import ROOT, Ended
from tests.small_data import write_pairs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="gloo's rendezvous, signals and /proc of Linux")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
_SECONDS = 120  # a process that waits in vain ends the test


@pytest.fixture(scope="module")
def of_all_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Settings of a run with three validation images, which two processes cannot share out evenly."""
    tiny = tuple(word for word in TINY if not word.startswith("data.validation_share"))
    root = tmp_path_factory.mktemp("pairs")
    write_pairs(root / "our485", range(8))
    return (
        "data=lol_v1",
        f"data.root={root}",
        "batch_size=4",
        "norm=sync_bn",
        "schedule.steps=12",
        "validation.every=4",
        "data.validation_share=0.375",
        "precision=fp32",
        "threads=1",
        *tiny,
    )


@pytest.fixture
def words(of_all_runs: tuple[str, ...], tmp_path: Path) -> tuple[str, ...]:
    return (*of_all_runs, f"runs={tmp_path / 'runs'}")


def start(*words: str, options: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    command = [*TORCHRUN, *options, "train.py", *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(process: subprocess.Popen[str], seen: str = "") -> Ended:
    out, _ = process.communicate(timeout=_SECONDS)
    return Ended(process.returncode, seen + out, "")


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What the process prints up to the line that has `text`."""
    seen = ""
    end = time.monotonic() + _SECONDS
    assert process.stdout is not None
    while text not in seen:
        assert time.monotonic() < end
        line = process.stdout.readline()
        assert line, seen
        seen += line
    return seen


def only_run(runs: Path) -> Path:
    (folder,) = runs.iterdir()
    return folder


def metrics(run: Path, key: str) -> list[float]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line[key] for line in lines if key in line]


def weights(run: Path) -> list[torch.Tensor]:
    return list(checkpoint.load(run / LAST).model.values())


@pytest.fixture(scope="module")
def undisturbed(of_all_runs: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes, and its folder."""
    runs = tmp_path_factory.mktemp("undisturbed")
    run = ended(start(*of_all_runs, f"runs={runs}"))
    assert run.code == 0, run.out
    assert run.out.count("validation at step 12: ") == 1  # one process speaks
    assert "on 3 whole images" in run.out
    return only_run(runs)


def test_two_processes_are_one_run_and_go_on_after_a_signal(
    words: tuple[str, ...], tmp_path: Path, undisturbed: Path, run_script: Callable[..., Ended]
) -> None:
    alone = run_script("train.py", *words, f"runs={tmp_path / 'alone'}")
    assert alone.code == 0, alone.err
    one, two = metrics(only_run(tmp_path / "alone"), "train/loss"), metrics(undisturbed, "train/loss")
    assert two == pytest.approx(one, rel=1e-3)  # of steps 4, 8 and 12
    psnr = metrics(only_run(tmp_path / "alone"), "validation/psnr")
    assert metrics(undisturbed, "validation/psnr") == pytest.approx(psnr, abs=0.02)

    process = start(*words)
    seen = read_until(process, "validation at step 4")
    process.send_signal(signal.SIGTERM)
    stopped = ended(process, seen)
    assert stopped.out.count("stopped at step ") == 1
    run = only_run(tmp_path / "runs")
    assert 4 <= checkpoint.load(run / LAST).step < 12
    resumed = ended(start(f"resume={run}"))
    assert resumed.code == 0, resumed.out
    assert all(torch.equal(*pair) for pair in zip(weights(run), weights(undisturbed), strict=True))


def test_a_killed_process_ends_the_others_and_torchrun_starts_them_again(
    words: tuple[str, ...], tmp_path: Path, undisturbed: Path
) -> None:
    process = start(*words, "resume=auto", options=("--max-restarts=1",))
    seen = read_until(process, "validation at step 4")
    os.kill(second_process(process.pid), signal.SIGKILL)
    again = ended(process, seen)
    assert again.code == 0, again.out
    assert "error: another process of this run ended" in again.out
    run = only_run(tmp_path / "runs")
    assert all(torch.equal(*pair) for pair in zip(weights(run), weights(undisturbed), strict=True))


def second_process(torchrun: int) -> int:
    """The process of rank 1."""
    for child in map(int, Path(f"/proc/{torchrun}/task/{torchrun}/children").read_text().split()):
        if b"\0RANK=1\0" in Path(f"/proc/{child}/environ").read_bytes():
            return child
    raise AssertionError("no second process")


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("batch_size=3", "batch_size=3 is shared out by 2 processes: choose a multiple of it"),
        ("-m", "torchrun and -m do not go together"),
    ],
)
def test_what_processes_cannot_share_is_told(word: str, told: str, words: tuple[str, ...], tmp_path: Path) -> None:
    run = ended(start(*words, word))
    assert run.code != 0
    assert told in run.out
    assert not list(tmp_path.glob("runs/**/config.yaml"))
