"""`python -m tests.drills`, each drill a few times. In a process of its own: it forks, which tests that trained before
would disturb."""

import subprocess
import sys

import pytest

from tests.processes import ROOT


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the drills fork, and look into /proc")
@pytest.mark.parametrize(
    ("drills", "tries"),
    [
        (("kills", "signals", "disk"), 4),
        (("checkpoints", "loss", "twice"), 2),
        (("gone", "handles"), 2),
        (("full_then_room", "shared_memory"), 1),
        (("read_only",), 6),
        (("hostile_settings", "hostile_archives"), 5),
        (("hostile_checkpoints",), 15),
        (("page",), 60),
    ],
)
def test_all_survive(drills: tuple[str, ...], tries: int) -> None:
    command = [sys.executable, "-m", "tests.drills", *drills, "--tries", str(tries)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = ended.stdout.splitlines()[1:]
    assert len(lines) == len(drills)
    skipped = [line for line in lines if "skipped: " in line]
    for line in lines:
        if line not in skipped:
            fault = line[:42].split()
            assert line.split()[len(fault) : len(fault) + 3] == [str(tries), str(tries), "0"]
    if skipped:
        pytest.skip("; ".join(skipped))
