"""The progress on the screen: some lines of a run without a terminal, one bar on it, and no end by a closed screen."""

import os
import sys
from contextlib import suppress

import pytest

from enhance.run.progress import Progress, print_line


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_without_a_bar_a_run_prints_some_forty_lines(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(0, 1000, bar=False)
    for step in range(1, 1001):
        progress.show(step, 0.5, 1e-3, 100, 0.25)
    progress.close()
    shown = lines(capsys)
    assert len(shown) == 40
    assert shown[0] == "step 25/1000: loss 0.5000, lr 1.0e-03, 100 images/s, data 25.0%, 00:00 left"
    assert shown[-1].startswith("step 1000/1000: ")


@pytest.mark.parametrize(("start", "total", "shown"), [(0, 3, [1, 2, 3]), (98, 101, [100, 101]), (5, 5, [])])
def test_short_runs_and_those_that_go_on_show_their_last_step(
    capsys: pytest.CaptureFixture[str], start: int, total: int, shown: list[int]
) -> None:
    progress = Progress(start, total, bar=False)
    for step in range(start + 1, total + 1):
        progress.show(step, 0.5, 1e-3, 100, 0)
    assert [line.split(":")[0] for line in lines(capsys)] == [f"step {step}/{total}" for step in shown]


def test_the_time_left_is_that_of_this_process(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(500, 1000, bar=False)
    progress.began -= 60  # seconds for the next 100 steps
    progress.show(600, 0.5, 1e-3, 100, 0)
    assert lines(capsys)[0].endswith(", 04:00 left")


def test_the_scores_of_a_validation_are_shown_from_then_on(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(0, 2, bar=False)
    progress.show(1, 0.5, 1e-3, 100, 0)
    progress.validated("validation: 20.5 dB", 20.5, 21.25)
    progress.show(2, 0.5, 1e-3, 100, 0)
    first, second, third = lines(capsys)
    assert "PSNR" not in first
    assert second == "validation: 20.5 dB"
    assert "PSNR 20.50 (best 21.25), 00:00 left" in third


def test_a_bar_shows_the_step_and_the_facts(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(10, 20, bar=True)
    progress.show(15, 0.5, 1e-3, 100, 0)
    progress.validated("validation: 20.5 dB", 20.5, 21.25)
    progress.show(20, 0.25, 1e-3, 100, 0)
    progress.close()
    captured = capsys.readouterr()
    assert captured.out == "validation: 20.5 dB\n"
    assert "20/20" in captured.err
    assert "loss 0.2500" in captured.err


def test_a_screen_that_went_away_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with suppress(OSError), os.fdopen(writer, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        print_line("a line")
        with pytest.raises(BrokenPipeError):
            closed.flush()
