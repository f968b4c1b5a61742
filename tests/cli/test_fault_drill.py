"""`scripts/fault_drill.py`, each drill a few times. In a process of its own: it forks, which tests that trained before
would disturb."""

import subprocess
import sys

import pytest

from tests.cli.conftest import ROOT


@pytest.mark.slow
@pytest.mark.parametrize(
    ("drill", "tries"),
    [
        ("kills", 4),
        ("signals", 3),
        ("checkpoints", 2),
        ("disk", 3),
        ("loss", 2),
        ("twice", 2),
        ("gone", 2),
        ("full_then_room", 1),
        ("shared_memory", 1),
        ("handles", 2),
        ("read_only", 6),
        ("hostile_checkpoints", 15),
        ("hostile_settings", 4),
        ("hostile_archives", 5),
        ("page", 60),
    ],
)
def test_all_survive(drill: str, tries: int) -> None:
    command = [sys.executable, "scripts/fault_drill.py", drill, "--tries", str(tries)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (line,) = ended.stdout.splitlines()[1:]
    if "skipped: " in line:
        pytest.skip(line[line.index("skipped: ") :])
    fault = line[:42].split()
    assert line.split()[len(fault) : len(fault) + 3] == [str(tries), str(tries), "0"]
