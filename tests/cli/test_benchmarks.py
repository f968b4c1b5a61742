"""The benchmarks print their tables; what the times are is no matter of a test."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ended


def cells(out: str, name: str) -> list[str]:
    """The filled cells of the row of that name."""
    (line,) = [line for line in out.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("| ").split("|") if cell.strip()]


def test_a_step_of_the_unet(run_script: Callable[..., Ended]) -> None:
    ended = run_script("benchmarks/benchmark_step.py", "--rounds", "1", "--norms", "bn", "--compile")
    assert ended.code == 0, ended.err
    assert all(float(ratio) > 0 for ratio in cells(ended.out, "bn")[1:])


def test_loading_beside_a_plain_data_set(run_script: Callable[..., Ended], pairs_root: Path) -> None:
    words = ("--rounds", "1", "--batches", "2", "--crop", "32", "--batch-size", "2", "--workers", "1")
    ended = run_script("benchmarks/compare_loading.py", pairs_root, *words)
    assert ended.code == 0, ended.err
    assert "8 pairs opened" in ended.out
    (ratio,) = [line.split()[3] for line in ended.out.splitlines() if line.startswith("ours / plain")]
    assert float(ratio.rstrip(",")) > 0


def test_a_profile_of_a_step(run_script: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("model.width=8", "model.depth=1", "data.crop=16", "batch_size=2", "norm=gn")
    ended = run_script("benchmarks/profile_step.py", *words)
    assert ended.code == 0, ended.err
    shares = [line.split()[-1] for line in ended.out.splitlines() if line.startswith("  ")]
    assert sum(float(share.rstrip("%")) for share in shares) == pytest.approx(200, abs=1.5)  # two tables
    assert "share of the limit: " in ended.out
    (trace,) = (tmp_path / "profiles").iterdir()
    assert trace.name.endswith("-gn-unet_tiny.pt.trace.json")
    assert not (tmp_path / "runs").exists()


def test_processes_beside_one(run_script: Callable[..., Ended]) -> None:
    words = ("model.width=8", "model.depth=1", "data.crop=32", "batch_size=2", "threads=1")
    ended = run_script("benchmarks/compare_processes.py", *words, "--rounds", "1")
    assert ended.code == 0, ended.err
    assert "2 processes: " in ended.out
    assert cells(ended.out, "1") == ["1", "2", "100%"]
    assert cells(ended.out, "512")[1] == "1024"
