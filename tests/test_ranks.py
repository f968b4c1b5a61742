"""The ranks of a run: they decide, share and gather together; each ends well, or says why the run cannot go on."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from enhance import ranks
from enhance.errors import DataError, UserError
from tests.norm.ranks import on_two_ranks

ROOT = Path(__file__).parents[1]
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="gloo's rendezvous of Linux")


def test_without_torchrun_there_is_one_rank() -> None:
    values = torch.tensor([1.0, 2.0])
    with ranks.process_group():
        assert (ranks.world_size(), ranks.rank(), ranks.is_rank_zero()) == (1, 0, True)
        assert not distributed.is_initialized()
        assert ranks.from_rank_zero(lambda: "decided") == "decided"
        assert ranks.all_max(-3) == -3
        assert torch.equal(ranks.all_sum(values), torch.tensor([1.0, 2.0]))
        ranks.broadcast([values])
        assert torch.equal(values, torch.tensor([1.0, 2.0]))
        assert ranks.all_gather(ranks.local_share([3, 1, 2])) == [3, 1, 2]


def test_tasks_of_srun_are_told_that_each_is_a_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    for number in ("0", "1"):
        monkeypatch.setenv("SLURM_PROCID", number)
        with ranks.process_group():
            pass
    assert capsys.readouterr().err == (
        "warning: srun started 4 tasks, and each trains a run of its own; "
        "for one run of 4 processes start torchrun --nproc-per-node=4 train.py in one task\n"
    )


def told(decide: Callable[[], object]) -> str:
    """The user error of a decision."""
    try:
        ranks.from_rank_zero(decide)
    except UserError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def together(rank: int) -> dict[str, Any]:
    """What a rank has of everything that ranks do together."""

    def refuse() -> None:
        raise DataError(f"no images for {rank}")

    own, given = torch.tensor([rank + 1.0, 10.0]), [torch.full((2,), float(rank)), torch.tensor(rank)]
    summed = ranks.all_sum(own)
    ranks.broadcast(given)
    return {
        "number": [ranks.rank(), ranks.world_size(), ranks.is_rank_zero()],
        "decided": ranks.from_rank_zero(lambda: {"rank": rank}),
        "refused": told(refuse),
        "largest": ranks.all_max(-3 * rank),
        "sum": summed,
        "own": own,
        "given": given,
        "shares": [ranks.local_share(list(range(count))) for count in (5, 1, 0)],
        "gathered": [ranks.all_gather(ranks.local_share(list(range(count)))) for count in (5, 1, 0)],
    }


def test_two_ranks_work_together(tmp_path: Path) -> None:
    first, second = on_two_ranks(together, tmp_path)
    assert (first.pop("number"), second.pop("number")) == ([0, 2, True], [1, 2, False])
    assert (first.pop("shares"), second.pop("shares")) == ([[0, 2, 4], [0], []], [[1, 3], [], []])
    for rank, seen in enumerate((first, second)):
        assert seen.pop("sum").tolist() == [3.0, 20.0]
        assert seen.pop("own").tolist() == [rank + 1.0, 10.0]  # as before
        assert [each.tolist() for each in seen.pop("given")] == [[0.0, 0.0], 0]
        assert seen == {
            "decided": {"rank": 0},
            "refused": "DataError: no images for 0",
            "largest": 0,
            "gathered": [[0, 1, 2, 3, 4], [0], []],  # in their order
        }


def torchrun_variables(rank: int, world_size: int) -> dict[str, str]:
    """What torchrun tells a process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {
        "TORCHELASTIC_RUN_ID": "none",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world_size),
    }


@pytest.fixture
def torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it had started this process, alone."""
    for name, value in torchrun_variables(0, 1).items():
        monkeypatch.setenv(name, value)


@on_linux
@pytest.mark.usefixtures("torchrun")
@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (None, None),
        (DataError("no images here"), "DataError: no images here"),
        (RuntimeError("a shape is wrong"), "RuntimeError: a shape is wrong"),  # a fault of ours keeps its traceback
        (
            RuntimeError("[transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]\nmore of it"),
            "UserError: another process of this run ended, and this one with it: the other may say why. Last error: "
            "'[transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]'; resume=RUN goes on",
        ),
    ],
)
def test_the_group_ends_with_its_block(error: Exception | None, ending: str | None) -> None:
    assert ranks.started_by_torchrun()
    seen = None
    try:
        with ranks.process_group():
            assert distributed.is_initialized()
            assert ranks.world_size() == 1
            if error is not None:
                raise error
    except Exception as raised:
        seen = f"{type(raised).__name__}: {raised}"
    assert seen == ending
    assert not distributed.is_initialized()


SCRIPT = """
import sys
from enhance import ranks
from enhance.errors import DataError, exit_on_user_error

with exit_on_user_error(), ranks.process_group():
    print(f"rank {ranks.rank()} of {ranks.world_size()}")
    if ranks.all_max(ranks.rank()) == 1 and not ranks.is_rank_zero():
        raise DataError("no images here")
    ranks.all_max(0)  # waits for the other one
"""


@on_linux
def test_one_rank_speaks_and_both_say_why_they_end() -> None:
    variables = torchrun_variables(0, 2)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            cwd=ROOT,
            env=os.environ | variables | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        (first, of_first), (second, of_second) = (process.communicate(timeout=100) for process in processes)
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [2, 2]
    assert (first, second) == ("rank 0 of 2\n", "")
    assert of_first.splitlines()[-1].startswith("error: another process of this run ended, and this one with it: ")
    assert of_second.splitlines()[-1] == "error: process 1 of 2: no images here"
