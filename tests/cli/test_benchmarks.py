"""The benchmarks print their tables; what the times are is no matter of a test."""

from collections.abc import Callable

from tests.cli.conftest import Ended


def cells(out: str, name: str) -> list[str]:
    """The filled cells of the row of that name."""
    (line,) = [line for line in out.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("| ").split("|") if cell.strip()]


def test_a_step_of_the_unet(run_script: Callable[..., Ended]) -> None:
    ended = run_script("scripts/benchmark_step.py", "--rounds", "1", "--norms", "bn", "--compile")
    assert ended.code == 0, ended.err
    assert all(float(ratio) > 0 for ratio in cells(ended.out, "bn")[1:])
