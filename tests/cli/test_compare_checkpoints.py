"""`scripts/compare_checkpoints.py`."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from enhance.run import checkpoint
from tests.processes import Ended

SCRIPT = "scripts/compare_checkpoints.py"


def numbers(out: str) -> dict[str, list[float]]:
    """The numbers of each line of scores."""
    found = {}
    for line in out.splitlines():
        title, _, rest = line.partition("  A ")
        words = rest.replace("(", " ").replace(")", " ").replace(":", " ").split()
        found[title.strip()] = [float(word) for word in words if word.lstrip("+-").replace(".", "").isdigit()]
    return found


@pytest.fixture
def two_runs(make_run: Callable[..., Path]) -> tuple[Path, Path]:
    """One that leaves images as they are, and one that adds noise."""
    noisy, plain = make_run("noisy", "gn"), make_run("plain", "gn")
    file = plain / "checkpoints" / "best.pt"
    kept = checkpoint.load(file)
    kept.model["network.unet.output.weight"].zero_()
    kept.model["network.unet.output.bias"].zero_()
    checkpoint.save(kept, file)
    return plain, noisy


def test_the_better_one_is_named(run_script: Callable[..., Ended], two_runs: tuple[Path, Path]) -> None:
    plain, noisy = two_runs
    ended = run_script(SCRIPT, plain, noisy, "--images", "--device", "cpu")
    assert ended.code == 0, ended.err
    assert "lol_v1, validation: 2 images of 2 scenes" in ended.out
    a, b, difference, low, high = numbers(ended.out)["PSNR"]
    assert difference == pytest.approx(a - b, abs=2e-4)
    assert low <= difference <= high
    each = [line for line in ended.out.splitlines() if line.endswith(" dB")]
    assert len(each) == 2
    other_way = run_script(SCRIPT, noisy, plain, "--device", "cpu")
    assert numbers(other_way.out)["PSNR"][2] == pytest.approx(-difference, abs=2e-4)
    verdicts = [ended.out.count("A is better"), other_way.out.count("B is better")]
    assert verdicts[0] == verdicts[1] > 0


def test_a_checkpoint_against_itself(run_script: Callable[..., Ended], make_run: Callable[..., Path]) -> None:
    torch.manual_seed(0)
    run = make_run()
    ended = run_script(SCRIPT, run, run, "--device", "cpu")
    assert ended.code == 0, ended.err
    assert ended.out.count("no difference shown") == 4


def test_images_that_one_of_them_was_trained_on_are_told(
    run_script: Callable[..., Ended], make_run: Callable[..., Path], pairs_root: Path
) -> None:
    one, other = make_run("one"), make_run("other")
    file = one / "checkpoints" / "best.pt"
    kept = checkpoint.load(file)
    kept.settings.data.validation_share = 0.5
    checkpoint.save(kept, file)
    ended = run_script(SCRIPT, one, other, "--device", "cpu")
    assert "lol_v1, validation: 4 images" in ended.out
    assert "trained on the scenes of 2 of these 4 images" in ended.out
    named = run_script(SCRIPT, one, other, "--data", "lol_v1", "--root", f"{pairs_root}/", "--device", "cpu")
    assert named.out == ended.out
    assert "warning" not in run_script(SCRIPT, other, one, "--device", "cpu").out


def test_moved_data_are_scored_by_the_parts_that_are_given(
    run_script: Callable[..., Ended], make_run: Callable[..., Path], pairs_root: Path, tmp_path: Path
) -> None:
    run = make_run()
    parts = ["training"] * 4 + ["validation", "test", "test", "test"]
    rows = [f"{number},{part}" for number, part in enumerate(parts)]
    (tmp_path / "split.csv").write_text("\n".join(["name,part", *rows]))
    moved = pairs_root.rename(tmp_path / "moved")
    words = ("--data", "lol_v1", "--root", moved, "--split", tmp_path / "split.csv", "--device", "cpu")
    ended = run_script(SCRIPT, run, run, *words)
    assert ended.code == 0, ended.err
    assert "lol_v1, test: 3 images" in ended.out
    assert "are not here" in ended.out


@pytest.mark.parametrize("words", [("--root", "somewhere"), ("--split", "a.csv"), ("--data", "lol")])
def test_mistakes_are_told(
    run_script: Callable[..., Ended], make_run: Callable[..., Path], words: tuple[str, ...]
) -> None:
    run = make_run()
    ended = run_script(SCRIPT, run, run, *words)
    assert ended.code == 2
    assert ended.err.startswith("error: ")
