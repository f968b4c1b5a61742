"""Another method's images: `evaluate.py outputs=DIR`, and `compare_checkpoints.py` between a folder and a run."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import WRITTEN, read_report
from tests.processes import Ended
from tests.small_data import draw_scene

COMPARE = "scripts/compare_checkpoints.py"
OFF_BY_TEN = 20 * math.log10(255 / 10)  # PSNR


@pytest.fixture
def outputs(tmp_path: Path, pairs_root: Path, write_pairs: Callable[..., None]) -> Path:
    """Images of the test part, of which each value is wrong by 10 of 255."""
    write_pairs(pairs_root / "eval15", range(20, 23))
    folder = tmp_path / "theirs"
    folder.mkdir()
    for seed in range(20, 23):
        target = draw_scene(seed)
        Image.fromarray(np.where(target < 128, target + 10, target - 10).astype(np.uint8)).save(folder / f"{seed}.png")
    return folder


def test_a_folder_is_scored_as_a_run_is(evaluate, outputs: Path, pairs_root: Path) -> None:
    ended = evaluate(f"outputs={outputs}", "data=lol_v1", f"data.root={pairs_root}", "protocol=all")
    assert ended.code == 0, ended.err
    assert ended.out.startswith(f"{outputs} (outputs) on lol_v1, test: 3 images (3 of 11 pairs")
    folder = outputs.with_name("theirs-evaluation-lol_v1-test")
    assert {path.name for path in folder.iterdir()} == WRITTEN
    report = read_report(folder)
    assert report["mean"]["psnr"] == pytest.approx(OFF_BY_TEN, abs=1e-3)
    assert report["step"] is report["mean"]["seconds"] is None
    assert report["intervals"]["psnr"] == pytest.approx([OFF_BY_TEN] * 2, abs=1e-3)
    assert report["protocols"]["RGB"]["psnr"] == pytest.approx(OFF_BY_TEN, abs=1e-3)
    assert "the model alone" not in ended.out
    (brightness,) = [line for line in ended.out.splitlines() if line.startswith("overall brightness")]
    assert "is left out" in brightness
    assert brightness in report["remarks"]


@pytest.mark.parametrize(
    "named", [lambda name: f"{name}_ours.jpg", lambda name: f"net-{name}.PNG", lambda name: f"x/{name}.bmp"]
)
def test_names_with_one_prefix_and_suffix_are_found(evaluate, outputs: Path, pairs_root: Path, named) -> None:
    for file in list(outputs.iterdir()):
        new = outputs / named(file.stem)
        new.parent.mkdir(exist_ok=True)
        Image.open(file).save(new, quality=100, subsampling=0)
        file.unlink()
    ended = evaluate(f"outputs={outputs}", "data=lol_v1", f"data.root={pairs_root}", f"out={outputs.parent / 'out'}")
    assert ended.code == 0, ended.err
    assert read_report(outputs.parent / "out")["mean"]["psnr"] == pytest.approx(OFF_BY_TEN, abs=0.5)


def test_all_pairs_of_undivided_data_are_scored(evaluate, pairs_root: Path) -> None:
    own = pairs_root / "our485"
    ended = evaluate(f"outputs={own / 'high'}", "data=pairs", f"data.root={own}", f"out={pairs_root / 'out'}")
    assert ended.code == 0, ended.err
    assert "8 of 8 pairs" in ended.out
    assert all(score["psnr"] is None for score in read_report(pairs_root / "out")["scores"])  # infinite


def test_what_is_missing_or_of_another_size_is_named(evaluate, outputs: Path, pairs_root: Path) -> None:
    words = (f"outputs={outputs}", "data=lol_v1", f"data.root={pairs_root}")
    Image.new("RGB", (40, 56)).save(outputs / "21.png")
    refused = evaluate(*words)
    assert refused.code == 2
    assert "21.png: is 40x56 px, and its reference 56x40" in refused.err
    (outputs / "21.png").rename(outputs / "other.png")
    refused = evaluate(*words)
    assert refused.code == 2
    assert "no image for 1 of 3 pairs: 21; it holds 20.png, 22.png, other.png" in refused.err
    assert not outputs.with_name("theirs-evaluation-lol_v1-test").exists()


def test_images_of_no_pair_are_named(evaluate, outputs: Path, pairs_root: Path) -> None:
    Image.new("RGB", (40, 56)).save(outputs / "more.png")
    ended = evaluate(f"outputs={outputs}", "data=lol_v1", f"data.root={pairs_root}")
    assert ended.code == 0, ended.err
    assert "are of none of these pairs: more.png" in ended.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "Give data=NAME data.root=DIR too"),
        (("data=lol_v1", "checkpoint=x"), "checkpoint= and outputs= do not go together"),
        (("data=lol_v1", "recalibrate=target"), "recalibrate= and outputs= do not go together"),
    ],
)
def test_what_does_not_go_together(evaluate, outputs: Path, words: tuple[str, ...], told: str) -> None:
    refused = evaluate(f"outputs={outputs}", *words)
    assert refused.code == 2
    assert told in refused.err


def test_a_folder_against_a_run(run_script: Callable[..., Ended], make_run, outputs: Path, pairs_root: Path) -> None:
    run = make_run()
    ended = run_script(COMPARE, run, outputs, "--device", "cpu")
    assert ended.code == 0, ended.err
    line = next(line for line in ended.out.splitlines() if line.startswith("PSNR "))
    assert f"B {OFF_BY_TEN:.4f}" in line
    assert line.endswith("B is better")
    again = run_script(COMPARE, outputs, run, "--device", "cpu")
    assert next(line for line in again.out.splitlines() if line.startswith("PSNR ")).endswith("A is better")


def test_two_folders(run_script: Callable[..., Ended], outputs: Path, pairs_root: Path) -> None:
    dark = pairs_root / "eval15" / "low"
    refused = run_script(COMPARE, outputs, dark)
    assert refused.code == 2
    assert "Give --data and --root too" in refused.err
    ended = run_script(COMPARE, outputs, dark, "--data", "lol_v1", "--root", pairs_root, "--device", "cpu")
    assert ended.code == 0, ended.err
    assert next(line for line in ended.out.splitlines() if line.startswith("PSNR ")).endswith("A is better")
