"""`scripts/side_by_side.py` on folders of photographs."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = "scripts/side_by_side.py"


def test_rows_of_before_and_after(run_script, tmp_path: Path) -> None:
    for folder, value in (("dark", 10), ("bright", 200)):
        (tmp_path / folder).mkdir()
        for name in ("a.png", "b.png"):
            Image.new("RGB", (40, 30), (value, value, value)).save(tmp_path / folder / name)
    words = (tmp_path / "dark", tmp_path / "bright", "--out", tmp_path / "sheet.png", "--width", "20")
    assert run_script(SCRIPT, *words).code == 0
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (15 + 8 + 15, 20 + 8 + 20, 3)
    assert (sheet[:15, :20] == 10).all()
    assert (sheet[-15:, -20:] == 200).all()
    assert (sheet[15:23] == 255).all()


def test_missing_photograph_is_named(run_script, tmp_path: Path) -> None:
    words = (tmp_path, tmp_path, "--out", tmp_path / "sheet.png", "--names", "none.png")
    ended = run_script(SCRIPT, *words)
    assert (ended.code, "none.png" in ended.err) == (2, True)
    assert not (tmp_path / "sheet.png").exists()


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for folder in ("dark", "bright"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (3000, 30)).save(tmp_path / folder / "a.png")
        Image.new("RGB", (1, 3000)).save(tmp_path / folder / "tall.png")
    return tmp_path / "dark", tmp_path / "bright"


@pytest.mark.parametrize(
    ("out", "width", "message"),
    [
        ("none/sheet.png", "20", "not there"),
        ("sheet.png", "0", "--width 0"),
        ("sheet.png", "100000000", "--width 100000000"),
        ("dark/a.png", "20", "in a folder of the photographs"),
        ("bright/../dark/a.png", "20", "in a folder of the photographs"),
        ("dark/tall.png", "20", "in a folder of the photographs"),
        ("bright/tall.png", "20", "in a folder of the photographs"),
        ("bright", "20", "a folder"),
        ("sheet.webp", "9000", "18008x90 px cannot be written"),
        pytest.param(
            "/proc/sheet.png",
            "20",
            "cannot be written",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="a folder that nobody can write"),
        ),
    ],
)
def test_mistakes_end_with_a_message(run_script, folders, tmp_path: Path, out: str, width: str, message: str) -> None:
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    ended = run_script(SCRIPT, *folders, "--out", tmp_path / out, "--width", width, "--names", "a.png")
    assert (ended.code, message in ended.err) == (2, True), ended.err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_a_photograph_behind_a_link_is_not_written_over(run_script, folders, tmp_path: Path) -> None:
    original = tmp_path / "original.png"
    (folders[0] / "a.png").rename(original)
    (folders[0] / "a.png").symlink_to(original)
    before = original.read_bytes()
    assert run_script(SCRIPT, *folders, "--out", original, "--width", "20", "--names", "a.png").code == 2
    assert original.read_bytes() == before


def test_a_photograph_that_is_very_wide_has_a_row_all_the_same(run_script, folders, tmp_path: Path) -> None:
    words = (*folders, "--out", tmp_path / "sheet.png", "--width", "20", "--names", "a.png")
    assert run_script(SCRIPT, *words).code == 0
    assert Image.open(tmp_path / "sheet.png").size == (48, 1)


def test_more_pixels_than_can_be_read_again_are_refused(run_script, folders, tmp_path: Path) -> None:
    ended = run_script(SCRIPT, *folders, "--out", tmp_path / "sheet.png", "--width", "10000")
    assert ended.code == 2
    assert "make a picture of more than 179 megapixels; give a smaller --width, or fewer --names" in ended.err
    assert not (tmp_path / "sheet.png").exists()


def test_a_folder_among_runs_is_no_run(run_script, folders, make_run, tmp_path: Path) -> None:
    ended = run_script(SCRIPT, make_run(), folders[0], "--out", tmp_path / "sheet.png")
    assert ended.code == 2
    assert "dark: no checkpoints/best.pt in this folder" in ended.err
