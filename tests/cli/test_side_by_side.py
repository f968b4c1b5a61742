"""`scripts/side_by_side.py` on runs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from enhance.data.open import open_data
from enhance.evaluation.drawing import CELL, GAP
from enhance.run import checkpoint
from tests.processes import Ended

SCRIPT = "scripts/side_by_side.py"


def cell(sheet: np.ndarray, column: int, height: int) -> np.ndarray:
    left = GAP + column * (CELL + GAP)
    return sheet[:height, left : left + CELL]


def test_every_output_stands_between_input_and_target(
    run_script: Callable[..., Ended], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    runs = [make_run("one", "bn"), make_run("other", "gn")]
    kept = checkpoint.load(runs[0] / "checkpoints" / "best.pt")
    held_out = open_data(kept.settings.data).validation
    name = held_out.names[1]
    ended = run_script(SCRIPT, *runs, "--statistics", "--names", name, "--device", "cpu", "--out", tmp_path / "p.png")
    assert ended.code == 0, ended.err
    assert "1 images, 4 outputs each" in ended.out  # bn by three kinds of statistics, and gn
    sheet = np.asarray(Image.open(tmp_path / "p.png"))
    assert sheet.shape[1] == GAP + 6 * (CELL + GAP)
    low, target = held_out.whole(1)
    with torch.inference_mode():
        as_saved = checkpoint.load_model(kept, runs[0], torch.device("cpu"))(low[None])[0].clamp(0, 1)
    height = round(CELL * low.shape[1] / low.shape[2])
    for column, image in ((0, low), (2, as_saved), (5, target)):
        expected = Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy()).resize(
            (CELL, height), Image.Resampling.LANCZOS
        )
        assert np.abs(cell(sheet, column, height).astype(int) - np.asarray(expected)).max() <= 1
    assert (cell(sheet, 1, height) != cell(sheet, 3, height)).any()


def test_those_that_differ_most_come_first(
    run_script: Callable[..., Ended], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    ended = run_script(SCRIPT, make_run("one"), make_run("other", "in"), "--count", "2", "--out", tmp_path / "p.jpg")
    assert ended.code == 0, ended.err
    assert "2 images, 2 outputs each" in ended.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--out", "none/p.png"), "its folder is not there"),
        (("--out", "p.text"), "no format to write"),
        (("--out", "p.png", "--names", "nobody"), "--names nobody"),
        (("--out", "p.png", "--count", "0"), "--count 0"),
    ],
)
def test_mistakes_are_told(
    run_script: Callable[..., Ended],
    make_run: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    told: str,
) -> None:
    run = make_run()
    monkeypatch.chdir(tmp_path)
    ended = run_script(SCRIPT, run, *words)
    assert (ended.code, told in ended.err) == (2, True)
    assert not (tmp_path / "p.png").exists()
